//! The seam between the protocols, which never touch a socket, and tokio.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::line::{Frame, Literals, frame};

const CHUNK: usize = 16 * 1024;

/// One client's conversation: frames in, bytes out.
pub(super) trait Session {
    /// How commands are framed.
    const LITERALS: Literals;
    /// How long a client may be silent. RFC 9051 §5.4 and RFC 5804 §1.2: at least 30 minutes once
    /// logged in.
    const PATIENCE: Duration = Duration::from_secs(31 * 60);

    /// Speaks first.
    fn greet(&mut self, out: &mut Vec<u8>);
    /// Answers one command, which comes with its line end.
    fn command(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Flow;
    /// Answers a command that is too big; with `closing` it is the last word.
    fn refuse(&mut self, frame: &[u8], closing: bool, out: &mut Vec<u8>);

    /// Octets that the literals of the next command may hold.
    fn literal_limit(&self) -> usize {
        0
    }

    /// Octets that come next as they are, in no frame; [`command`](Self::command) gets them in
    /// pieces.
    fn unframed(&self) -> usize {
        0
    }

    /// Whether [`wake`](Self::wake) wants to be called when the store changes.
    fn idling(&self) -> bool {
        false
    }

    /// Tells the client what has changed.
    fn wake(&mut self, _out: &mut Vec<u8>) {}
}

/// Whether the conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Flow {
    End,
    Go,
}

/// Runs one conversation to its end. `input` is what has been read of it already.
pub(super) async fn drive<S: Session>(
    mut stream: TcpStream,
    mut input: BytesMut,
    mut session: S,
    mut changes: watch::Receiver<u64>,
) -> Result<(), io::Error> {
    let (mut out, mut prompted) = (Vec::new(), 0);
    session.greet(&mut out);
    loop {
        let mut flow = Flow::Go;
        let next = match session.unframed() {
            0 => frame(&input, S::LITERALS, session.literal_limit(), prompted),
            _ if input.is_empty() => Frame::Partial,
            wanted => Frame::Whole(wanted.min(input.len())),
        };
        match next {
            Frame::Whole(length) => {
                prompted = 0;
                flow = session.command(&input.split_to(length), &mut out);
            }
            Frame::Prompt(offset) => {
                prompted = offset;
                out.extend_from_slice(b"+ Go ahead\r\n");
            }
            Frame::Refuse(length) => {
                prompted = 0;
                session.refuse(&input.split_to(length), false, &mut out);
            }
            Frame::Overrun => {
                session.refuse(&input, true, &mut out);
                flow = Flow::End;
            }
            Frame::Partial => {
                send(&mut stream, &mut out, S::PATIENCE).await?;
                input.reserve(CHUNK);
                tokio::select! {
                    read = tokio::time::timeout(S::PATIENCE, stream.read_buf(&mut input)) => {
                        if read?? == 0 {
                            return Ok(());
                        }
                    }
                    Ok(()) = changes.changed(), if session.idling() => session.wake(&mut out),
                }
            }
        }
        if flow == Flow::End {
            send(&mut stream, &mut out, S::PATIENCE).await?;
            return stream.shutdown().await;
        }
        // Many pipelined commands must not pile up their answers.
        if out.len() > CHUNK {
            send(&mut stream, &mut out, S::PATIENCE).await?;
        }
    }
}

async fn send(
    stream: &mut TcpStream,
    out: &mut Vec<u8>,
    patience: Duration,
) -> Result<(), io::Error> {
    tokio::time::timeout(patience, stream.write_all(out)).await??;
    // A large answer's buffer is not kept for the long silence that may follow.
    *out = Vec::new();
    Ok(())
}
