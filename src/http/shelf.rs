//! Connections to backends that wait for the next request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{leg::Leg, trunk::Trunk};
use crate::backend::Key;

/// How long one waits. Some servers close after five seconds.
const REST: Duration = Duration::from_secs(30);

/// One that has waited for longer is not trusted with a request that could not be said again: the
/// backend may be about to close it.
const FRESH: Duration = Duration::from_secs(2);

/// So many wait for one backend: as many as a busy moment has, or each such moment would make them anew.
const MOST: usize = 256;

/// Connections to backends, each of them free for the next request.
#[derive(Default)]
pub struct Shelf(Mutex<Places>);

#[derive(Default)]
struct Places {
    by_key: HashMap<Key, Arc<Place>>,
    /// Somebody throws away what nobody wants any more.
    is_swept: bool,
}

/// Where connections to one backend wait.
#[derive(Default)]
pub(super) struct Place {
    legs: Mutex<Vec<Leg>>,
    /// The one that all requests share, where they do: whoever makes it holds the lock.
    pub(super) trunk: tokio::sync::Mutex<Option<Trunk>>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl Shelf {
    /// Where connections to this backend wait.
    pub(super) fn place(self: &Arc<Self>, key: &Key) -> Arc<Place> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.by_key.get(key) {
            return place.clone();
        }
        let place = places.by_key.entry(key.clone()).or_default().clone();
        if !places.is_swept {
            places.is_swept = true;
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
        place
    }

    /// Throws away what has waited for too long. Whether there is anything left to sweep.
    fn sweep(&self) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.by_key.retain(|_, place| {
            let is_bare = place.sweep();
            // Who is on the way has a hand on it, and only the map gives it away.
            !(is_bare && Arc::strong_count(place) == 1)
        });
        places.is_swept = !places.by_key.is_empty();
        places.is_swept
    }
}

impl Place {
    /// A connection, the one that was used last. `is_repeatable`: what is to be sent can be sent again.
    pub(super) fn take(&self, is_repeatable: bool) -> Option<Leg> {
        loop {
            let mut leg = self.legs().pop()?;
            let age = leg.since.elapsed();
            if age > REST || (age > FRESH && !is_repeatable) {
                return None;
            }
            if leg.is_still_free() {
                return Some(leg);
            }
        }
    }

    /// Keeps one for the next request.
    pub(super) fn put(&self, mut leg: Leg) {
        leg.since = Instant::now();
        let mut legs = self.legs();
        if legs.len() < MOST {
            legs.push(leg);
        }
    }

    /// Throws away what has waited for too long. Whether nothing is left.
    fn sweep(&self) -> bool {
        let mut legs = self.legs();
        legs.retain(|leg| leg.since.elapsed() < REST);
        let is_trunk_open =
            self.trunk.try_lock().map_or(true, |trunk| trunk.as_ref().is_some_and(Trunk::is_open));
        legs.is_empty() && !is_trunk_open
    }

    fn legs(&self) -> MutexGuard<'_, Vec<Leg>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
