//! The way to a backend that may stop listening before it has said all.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::Link;

/// A link whose reading alone tells how the backend is. One that refuses a request in the midst of its
/// body, and closes on the rest, makes writing fail while its answer waits to be read: for hyper the
/// failure would be the end of both (RFC 9112 §9.6 has the reset from the other side).
pub(super) struct Deaf {
    link: Link,
    /// It hears nothing any more.
    is_deaf: bool,
}

impl Deaf {
    pub(super) fn new(link: Link) -> Self {
        Self { link, is_deaf: false }
    }

    pub(super) fn into_inner(self) -> Link {
        self.link
    }

    /// Says something, unless it has failed before. Nobody is woken after that: a stream that broke
    /// wakes whoever reads it.
    fn say<T>(
        &mut self,
        say: impl FnOnce(Pin<&mut Link>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let said = say(Pin::new(&mut self.link));
        if matches!(said, Poll::Ready(Err(_))) {
            self.is_deaf = true;
            return Poll::Pending;
        }
        said
    }
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.say(|link| link.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Of one piece, the kernel has a shorter way.
        match bytes {
            [one] => self.poll_write(cx, one),
            _ => self.say(|link| link.poll_write_vectored(cx, bytes)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.link.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say(|link| link.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say(|link| link.poll_shutdown(cx))
    }
}
