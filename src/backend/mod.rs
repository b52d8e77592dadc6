//! The mail servers behind us: how they are reached, whether they are well, what was learned of
//! them. A backend outlives snapshots: a reload that leaves it alone forgets nothing.

mod diagnose;
mod dial;
mod look;
mod memory;
mod probe;
mod relaying;
mod secure;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

use crate::{
    identity::Identity,
    protocol::{Learned, Protocol},
    tls::Upstream,
    values::Target,
};

pub use diagnose::{Diagnosis, Kind, Seen, Trouble, diagnose};
pub use dial::{dial, keep_alive};
pub use look::look;
pub use memory::Memory;
pub use probe::keep_probing;
pub use relaying::{Attempt, STRANGERS, try_to_relay};
pub use secure::{Insecure, Secured, secure};

/// So many failures in a row, and a backend is down. Real dials count, too.
const FAILURES_TO_GO_DOWN: u32 = 3;

/// What makes a backend the one that it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Where it listens.
    pub target: Target,
    /// What it speaks there.
    pub protocol: Protocol,
    /// How it learns who the client is.
    pub identity: Identity,
    /// How it is reached inside TLS; `None`: in clear.
    pub tls: Option<Arc<Upstream>>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol.name(), self.target)
    }
}

/// A mail server, for one protocol.
#[derive(Debug)]
pub struct Backend {
    key: Key,
    learned: ArcSwapOption<Learned>,
    failures: AtomicU32,
    /// Nobody listens there, and nobody ever has.
    absent: AtomicBool,
    /// It takes a PROXY header for commands.
    deaf: AtomicBool,
    wake: Notify,
    /// Whether anything is known of it, good or bad.
    met: watch::Sender<bool>,
}

impl Backend {
    /// A backend, with what was learned of it in an earlier life.
    #[must_use]
    pub fn new(key: Key, learned: Option<Learned>) -> Self {
        Self {
            met: watch::Sender::new(learned.is_some()),
            key,
            learned: ArcSwapOption::new(learned.map(Arc::new)),
            failures: AtomicU32::new(0),
            absent: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// What makes it the one that it is.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What it said of itself; `None` while nothing is known.
    #[must_use]
    pub fn learned(&self) -> Option<Arc<Learned>> {
        self.learned.load_full()
    }

    /// Waits until something is known of it, good or bad.
    pub async fn met(&self) {
        // The sender is ours, so there is no error to be had.
        let _ = self.met.subscribe().wait_for(|met| *met).await;
    }

    /// Whether it may be counted on.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.failures.load(Ordering::Relaxed) < FAILURES_TO_GO_DOWN
    }

    /// Whether connections are refused there, and nothing was ever learned.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.absent.load(Ordering::Relaxed)
    }

    /// Whether it is known not to understand who is announced to it: whoever came through would be taken
    /// for us, and hear answers to what they have not said.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    /// A session reached it.
    pub fn succeeded(&self) {
        self.absent.store(false, Ordering::Relaxed);
        if self.failures.swap(0, Ordering::Relaxed) >= FAILURES_TO_GO_DOWN {
            tracing::info!(backend = %self.key, "backend is up");
        }
    }

    /// It could not be reached, or made no sense. Says so once, when it is one time too many.
    pub fn failed(&self, why: &dyn fmt::Display) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if before == FAILURES_TO_GO_DOWN - 1 {
            tracing::warn!(backend = %self.key, %why, "backend is down");
        } else {
            tracing::debug!(backend = %self.key, %why, "backend failed");
        }
    }

    /// Nobody listens there.
    fn refuses_connections(&self) {
        self.absent.store(self.learned.load().is_none(), Ordering::Relaxed);
    }

    /// Somebody waits for it: the next probe need not.
    pub fn hurry(&self) {
        self.wake.notify_one();
    }

    /// Probed and found well.
    fn learn(&self, learned: Learned) -> bool {
        let is_news = self.learned.load().as_deref() != Some(&learned);
        if is_news {
            self.learned.store(Some(Arc::new(learned)));
        }
        self.succeeded();
        is_news
    }
}
