//! Overhears a stream, and bounds it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose peer is not let say more than a limit, and of which the beginning is kept.
pub struct Ear<'a, S> {
    stream: &'a mut S,
    heard: &'a mut Vec<u8>,
    kept: usize,
    left: usize,
    is_enough: fn(&[u8]) -> bool,
}

/// More than any server says before it is asked for mail, in octets.
const MOST: usize = 256 << 10;

impl<'a, S> Ear<'a, S> {
    /// Bounds what a peer may say, and keeps nothing.
    pub fn new(stream: &'a mut S, nothing: &'a mut Vec<u8>) -> Self {
        Self { stream, heard: nothing, kept: 0, left: MOST, is_enough: |_| false }
    }

    /// Keeps the first octets, up to `kept`, in `heard`; once these are enough, the stream fails.
    pub fn keeping(
        stream: &'a mut S,
        heard: &'a mut Vec<u8>,
        kept: usize,
        is_enough: fn(&[u8]) -> bool,
    ) -> Self {
        Self { stream, heard, kept, left: MOST, is_enough }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ear<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *this.stream).poll_read(cx, buffer))?;
        let fresh = &buffer.filled()[before..];
        let room = this.kept.saturating_sub(this.heard.len()).min(fresh.len());
        this.heard.extend_from_slice(&fresh[..room]);
        let Some(left) = this.left.checked_sub(fresh.len()) else {
            return Poll::Ready(Err(io::Error::other("it says more than 256 KiB")));
        };
        this.left = left;
        if room > 0 && (this.is_enough)(this.heard) {
            return Poll::Ready(Err(io::Error::other("what it has said is enough")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ear<'_, S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}
