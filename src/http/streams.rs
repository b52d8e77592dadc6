//! Streams of an HTTP/2 connection: each is a task of its own, so that one that waits for its backend holds
//! nobody up, and each of them ends.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep};

/// Runs the streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    /// Of the stream that is about to begin: hyper takes the request to its service, and what comes of
    /// that here, one right after the other.
    next: Arc<Mutex<Option<Arc<Progress>>>>,
    patience: Duration,
}

/// Whose turn it is in a stream. Odd: there is a part of an answer that the client has to take before
/// more of it is asked for. With each turn the number grows.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU64);

impl Progress {
    /// Whose turn it is now: nobody's but the client's, unless more `is_wanted`.
    pub(super) fn step(&self, is_wanted: bool) {
        let now = self.0.load(Ordering::Relaxed);
        if now.is_multiple_of(2) != is_wanted {
            self.0.store(now + 1, Ordering::Relaxed);
        }
    }

    /// The client's turn; `None`: it is not.
    fn clients(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|turn| !turn.is_multiple_of(2))
    }
}

impl Streams {
    /// A client that takes nothing of an answer for so long has given it up.
    pub(super) fn new(patience: Duration) -> Self {
        Self { next: Arc::default(), patience }
    }

    /// A request is there, and its stream comes next.
    pub(super) fn begin(&self) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
        progress
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let progress = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        match progress {
            Some(progress) => {
                let patience = self.patience;
                let inner = Box::pin(stream);
                tokio::spawn(Watched { inner, progress, patience, alarm: None });
            }
            None => drop(tokio::spawn(stream)),
        }
    }
}

/// A stream that is reset when the client takes nothing of it any more: a window that never opens
/// (RFC 9113 §10.5) would keep it, and the connection to its backend, for ever.
struct Watched<F> {
    inner: Pin<Box<F>>,
    progress: Arc<Progress>,
    patience: Duration,
    /// It rings when the client has had this turn for too long.
    alarm: Option<(u64, Pin<Box<Sleep>>)>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.inner.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(turn) = self.progress.clients() else { return Poll::Pending };
        let patience = self.patience;
        let (since, alarm) = self.alarm.get_or_insert_with(|| (turn, Box::pin(sleep(patience))));
        if *since != turn {
            *since = turn;
            alarm.as_mut().reset(Instant::now() + patience);
        }
        // What is dropped unfinished is reset.
        alarm.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_the_clients_every_other_time() {
        let progress = Progress::default();
        assert_eq!(progress.clients(), None);
        progress.step(true);
        assert_eq!(progress.clients(), None);
        progress.step(false);
        let first = progress.clients().unwrap();
        progress.step(false);
        assert_eq!(progress.clients(), Some(first));
        progress.step(true);
        progress.step(false);
        assert_ne!(progress.clients(), Some(first));
    }
}
