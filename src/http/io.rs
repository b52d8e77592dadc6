//! The client's stream as hyper reads and writes it: counted, and not for ever.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Guest, stall::Stall};
use crate::wire::{Client, Inbox};

/// A client's stream. A client that takes nothing for as long as `timeouts.http_body` says is given up.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) client: Client,
    guest: Arc<Guest>,
    /// What was read before, and is read again first.
    before: Inbox,
    stall: Stall,
    /// Something was written, and may not be on its way yet.
    is_unflushed: bool,
}

impl Io {
    pub(super) fn new(client: Client, before: Inbox, guest: Arc<Guest>) -> Self {
        Self { client, guest, before, stall: Stall::default(), is_unflushed: false }
    }

    fn wrote(&mut self, octets: usize) {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.guest.had.octets[1].fetch_add(octets, Ordering::Relaxed);
        self.is_unflushed = true;
        self.guest.had.is_quiet.store(false, Ordering::Relaxed);
    }

    /// Passes on whether anything went out; if nothing does, the clock runs.
    fn clocked<T>(
        &mut self,
        cx: &mut Context<'_>,
        done: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stall.ends();
            return done;
        }
        let patience = self.guest.web.timeouts.http_body;
        if self.stall.poll(cx, patience).is_ready() {
            let why = "the client takes no more of what it is sent";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        Poll::Pending
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let octets = self.before.len().min(buffer.remaining());
            buffer.put_slice(&self.before[..octets]);
            self.before.consume(octets);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let done = Pin::new(&mut self.client).poll_read(cx, buffer);
        let is_quiet = done.is_pending() && !self.is_unflushed;
        self.guest.had.is_quiet.store(is_quiet, Ordering::Relaxed);
        let octets = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        self.guest.had.octets[0].fetch_add(octets, Ordering::Relaxed);
        done
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.client).poll_write(cx, bytes);
        if let Poll::Ready(Ok(octets)) = done {
            self.wrote(octets);
        }
        self.clocked(cx, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.client).poll_write_vectored(cx, bytes);
        if let Poll::Ready(Ok(octets)) = done {
            self.wrote(octets);
        }
        self.clocked(cx, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.client.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.client).poll_flush(cx);
        self.is_unflushed &= done.is_pending();
        self.clocked(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.client).poll_shutdown(cx);
        self.clocked(cx, done)
    }
}
