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
    health::State,
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
        // What follows would say the same of a pool of one.
        if let [only] = self.members.as_slice() {
            let is_useless = || matches!(only.backend.state(now), State::Out { is_slow: true });
            return (self.tried == 0 && !only.drain && !is_useless()).then_some(0);
        }
        let mut places = Vec::with_capacity(self.members.len());
        let mut seats = Vec::with_capacity(self.members.len());
        for (n, member) in self.members.iter().enumerate().filter(|(_, m)| !m.drain) {
            let hashes = self.pool.balance == Balance::HashClient;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{backend::Key, identity::Identity, values::Target};

    fn member(port: u16) -> Member {
        let target = Target::Tcp(([192, 0, 2, 1], port).into());
        let key = Key {
            target,
            protocol: Protocol::Imap,
            identity: Identity::None,
            tls: None,
            h2c: false,
        };
        Member { backend: Arc::new(Backend::new(key, None)), drain: false }
    }

    fn pool(balance: Balance, members: &[Member]) -> Pool {
        let pool = Pool::new("pool".into(), Protocol::Imap, balance);
        pool.furnish(members.to_vec(), true);
        pool
    }

    fn client(n: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, n])
    }

    fn port(visit: &Visit) -> u16 {
        match &visit.key().target {
            Target::Tcp(address) => address.port(),
            Target::Unix(_) => 0,
        }
    }

    /// Where the sessions of this client go, those that fail included.
    fn ports(pool: &Pool, n: u8) -> Vec<u16> {
        let mut search = pool.seek(client(n));
        std::iter::from_fn(|| search.next(Instant::now())).map(|visit| port(&visit)).collect()
    }

    #[test]
    fn a_search_ends_after_three_and_goes_nowhere_twice() {
        let members: Vec<Member> = (1..=5).map(member).collect();
        for balance in
            [Balance::First, Balance::HashClient, Balance::LeastSessions, Balance::RoundRobin]
        {
            let pool = pool(balance, &members);
            for n in 0..20 {
                let mut ports = ports(&pool, n);
                ports.sort_unstable();
                ports.dedup();
                assert_eq!(ports.len(), 3, "{balance}");
            }
        }
        assert_eq!(ports(&pool(Balance::First, &members[..1]), 1), [1]);
        assert_eq!(ports(&pool(Balance::First, &[]), 1), [] as [u16; 0]);
    }

    #[test]
    fn what_drains_gets_nobody_also_when_all_others_are_gone() {
        let mut members: Vec<Member> = (1..=3).map(member).collect();
        members[1].drain = true;
        let pool = pool(Balance::RoundRobin, &members);
        for n in 0..10 {
            assert!(!ports(&pool, n).contains(&2));
        }
        for n in 0..10 {
            for visit in [0, 2].map(|m| Visit::new(members[m].backend.clone(), client(n))) {
                visit.unreachable(&"gone");
            }
        }
        assert!(!pool.is_up());
        assert!(!ports(&pool, 1).contains(&2));
    }

    #[test]
    fn visits_are_counted_as_long_as_they_last() {
        let members: Vec<Member> = (1..=2).map(member).collect();
        let pool = pool(Balance::LeastSessions, &members);
        let visits: Vec<Visit> =
            (0..10).map(|n| pool.seek(client(n)).next(Instant::now()).unwrap()).collect();
        assert_eq!([0, 1].map(|n: usize| members[n].backend.sessions()), [5, 5]);
        drop(visits);
        assert_eq!([0, 1].map(|n: usize| members[n].backend.sessions()), [0, 0]);
    }

    /// A client whose sessions fail wherever they go, and another one that has no trouble.
    #[test]
    fn one_client_takes_at_most_half_from_the_others() {
        let members: Vec<Member> = (1..=4).map(member).collect();
        let pool = pool(Balance::RoundRobin, &members);
        for _ in 0..50 {
            let mut search = pool.seek(client(1));
            while let Some(visit) = search.next(Instant::now()) {
                visit.unreachable(&"refused");
            }
        }
        let mut others: Vec<u16> = (0..50).map(|_| ports(&pool, 2)[0]).collect();
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), 2, "two of four are still used: {others:?}");
        // One session that is served, and all is forgotten there.
        Visit::new(members[0].backend.clone(), client(2)).served();
        Visit::new(members[1].backend.clone(), client(2)).served();
        assert!(members[0].backend.is_up() && members[1].backend.is_up());
    }

    /// Any order of failures and successes: whoever is well is found, and rests end.
    #[test]
    fn every_rest_ends() {
        let members: Vec<Member> = (1..=3).map(member).collect();
        let pool = pool(Balance::First, &members);
        Visit::new(members[0].backend.clone(), client(1)).failed(&"closed");
        Visit::new(members[0].backend.clone(), client(2)).failed(&"closed");
        assert_eq!(ports(&pool, 3)[0], 2);
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(port(&pool.seek(client(3)).next(later).unwrap()), 1);
    }

    #[test]
    fn what_is_offered_is_found_again_only_when_something_new_is_learned() {
        let members: Vec<Member> = (1..=2).map(member).collect();
        let pool = pool(Balance::First, &members);
        assert_eq!(pool.learned(), None);
        let learn = |n: usize, list: &[&str]| {
            let capabilities = list.iter().map(|&c| c.to_owned()).collect();
            members[n].backend.learn(Learned { banner: n.to_string(), capabilities });
        };
        learn(0, &["IMAP4rev1", "IDLE"]);
        assert_eq!(pool.learned().unwrap().capabilities, ["IMAP4rev1", "IDLE"]);
        learn(1, &["IDLE", "ID", "IMAP4rev1"]);
        let both = pool.learned().unwrap();
        assert_eq!(both.capabilities, ["IMAP4rev1", "IDLE"]);
        learn(1, &["IDLE", "ID", "IMAP4rev1"]);
        assert!(Arc::ptr_eq(&both, &pool.learned().unwrap()), "it is no news");
        learn(1, &["IMAP4rev1"]);
        assert_eq!(pool.learned().unwrap().capabilities, ["IMAP4rev1"]);
    }
}
