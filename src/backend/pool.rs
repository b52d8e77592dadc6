//! Several addresses of one mail server, or several that are as good as one. A pool of one costs no
//! more than that one.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    Backend, Visit,
    choice::{Seat, affinity, choose},
};
use crate::{
    protocol::{Learned, Protocol},
    values::{Balance, MOST_MEMBERS},
};

/// A session goes to so many members in vain, and then gives up.
const MOST_TRIES: u32 = 3;

/// Where sessions go: one backend, or several that are as good as one.
#[derive(Debug)]
pub struct Pool {
    /// As the configuration writes it.
    title: String,
    protocol: Protocol,
    balance: Balance,
    members: ArcSwap<Vec<Member>>,
    /// Whether the members are known; names are looked up first.
    complete: watch::Sender<bool>,
    turn: AtomicUsize,
    offered: Mutex<Offered>,
}

/// A backend in a pool.
#[derive(Clone, Debug)]
pub struct Member {
    /// The backend, which other pools may have as well.
    pub backend: Arc<Backend>,
    /// It gets no new sessions, and keeps those that it has.
    pub drain: bool,
}

/// What all members have, and what that was found from.
#[derive(Debug, Default)]
struct Offered {
    of: Vec<Arc<Learned>>,
    common: Option<Arc<Learned>>,
    /// What was said of it.
    said: String,
}

impl Pool {
    /// A pool without members so far. `title`: what it is called in the log.
    #[must_use]
    pub fn new(title: String, protocol: Protocol, balance: Balance) -> Self {
        Self {
            title,
            protocol,
            balance,
            members: ArcSwap::default(),
            complete: watch::Sender::new(false),
            turn: AtomicUsize::new(0),
            offered: Mutex::default(),
        }
    }

    /// Sessions from now on go to these members, at most [`MOST_MEMBERS`] of them. `complete`: none is
    /// still being looked up.
    pub fn furnish(&self, mut members: Vec<Member>, complete: bool) {
        members.truncate(MOST_MEMBERS);
        self.members.store(Arc::new(members));
        if complete {
            self.complete.send_replace(true);
        }
    }

    /// The members of this moment.
    #[must_use]
    pub fn members(&self) -> Arc<Vec<Member>> {
        self.members.load_full()
    }

    /// Waits until something is known of each member, good or bad.
    pub async fn met(&self) {
        // The sender is ours, so there is no error to be had.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
        for member in self.members().iter() {
            member.backend.met().await;
        }
    }

    /// Whether sessions may be hoped to be served.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.members.load().iter().any(|member| !member.drain && member.backend.is_up())
    }

    /// Whether connections are refused at all its addresses, and nothing was ever learned.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let members = self.members.load();
        !members.is_empty() && members.iter().all(|member| member.backend.is_absent())
    }

    /// Somebody waits: those that are not well are probed soon.
    pub fn hurry(&self) {
        let members = self.members.load();
        members.iter().filter(|m| !m.backend.is_fine()).for_each(|m| m.backend.hurry());
    }

    /// What clients may be told that it can do: what all members can of which anything is known.
    /// `None` while nothing is.
    #[must_use]
    pub fn learned(&self) -> Option<Arc<Learned>> {
        let members = self.members.load();
        if let [only] = members.as_slice() {
            return only.backend.learned();
        }
        let known = |m: &Member| Some((m.backend.key().target.to_string(), m.backend.learned()?));
        let known: Vec<(String, Arc<Learned>)> =
            members.iter().filter(|m| !m.drain).filter_map(known).collect();
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = offered.of.len() == known.len()
            && offered.of.iter().zip(&known).all(|(old, (_, new))| Arc::ptr_eq(old, new));
        if !is_same {
            offered.of = known.iter().map(|(_, learned)| learned.clone()).collect();
            offered.common = Learned::common(self.protocol, &offered.of).map(Arc::new);
            let said =
                offered.common.as_deref().map(|c| differences(&known, c)).unwrap_or_default();
            if said != offered.said && !said.is_empty() {
                tracing::warn!(backend = %self, %said, "its members differ, so clients are offered what all of them have");
            }
            offered.said = said;
        }
        offered.common.clone()
    }

    /// A session of this client begins to look for a member.
    #[must_use]
    pub fn seek(&self, client: IpAddr) -> Search<'_> {
        let members = self.members();
        let turn = if members.len() > 1 { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        Search { pool: self, members, client, turn, tried: 0 }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

/// A session's search for a member.
#[derive(Debug)]
pub struct Search<'a> {
    pool: &'a Pool,
    /// Those that there were when it began.
    members: Arc<Vec<Member>>,
    client: IpAddr,
    turn: usize,
    /// A bit for each member that was tried.
    tried: u64,
}

impl Search<'_> {
    /// The next member that is worth a try; `None`: the client is told to come back later.
    pub fn next(&mut self, now: Instant) -> Option<Visit> {
        let n = self.peek(now)?;
        self.tried |= 1 << n;
        Some(Visit::new(self.members[n].backend.clone(), self.client))
    }

    /// Whether there is another member that is worth a try.
    #[must_use]
    pub fn has_more(&self, now: Instant) -> bool {
        self.peek(now).is_some()
    }

    /// Why nobody is worth a try.
    #[must_use]
    pub fn regret(&self) -> String {
        match self.members.as_slice() {
            [] => format!("{}: its name has not been found yet", self.pool),
            [only] => format!("{} is down", only.backend.key().target),
            _ => format!("all of {} are down", self.pool),
        }
    }

    fn peek(&self, now: Instant) -> Option<usize> {
        if self.tried.count_ones() >= MOST_TRIES {
            return None;
        }
        let mut places = Vec::with_capacity(self.members.len());
        let mut seats = Vec::with_capacity(self.members.len());
        for (n, member) in self.members.iter().enumerate().filter(|(_, m)| !m.drain) {
            let hashes = self.pool.balance == Balance::HashClient && self.members.len() > 1;
            places.push(n);
            seats.push(Seat {
                state: member.backend.state(now),
                sessions: member.backend.sessions(),
                affinity: if hashes { affinity(self.client, member.backend.address()) } else { 0 },
                tried: self.tried & (1 << n) != 0,
            });
        }
        choose(&seats, self.pool.balance, self.turn).map(|n| places[n])
    }
}

/// What single members have, and clients are not offered.
fn differences(known: &[(String, Arc<Learned>)], common: &Learned) -> String {
    let extra = |(target, learned): &(String, Arc<Learned>)| {
        let extra: Vec<&str> = learned
            .capabilities
            .iter()
            .filter(|capability| !common.capabilities.contains(capability))
            .map(String::as_str)
            .collect();
        (!extra.is_empty()).then(|| format!("{target} alone has {}", extra.join(", ")))
    };
    known.iter().filter_map(extra).collect::<Vec<_>>().join("; ")
}
