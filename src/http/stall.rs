//! A clock that runs while nothing moves.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// How long nothing has moved. While something does, it costs nothing.
#[derive(Debug, Default)]
pub(super) struct Stall(Option<Pin<Box<Sleep>>>);

impl Stall {
    /// Something has moved.
    pub(super) fn ends(&mut self) {
        self.0 = None;
    }

    /// Nothing moves. Ready once it has been so for as long as this; until then the task is woken in
    /// time.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, patience: Duration) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx)
    }
}
