//! Work that must not keep anybody waiting.

use std::thread;

use tokio::sync::oneshot;

use super::Unfit;

/// The least of priorities: nice(2).
const LEAST: i32 = 19;

/// Runs this on a thread of its own, behind everything that serves: a load of ten thousand
/// certificates takes a core for a while, and sessions need the same cores for a moment at a time.
/// What it starts inherits its priority.
pub(super) async fn quietly<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfit> {
    let (done, outcome) = oneshot::channel();
    let started = thread::Builder::new().name("loading".to_owned()).spawn(move || {
        // For Linux, a thread is a process here. It loads as well, though not as quietly, without.
        let _ = rustix::process::setpriority_process(None, LEAST);
        // Whoever wanted to know may be gone.
        let _ = done.send(work());
    });
    started.map_err(|e| Unfit::from(format!("a thread cannot be started: {e}")))?;
    outcome.await.map_err(|_| Unfit::from("loading failed".to_owned()))
}
