//! A clock that runs while nothing moves.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// How long nothing has moved. While something does, it costs nothing.
#[derive(Debug, Default)]
pub(super) struct Stall {
    alarm: Option<Pin<Box<Sleep>>>,
    /// What moves elsewhere counts as well.
    elsewhere: Option<Arc<Moved>>,
}

/// When something moved last, for who waits on the other side meanwhile.
#[derive(Debug)]
pub(super) struct Moved(Mutex<Instant>);

impl Default for Moved {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Moved {
    /// Something moves now.
    pub(super) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stall {
    /// A clock that does not run while something moves elsewhere.
    pub(super) fn beside(elsewhere: Option<Arc<Moved>>) -> Self {
        Self { alarm: None, elsewhere }
    }

    /// Something has moved.
    pub(super) fn ends(&mut self) {
        self.alarm = None;
    }

    /// Nothing moves. Ready once it has been so for as long as this; until then the task is woken in
    /// time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, patience: Duration) -> Poll<()> {
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(patience)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            let until =
                self.elsewhere.as_ref().and_then(|moved| moved.last().checked_add(patience));
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => alarm.as_mut().reset(until),
                None => return Poll::Ready(()),
            }
        }
    }
}
