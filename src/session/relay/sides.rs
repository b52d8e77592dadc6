//! The two streams of a relay, by their side.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Relay;
use crate::protocol::Side;

impl Relay<'_> {
    pub(super) fn poll_read(
        &mut self,
        from: Side,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match from {
            Side::Backend => {
                let read = Pin::new(&mut *self.backend).poll_read(cx, buffer);
                self.backend.poll_answer(cx);
                read
            }
            Side::Client => {
                let read = Pin::new(&mut *self.client).poll_read(cx, buffer);
                self.client.poll_answer(cx);
                read
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        to: Side,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match to {
            Side::Backend => Pin::new(&mut *self.backend).poll_write(cx, bytes),
            Side::Client => Pin::new(&mut *self.client).poll_write(cx, bytes),
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written,
        }
    }

    pub(super) fn poll_flush(&mut self, to: Side, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match to {
            Side::Backend => Pin::new(&mut *self.backend).poll_flush(cx),
            Side::Client => Pin::new(&mut *self.client).poll_flush(cx),
        }
    }

    pub(super) fn poll_shutdown(&mut self, to: Side, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match to {
            Side::Backend => Pin::new(&mut *self.backend).poll_shutdown(cx),
            Side::Client => Pin::new(&mut *self.client).poll_shutdown(cx),
        }
    }
}
