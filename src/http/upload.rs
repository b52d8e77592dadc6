//! A request's body on its way to the backend.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

use super::{body::Broken, stall::Stall};

/// RFC 9110 §10.1.1: a client that waits for consent must not wait for ever; nor may a backend that
/// knows nothing of it.
const CONSENT: Duration = Duration::from_secs(1);

/// A request's body, as it comes. A client that sends nothing of it for too long is given up.
#[derive(Debug)]
pub(super) struct Upload {
    /// `None`: there is nothing.
    from: Option<Incoming>,
    gate: Option<Gate>,
    patience: Duration,
    stall: Stall,
}

/// The client waits for the backend's consent: to read of its body is to give it (hyper sends the
/// 100 then).
#[derive(Debug)]
struct Gate {
    consent: oneshot::Receiver<()>,
    at_last: Pin<Box<Sleep>>,
}

/// The client sends no more of its request.
#[derive(Debug)]
pub(super) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client sends no more of its request")
    }
}

impl std::error::Error for TooSlow {}

impl Upload {
    pub(super) fn new(from: Incoming, patience: Duration) -> Self {
        Self { from: Some(from), gate: None, patience, stall: Stall::default() }
    }

    /// None at all.
    pub(super) fn empty() -> Self {
        Self { from: None, gate: None, patience: Duration::MAX, stall: Stall::default() }
    }

    /// Nothing of it is read before the backend agrees. Whoever gets the sender says when.
    pub(super) fn behind_consent(mut self) -> (Self, oneshot::Sender<()>) {
        let (given, consent) = oneshot::channel();
        self.gate = Some(Gate { consent, at_last: Box::pin(sleep(CONSENT)) });
        (self, given)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if let Some(gate) = &mut this.gate {
            if Pin::new(&mut gate.consent).poll(cx).is_pending()
                && gate.at_last.as_mut().poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            this.gate = None;
        }
        let Some(from) = &mut this.from else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(from).poll_frame(cx) {
            this.stall.ends();
            return Poll::Ready(
                frame.map(|frame| frame.map(super::body::passed_on).map_err(Into::into)),
            );
        }
        if this.stall.poll(cx, this.patience).is_ready() {
            return Poll::Ready(Some(Err(Box::new(TooSlow))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.from.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.from.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}
