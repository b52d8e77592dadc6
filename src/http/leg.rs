//! A connection to a backend, with one request at a time on it.
//!
//! It has no task of its own: whoever waits for its answer drives it, so that a request costs no
//! change of tasks, and a client that goes takes its connection along.

use std::{
    future::Future,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Builder, Connection, SendRequest},
    },
};
use hyper_util::rt::TokioIo;

use super::{deaf::Deaf, upload::Upload};
use crate::{
    backend::Visit,
    wire::{Inbox, Link},
};

/// The most of an answer's head, and of its body that is read at once.
const BUFFER: usize = 64 << 10;

/// A connection to a backend.
pub(super) struct Leg {
    sender: SendRequest<Upload>,
    connection: Box<Connection<TokioIo<Deaf>, Upload>>,
    /// It has come to its end.
    is_over: bool,
    /// Somebody may be logged in on it: it stays with the client for as long as both are there.
    pub(super) is_private: bool,
    /// There is to be no other request on it.
    pub(super) is_last: bool,
    /// It has served a request before.
    pub(super) is_used: bool,
    /// When it was last of use.
    pub(super) since: Instant,
    /// The backend counts who is there; `None`: nobody is.
    pub(super) visit: Option<Visit>,
}

impl Leg {
    /// Begins HTTP on this link.
    pub(super) async fn begin(link: Link, visit: Visit) -> hyper::Result<Self> {
        let (sender, connection) =
            Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(Deaf::new(link))).await?;
        Ok(Self {
            sender,
            connection: Box::new(connection),
            is_over: false,
            is_private: false,
            is_last: false,
            is_used: false,
            since: Instant::now(),
            visit: Some(visit),
        })
    }

    /// Drives it as far as it goes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if !self.is_over && Pin::new(&mut *self.connection).poll_without_shutdown(cx).is_ready() {
            // Whoever waits for an answer is told of any error.
            self.is_over = true;
        }
    }

    /// Whether another request could go this way, as far as it has been driven.
    pub(super) fn is_free(&mut self) -> bool {
        let ready = self.sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        !self.is_over && !self.is_last && matches!(ready, Poll::Ready(Ok(())))
    }

    /// Whether it can, after all that the backend has said meanwhile: that it closes, or what nobody
    /// asked for.
    pub(super) fn is_still_free(&mut self) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop()));
        self.is_free()
    }

    /// Sends a request, and waits for the head of its answer. A request that cannot have reached the
    /// backend comes back with the error.
    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> {
        // Boxed: whoever waits is moved about while it is made, and should be small.
        let mut answer = Box::pin(self.sender.try_send_request(request));
        poll_fn(move |cx| {
            self.poll(cx);
            answer.as_mut().poll(cx)
        })
    }

    /// The connection itself, after it has left HTTP, and what was read of it already.
    pub(super) fn into_parts(self) -> (Link, Inbox, Option<Visit>) {
        let parts = self.connection.into_parts();
        let mut inbox = Inbox::default();
        inbox.push(&parts.read_buf);
        (parts.io.into_inner().into_inner(), inbox, self.visit)
    }
}
