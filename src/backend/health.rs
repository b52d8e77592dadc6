//! Whether a backend can be counted on. Clock and dice are the caller's.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// So many failures in a row, and a backend is down. Real dials count, too.
const FAILURES_TO_GO_DOWN: u32 = 3;

/// How long one that has failed a session gets no others, while there are others: from the first,
/// twice as long each time, to the second.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A failure within this time costs a client nothing that it would notice.
const PROMPT: Duration = Duration::from_secs(1);

/// Something went wrong with a backend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// When it was over.
    pub now: Instant,
    /// How long it took.
    pub took: Duration,
    /// What was being done.
    pub during: During,
}

/// What was being done when it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum During {
    /// A session's dial, for this client.
    Dial(IpAddr),
    /// A session's opening, for this client. It may be that client's own fault.
    Opening(IpAddr),
    /// A probe.
    Probe,
}

/// What is known of a backend's health.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    seen_by: SeenBy,
    rest: Option<Rest>,
    /// Rests since a session was last served.
    rests: u32,
    was_slow: bool,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    /// It could not even be reached: whoever reaches it proves that wrong.
    unreached: bool,
}

/// Who has seen it fail since it was last well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SeenBy {
    #[default]
    Nobody,
    /// One client, and nobody else.
    One(IpAddr),
    Several,
}

/// Whether sessions may be sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Yes.
    Well,
    /// One client says no.
    Doubted {
        /// When that is forgotten; the past, if only its next probe can tell.
        until: Instant,
        /// It takes long to find out.
        is_slow: bool,
    },
    /// No.
    Out {
        /// It takes long to find out.
        is_slow: bool,
    },
}

impl Health {
    /// Nothing bad is known of it.
    pub(super) fn is_fine(&self) -> bool {
        self.failures == 0 && self.rest.is_none()
    }

    /// Whether it has failed too often.
    pub(super) fn is_down(&self) -> bool {
        self.failures >= FAILURES_TO_GO_DOWN
    }

    /// Notes a failure. `dice`: any number. Whether it is down with this one.
    pub(super) fn failed(&mut self, failure: Failure, dice: u64) -> bool {
        self.was_slow = failure.took > PROMPT;
        let witness = match failure.during {
            During::Dial(client) | During::Opening(client) => Some(neighbourhood(client)),
            During::Probe => None,
        };
        self.seen_by = match (self.seen_by, witness) {
            (SeenBy::Nobody, Some(client)) => SeenBy::One(client),
            (SeenBy::One(before), Some(client)) if before == client => SeenBy::One(client),
            _ => SeenBy::Several,
        };
        let is_resting = self.rest.is_some_and(|rest| failure.now < rest.until);
        // What fails meanwhile began before: it is the same trouble.
        if witness.is_some() && !is_resting {
            let unreached = matches!(failure.during, During::Dial(_));
            self.rest =
                Some(Rest { until: failure.now + jittered(self.rest_for(), dice), unreached });
            self.rests = self.rests.saturating_add(1);
        }
        // An opening that fails may be that client's fault: the probe judges.
        if matches!(failure.during, During::Opening(_)) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.failures == FAILURES_TO_GO_DOWN
    }

    fn rest_for(&self) -> Duration {
        (REST.0 * 2_u32.saturating_pow(self.rests.min(10))).min(REST.1)
    }

    /// A session was served. Whether it was down before.
    pub(super) fn served(&mut self) -> bool {
        let was_down = self.is_down();
        *self = Self::default();
        was_down
    }

    /// A probe found it well. Whether it was down before.
    pub(super) fn probed(&mut self) -> bool {
        let was_down = self.is_down();
        self.failures = 0;
        self.rest = self.rest.filter(|rest| !rest.unreached);
        if self.rest.is_none() {
            self.seen_by = SeenBy::Nobody;
        }
        was_down
    }

    /// Whether sessions may be sent there now.
    pub(super) fn state(&self, now: Instant) -> State {
        let rest = self.rest.filter(|rest| now < rest.until);
        let is_slow = self.was_slow;
        match self.seen_by {
            _ if rest.is_none() && !self.is_down() => State::Well,
            SeenBy::One(_) => {
                State::Doubted { until: rest.map_or(now, |rest| rest.until), is_slow }
            }
            _ => State::Out { is_slow },
        }
    }
}

/// A time that is up to a quarter shorter or longer, so that what fails together does not come back
/// together.
pub(super) fn jittered(time: Duration, dice: u64) -> Duration {
    // Six bits are plenty, and the sum cannot overflow for any time that is written here.
    time * 3 / 4 + time / 128 * u32::try_from(dice % 64).unwrap_or(0)
}

/// Those who may well be one client: an address, or in IPv6 the /64 around it.
pub(super) fn neighbourhood(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 2));

    fn failure(now: Instant, during: During) -> Failure {
        Failure { now, took: Duration::ZERO, during }
    }

    #[test]
    fn three_failures_in_a_row_and_it_is_down_until_one_success() {
        let now = Instant::now();
        for success in [Health::served, Health::probed] {
            let mut health = Health::default();
            let said: Vec<bool> =
                (0..5).map(|_| health.failed(failure(now, During::Probe), 0)).collect();
            assert_eq!(said, [false, false, true, false, false], "said once");
            assert_eq!(health.state(now), State::Out { is_slow: false });
            assert!(success(&mut health), "it was down");
            assert!(health.is_fine());
            assert_eq!(health.state(now), State::Well);
        }
    }

    #[test]
    fn one_failed_session_is_a_rest_that_grows_and_is_never_endless() {
        let mut now = Instant::now();
        for dice in 0..200 {
            let mut health = Health::default();
            let mut before = Duration::ZERO;
            for n in 0..20 {
                health.failed(failure(now, During::Opening(A)), dice * 31 + n);
                let until = health.rest.unwrap().until;
                let rest = until - now;
                assert!(rest >= REST.0 * 3 / 4 && rest <= REST.1 * 5 / 4, "{rest:?}");
                assert!(rest > before || rest >= REST.1 * 3 / 4, "{before:?}, then {rest:?}");
                // What fails meanwhile is the same trouble.
                health.failed(failure(now, During::Opening(A)), 1);
                assert_eq!(health.rest.unwrap().until, until);
                assert!(!health.is_down(), "an opening may be the client's fault");
                before = rest;
                now = until;
                assert_eq!(health.state(now), State::Well, "the rest is over");
            }
        }
    }

    #[test]
    fn rests_differ() {
        let rests: std::collections::BTreeSet<Duration> =
            (0..64).map(|dice| jittered(REST.0, dice)).collect();
        assert_eq!(rests.len(), 64);
    }

    #[test]
    fn what_one_client_alone_has_seen_is_a_doubt() {
        let now = Instant::now();
        let mut health = Health::default();
        for _ in 0..10 {
            health.failed(failure(now, During::Dial(A)), 0);
        }
        assert!(matches!(health.state(now), State::Doubted { .. }));
        for other in [During::Dial(B), During::Opening(B), During::Probe] {
            let mut health = Health::default();
            health.failed(failure(now, During::Dial(A)), 0);
            health.failed(failure(now, other), 0);
            assert_eq!(health.state(now), State::Out { is_slow: false }, "{other:?}");
        }
        let v6 = |text: &str| During::Dial(text.parse().unwrap());
        let mut health = Health::default();
        health.failed(failure(now, v6("2001:db8::1")), 0);
        health.failed(failure(now, v6("2001:db8::2")), 0);
        assert!(matches!(health.state(now), State::Doubted { .. }), "one /64 is one client");
        health.failed(failure(now, v6("2001:db8:0:1::1")), 0);
        assert!(matches!(health.state(now), State::Out { .. }));
    }

    #[test]
    fn a_probe_proves_that_it_can_be_reached_and_no_more() {
        let now = Instant::now();
        let mut health = Health::default();
        health.failed(failure(now, During::Dial(A)), 0);
        health.probed();
        assert_eq!(health.state(now), State::Well);
        health.failed(failure(now, During::Opening(A)), 0);
        health.probed();
        assert!(matches!(health.state(now), State::Doubted { .. }));
        health.served();
        assert_eq!(health.state(now), State::Well);
    }

    #[test]
    fn slow_is_what_its_last_failure_was() {
        let now = Instant::now();
        let mut health = Health::default();
        let took = Duration::from_secs(5);
        health.failed(Failure { now, took, during: During::Dial(A) }, 0);
        assert!(matches!(health.state(now), State::Doubted { is_slow: true, .. }));
        health.failed(failure(now, During::Probe), 0);
        assert_eq!(health.state(now), State::Out { is_slow: false });
    }
}
