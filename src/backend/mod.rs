//! The mail servers behind us: how they are reached, whether they are well, what was learned of
//! them. A backend outlives snapshots: a reload that leaves it alone forgets nothing.

mod choice;
mod diagnose;
mod dial;
mod health;
mod hello;
mod look;
mod memory;
mod names;
mod pool;
mod probe;
mod relaying;
mod routes;
mod secure;
mod turned_away;
mod visit;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

use crate::{
    identity::Identity,
    protocol::{Learned, Protocol},
    tls::Upstream,
    values::Target,
};

use health::{During, Failure, Health, State};

pub use diagnose::{Diagnosis, Kind, Seen, Trouble, diagnose};
pub use dial::{dial, keep_alive};
pub use look::look;
pub use memory::Memory;
pub use names::{keep_resolving, look_up};
pub use pool::{Member, Pool, Search};
pub use probe::keep_probing;
pub use relaying::{Attempt, STRANGERS, try_to_relay};
pub use routes::Routes;
pub use secure::{Insecure, Secured, secure};
pub use visit::Visit;

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
    /// Whether a web backend is spoken with in HTTP/2, as both know beforehand (RFC 9113 §3.3).
    pub h2c: bool,
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
    /// The key's target, as text.
    address: String,
    learned: ArcSwapOption<Learned>,
    health: Mutex<Health>,
    /// Nothing bad is known of it: then nobody needs to look closer.
    is_fine: AtomicBool,
    sessions: AtomicUsize,
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
            address: key.target.to_string(),
            key,
            learned: ArcSwapOption::new(learned.map(Arc::new)),
            health: Mutex::default(),
            is_fine: AtomicBool::new(true),
            sessions: AtomicUsize::new(0),
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
        self.is_fine() || !self.health().is_down()
    }

    /// How many sessions of ours it has.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    fn is_fine(&self) -> bool {
        self.is_fine.load(Ordering::Relaxed)
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn state(&self, now: Instant) -> State {
        if self.is_fine() { State::Well } else { self.health().state(now) }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether connections are refused there, and nothing was ever learned.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.absent.load(Ordering::Relaxed)
    }

    /// A session was served.
    fn served(&self) {
        self.absent.store(false, Ordering::Relaxed);
        if !self.is_fine() && self.well(Health::served) {
            // It may not be the same any more.
            self.hurry();
        }
    }

    /// Something went wrong. Says so once, when it is one time too many.
    fn failed(&self, failure: Failure, why: &dyn fmt::Display) {
        let dice = RandomState::new().hash_one(failure.now);
        let is_down_now = {
            let mut health = self.health();
            self.is_fine.store(false, Ordering::Relaxed);
            health.failed(failure, dice)
        };
        if is_down_now {
            tracing::warn!(backend = %self.key, %why, "backend is down");
        } else {
            tracing::debug!(backend = %self.key, %why, "backend failed");
        }
        if failure.during != During::Probe {
            self.hurry();
        }
    }

    /// It is well, as far as this can tell. Whether it was down before.
    fn well(&self, says: fn(&mut Health) -> bool) -> bool {
        let was_down = {
            let mut health = self.health();
            let was_down = says(&mut health);
            self.is_fine.store(health.is_fine(), Ordering::Relaxed);
            was_down
        };
        if was_down {
            tracing::info!(backend = %self.key, "backend is up");
        }
        was_down
    }

    /// Nobody listens there.
    fn refuses_connections(&self) {
        self.absent.store(self.learned.load().is_none(), Ordering::Relaxed);
    }

    /// Somebody waits for it: the next probe need not.
    pub fn hurry(&self) {
        self.wake.notify_one();
    }

    /// Probed and found well, though it tells the probe nothing.
    fn answers(&self, host: &str) {
        if self.learned.load().is_none() {
            self.learned.store(Some(Arc::new(turned_away::nothing_learned(host))));
        }
        self.absent.store(false, Ordering::Relaxed);
        self.well(Health::probed);
    }

    /// Probed and found well.
    fn learn(&self, learned: Learned) -> bool {
        let is_news = self.learned.load().as_deref() != Some(&learned);
        if is_news {
            self.learned.store(Some(Arc::new(learned)));
        }
        self.absent.store(false, Ordering::Relaxed);
        self.well(Health::probed);
        is_news
    }
}
