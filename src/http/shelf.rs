//! Connections to backends that wait for the next request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::{Duration, Instant},
};

use super::{leg::Leg, trunk::Trunk};
use crate::backend::Key;

/// How long one waits. Some servers close after five seconds.
const REST: Duration = Duration::from_secs(30);

/// One that has waited for longer is not trusted with a request that could not be said again: the
/// backend may be about to close it.
const FRESH: Duration = Duration::from_secs(2);

/// So many wait for one backend.
const MOST: usize = 64;

/// Connections to backends, each of them free for the next request.
#[derive(Default)]
pub struct Shelf {
    legs: Mutex<Legs>,
    trunks: Mutex<HashMap<Key, Place>>,
}

/// Where the one connection to a backend is, or is about to be: whoever makes it holds the lock.
pub(super) type Place = Arc<tokio::sync::Mutex<Option<Trunk>>>;

#[derive(Default)]
struct Legs {
    by_key: HashMap<Key, Vec<Leg>>,
    /// Somebody throws away what nobody wants any more.
    is_swept: bool,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl Shelf {
    /// A connection to this backend, the one that was used last. `is_repeatable`: what is to be sent
    /// can be sent again.
    pub(super) fn take(&self, key: &Key, is_repeatable: bool) -> Option<Leg> {
        loop {
            let mut leg = self.lock().by_key.get_mut(key)?.pop()?;
            let age = leg.since.elapsed();
            if age > REST || (age > FRESH && !is_repeatable) {
                return None;
            }
            // What the backend has said meanwhile: that it closes, or what nobody asked for.
            if leg.poll_free(&mut Context::from_waker(Waker::noop())) {
                return Some(leg);
            }
        }
    }

    /// Keeps one for the next request.
    pub(super) fn put(self: &Arc<Self>, key: &Key, mut leg: Leg) {
        leg.since = Instant::now();
        let mut legs = self.lock();
        if !legs.by_key.contains_key(key) {
            legs.by_key.insert(key.clone(), Vec::new());
        }
        let Some(shelved) = legs.by_key.get_mut(key) else { return };
        if shelved.len() < MOST {
            shelved.push(leg);
        }
        if !legs.is_swept {
            legs.is_swept = true;
            let shelf = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(REST / 2).await;
                    match shelf.upgrade() {
                        Some(shelf) if shelf.sweep() => {}
                        _ => return,
                    }
                }
            });
        }
    }

    /// Where the connection to this backend is that all requests share.
    pub(super) fn trunk(&self, key: &Key) -> Place {
        let mut trunks = self.trunks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = trunks.get(key) {
            return place.clone();
        }
        // A new one is a good moment to forget those that are closed.
        trunks.retain(|_, place| {
            place.try_lock().map_or(true, |trunk| trunk.as_ref().is_some_and(Trunk::is_open))
        });
        trunks.entry(key.clone()).or_default().clone()
    }

    /// Throws away what has waited for too long. Whether there is anything left to sweep.
    fn sweep(&self) -> bool {
        let mut legs = self.lock();
        legs.by_key.retain(|_, shelved| {
            shelved.retain(|leg| leg.since.elapsed() < REST);
            !shelved.is_empty()
        });
        legs.is_swept = !legs.by_key.is_empty();
        legs.is_swept
    }

    fn lock(&self) -> MutexGuard<'_, Legs> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
