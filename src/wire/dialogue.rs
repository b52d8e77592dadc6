//! Drives a dialogue over a stream.

use std::{future::poll_fn, io};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Inbox;
use crate::protocol::{Dialogue, Next};

/// How a dialogue ended before its time.
#[derive(Debug)]
pub enum Broken {
    /// The peer closed the connection.
    Closed,
    /// The connection failed.
    Io(io::Error),
    /// A frame does not fit into the inbox.
    TooLong,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed"),
            Self::Io(error) => error.fmt(f),
            Self::TooLong => f.write_str("line too long"),
        }
    }
}

impl std::error::Error for Broken {}

/// Talks until the dialogue has ended. Octets that it did not take stay in the inbox, which never
/// holds more than `most`. There is no clock here: whoever calls sets one deadline for all of it.
pub async fn converse<S, D>(
    stream: &mut S,
    machine: &mut D,
    inbox: &mut Inbox,
    most: usize,
) -> Result<D::End, Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: Dialogue,
{
    let mut out = Vec::new();
    machine.start(&mut out);
    loop {
        while !inbox.is_empty() {
            let (taken, next) = machine.step(inbox, &mut out);
            inbox.consume(taken);
            match next {
                Next::End(end) => {
                    say(stream, &mut out).await?;
                    return Ok(end);
                }
                Next::Read if taken == 0 => break,
                Next::Read => {}
            }
        }
        say(stream, &mut out).await?;
        if inbox.len() >= most {
            return Err(Broken::TooLong);
        }
        if poll_fn(|cx| inbox.poll_fill(cx, stream, most)).await? == 0 {
            return Err(Broken::Closed);
        }
    }
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, out: &mut Vec<u8>) -> io::Result<()> {
    if !out.is_empty() {
        stream.write_all(out).await?;
        stream.flush().await?;
        *out = Vec::new();
    }
    Ok(())
}
