//! What a peer has sent and nobody has understood yet. The only user of `bytes`.

use std::{
    io,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::scratch;

/// Octets in the order in which they came. Without any, it holds no memory.
#[derive(Debug, Default)]
pub struct Inbox(BytesMut);

impl Inbox {
    /// Appends octets.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Forgets the first octets.
    pub fn consume(&mut self, octets: usize) {
        self.0.advance(octets);
        if self.0.is_empty() {
            self.0 = BytesMut::new();
        }
    }

    /// Reads what there is, so that no more than `most` octets are here. `Ok(0)` is the end.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut S,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        scratch(|buffer| {
            let room = most.saturating_sub(self.0.len()).min(buffer.len());
            let mut read = ReadBuf::new(&mut buffer[..room]);
            ready!(Pin::new(from).poll_read(cx, &mut read))?;
            self.0.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }
}

impl Deref for Inbox {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
