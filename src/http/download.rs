//! The body of a backend's answer on its way to the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Version,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
};

use super::{
    body::{self, Broken},
    guest::Open,
    leg::Leg,
    shelf::Place,
    stall::{Moved, Stall},
    trunk::Trunk,
};
use crate::backend::Visit;

/// An answer's body, as it comes. Its connection is driven by whoever reads it, and goes back where
/// it came from once all has been read; if not all is, it is closed.
pub(super) struct Download {
    from: Incoming,
    way: Option<Way>,
    patience: Duration,
    stall: Stall,
    /// The request, for as long as this is not at its end.
    open: Option<Open>,
}

/// The connection that an answer comes by.
pub(super) enum Way {
    /// This answer has it for itself.
    Leg {
        leg: Leg,
        /// Where it waits for the next request.
        home: Arc<Place>,
    },
    /// It shares it with others; it counts there, and with the backend.
    Trunk(#[expect(dead_code, reason = "they are there to be dropped")] (Visit, Trunk)),
}

impl Way {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::Leg { leg, .. } = self {
            leg.poll(cx);
        }
    }

    /// No other answer is to come by it.
    pub(super) fn ends(&mut self) {
        if let Self::Leg { leg, .. } = self {
            leg.is_last = true;
        }
    }

    /// Brings a connection home, if it can be used again. If not, it must not end before the answer has
    /// gone out: to let go of a request's body is to tell an HTTP/2 client that it was in vain.
    pub(super) fn home(self) -> Option<Self> {
        let Self::Leg { mut leg, home } = self else { return None };
        if !leg.is_free() && !leg.is_still_free() {
            return Some(Self::Leg { leg, home });
        }
        leg.is_used = true;
        // One that many clients share is nobody's while it waits.
        leg.visit.take_if(|visit| !visit.key().identity.is_announced());
        home.put(leg);
        None
    }
}

impl Download {
    /// `upload`: where the request may still be on its way, when anything of it has moved.
    pub(super) fn new(
        from: Incoming,
        way: Way,
        patience: Duration,
        upload: Option<Arc<Moved>>,
        open: Option<Open>,
    ) -> Self {
        Self { from, way: Some(way), patience, stall: Stall::beside(upload), open }
    }

    /// A body in HTTP/2 comes by a trunk alone.
    fn is_whole(&self) -> bool {
        let is_h2 = matches!(self.way, Some(Way::Trunk(_)));
        body::is_whole(&self.from, if is_h2 { Version::HTTP_2 } else { Version::HTTP_11 })
    }

    /// Whose turn it is: see [`Open::progress`].
    fn progress(&self, is_wanted: bool) {
        if let Some(open) = &self.open {
            open.progress(is_wanted);
        }
    }

    /// hyper asks no more once it knows that there is no more.
    fn perhaps_over(&mut self) {
        if self.from.is_end_stream()
            && let Some(way) = self.way.take()
        {
            self.way = way.home();
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        this.progress(true);
        if let Some(way) = &mut this.way {
            way.poll(cx);
        }
        match Pin::new(&mut this.from).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.stall.ends();
                this.progress(false);
                this.perhaps_over();
                Poll::Ready(Some(Ok(body::passed_on(frame))))
            }
            Poll::Ready(Some(Err(error))) => {
                this.way = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) if !this.is_whole() => {
                this.way = None;
                Poll::Ready(Some(Err("the backend has reset its answer".into())))
            }
            Poll::Ready(None) => {
                if let Some(way) = this.way.take() {
                    this.way = way.home();
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                if this.stall.poll(cx, this.patience).is_ready() {
                    this.way = None;
                    return Poll::Ready(Some(Err("the backend says no more of its answer".into())));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.from.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.from.size_hint()
    }
}
