//! A request's body on its way to the backend.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    StatusCode, Version,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Sleep, sleep, timeout},
};

use super::{
    answer::Refusal,
    body::{self, Broken},
    stall::{Moved, Stall},
};

/// RFC 9110 §10.1.1: a client that waits for consent must not wait for ever; nor may a backend that
/// knows nothing of it.
const CONSENT: Duration = Duration::from_secs(1);

/// How long, and of how much, a client of HTTP/2 is heard to whom an answer came early.
const STILL_HEARD: Duration = Duration::from_secs(1);
const STILL_SENT: usize = 4 << 20;

/// A request's body, as it comes. A client that sends nothing of it for too long is given up.
#[derive(Debug)]
pub(super) struct Upload {
    /// `None`: there is nothing.
    from: Option<Incoming>,
    version: Version,
    gate: Option<Gate>,
    patience: Duration,
    stall: Stall,
    moved: Option<Arc<Moved>>,
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

impl Error for TooSlow {}

pub(super) const SLOW: Refusal =
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request does not come.\n");
const CUT: Refusal = Refusal::bad("The request breaks off.\n");

/// What a client is told whose body has failed with this.
pub(super) fn fault(error: &(dyn Error + 'static)) -> Refusal {
    if error.is::<TooSlow>() { SLOW } else { CUT }
}

impl Upload {
    /// The body of a request of this version.
    pub(super) fn new(from: Incoming, version: Version, patience: Duration) -> Self {
        let moved = (!from.is_end_stream()).then(Arc::default);
        Self { from: Some(from), version, gate: None, patience, stall: Stall::default(), moved }
    }

    /// None at all.
    pub(super) fn empty() -> Self {
        let (version, patience) = (Version::HTTP_11, Duration::MAX);
        Self { from: None, version, gate: None, patience, stall: Stall::default(), moved: None }
    }

    /// When anything of it was taken last; `None`: there is nothing to take.
    pub(super) fn moved(&self) -> Option<Arc<Moved>> {
        self.moved.clone()
    }

    /// Nothing of it is read before the backend agrees. Whoever gets the sender says when.
    pub(super) fn behind_consent(&mut self) -> oneshot::Sender<()> {
        let (given, consent) = oneshot::channel();
        self.gate = Some(Gate { consent, at_last: Box::pin(sleep(CONSENT)) });
        given
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
        if let Poll::Ready(frame) = Pin::new(&mut *from).poll_frame(cx) {
            this.stall.ends();
            if let Some(moved) = &this.moved {
                moved.now();
            }
            if frame.is_none() && !body::is_whole(from, this.version) {
                return Poll::Ready(Some(Err("the client has reset its request".into())));
            }
            return Poll::Ready(frame.map(|frame| frame.map(body::passed_on).map_err(Into::into)));
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

impl Drop for Upload {
    /// An answer may come before its request has ended, and the rest is not wanted (RFC 9113 §8.1). Of a
    /// stream that is reset at once behind it, some clients do not read the answer (curl 7.88 is one):
    /// they are given a moment to stop by themselves.
    fn drop(&mut self) {
        if self.version == Version::HTTP_2
            && let Some(from) = self.from.take().filter(|from| !from.is_end_stream())
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(STILL_HEARD, hear_out(from)));
        }
    }
}

/// Takes what still comes of a body, and throws it away.
async fn hear_out(mut from: Incoming) {
    let mut heard = 0;
    while heard < STILL_SENT
        && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut from).poll_frame(cx)).await
    {
        heard += frame.data_ref().map_or(0, Bytes::len);
    }
}
