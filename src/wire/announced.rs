//! Reads the PROXY header that a front before us sends, and leaves all that is behind it in the socket:
//! TLS begins there, or a greeting is waited for.

use std::{fmt, future::poll_fn, io, task::Poll};

use tokio::{io::ReadBuf, net::TcpStream};

use super::scratch;
use crate::identity::announced::{Announced, Read, Reader, Wrong};

/// Why there is no header.
#[derive(Debug)]
pub enum Unannounced {
    /// The front closed after so many octets of it.
    Closed(usize),
    /// The connection failed.
    Io(io::Error),
    /// What came is none.
    Wrong(Wrong),
}

impl fmt::Display for Unannounced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(octets) => write!(f, "it closed after {octets} octets of it"),
            Self::Io(error) => error.fmt(f),
            Self::Wrong(wrong) => wrong.fmt(f),
        }
    }
}

impl std::error::Error for Unannounced {}

/// Reads one header, and not one octet more. There is no clock here: whoever calls sets the deadline.
pub async fn announced(tcp: &mut TcpStream) -> Result<Announced, Unannounced> {
    let mut reader = Reader::default();
    poll_fn(|cx| {
        loop {
            let step = scratch(|buffer| {
                // Looked at first, then taken as far as it is the header's. What was looked at stays
                // ready, so the socket has to be emptied of it before it can be waited for again.
                let mut shown = ReadBuf::new(buffer);
                match tcp.poll_peek(cx, &mut shown) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Unannounced::Io(error))),
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(Unannounced::Closed(reader.octets())));
                    }
                    Poll::Ready(Ok(_)) => {}
                }
                let octets = shown.filled().len();
                let read = reader.feed(shown.filled()).map_err(Unannounced::Wrong)?;
                let (taken, whole) = match read {
                    Read::More => (octets, None),
                    Read::Whole(taken, announced) => (taken, Some(announced)),
                };
                match tcp.try_read(&mut buffer[..taken]) {
                    Ok(read) if read == taken => Poll::Ready(Ok(whole)),
                    Ok(read) => Poll::Ready(Err(Unannounced::Closed(read))),
                    Err(error) => Poll::Ready(Err(Unannounced::Io(error))),
                }
            });
            match step {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(why)) => return Poll::Ready(Err(why)),
                Poll::Ready(Ok(Some(announced))) => return Poll::Ready(Ok(announced)),
                Poll::Ready(Ok(None)) => {}
            }
        }
    })
    .await
}
