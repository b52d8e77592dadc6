//! Connections to backends that wait for the next request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{leg::Leg, trunk::Trunks};
use crate::backend::Key;

/// How long one waits. Some servers close after five seconds.
const REST: Duration = Duration::from_secs(30);
const SWEEP: Duration = Duration::from_secs(5);

/// One that has waited for longer is not trusted with a request that could not be said again: the
/// backend may be about to close it.
const FRESH: Duration = Duration::from_secs(2);

/// So many wait for one backend: as many as a busy moment has, or it would make them anew all the time.
const MOST: usize = 256;
/// So many stay when the moment is over: each has buffers of its own, and keeps a part of the backend
/// busy.
const FEW: usize = 8;

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
    /// Those that requests share, where they do: whoever makes one holds the lock.
    pub(super) trunks: tokio::sync::Mutex<Trunks>,
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
                while shelf.upgrade().is_some_and(|shelf| shelf.sweep(Instant::now())) {
                    tokio::time::sleep(SWEEP).await;
                }
            });
        }
        place
    }

    /// Throws away what has waited for too long. Whether there is anything left to sweep.
    fn sweep(&self, now: Instant) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who is on the way has a hand on a place, and only the map gives it away.
        places.by_key.retain(|_, place| !place.sweep(now) || Arc::strong_count(place) > 1);
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
            let is_stale = age > REST || (age > FRESH && !is_repeatable);
            if is_stale && !leg.is_private {
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

    /// Throws away what has waited for too long, and what only a busy moment wanted. Whether nothing is
    /// left.
    fn sweep(&self, now: Instant) -> bool {
        let mut legs = self.legs();
        // The last is taken first: those in front have not been needed for longest.
        let mut surplus = legs.len().saturating_sub(FEW);
        legs.retain_mut(|leg| {
            if leg.is_private {
                return leg.is_still_free();
            }
            let age = now.saturating_duration_since(leg.since);
            let is_surplus = surplus > 0;
            surplus = surplus.saturating_sub(1);
            age < if is_surplus { FRESH } else { REST }
        });
        // Who holds the lock is about to make one.
        let has_none = self.trunks.try_lock().is_ok_and(|mut trunks| trunks.sweep());
        legs.is_empty() && has_none
    }

    fn legs(&self) -> MutexGuard<'_, Vec<Leg>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{
        backend::{Backend, Member, Pool},
        identity::Identity,
        protocol::Protocol,
        values::{Balance, Target},
        wire::Link,
    };

    #[tokio::test]
    async fn what_only_a_busy_moment_wanted_goes_before_the_rest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let key = Key {
            target: Target::Tcp(address),
            protocol: Protocol::Http,
            identity: Identity::None,
            tls: None,
            h2c: false,
        };
        let pool = Pool::new("pool".into(), Protocol::Http, Balance::First);
        let backend = Arc::new(Backend::new(key, None));
        pool.furnish(vec![Member { backend, drain: false }], true);
        let place = Place::default();
        let begin = Instant::now();
        for _ in 0..FEW + 3 {
            let visit = pool.seek(address.ip()).next(begin).unwrap();
            let link = Link::Tcp(TcpStream::connect(address).await.unwrap());
            place.put(Leg::begin(link, visit).await.unwrap());
        }
        let now = Instant::now();
        for (later, left) in [(0, FEW + 3), (2, FEW), (29, FEW), (30, 0)] {
            let later = if later == 0 { begin } else { now + Duration::from_secs(later) };
            assert_eq!((place.sweep(later), place.legs().len()), (left == 0, left));
        }
    }
}
