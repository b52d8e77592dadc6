//! Which member of a pool gets a session: no clock, no dice, no lock.

use std::net::IpAddr;

use super::health::{State, neighbourhood};
use crate::values::Balance;

/// A member, as far as the choice goes. Those that take no new sessions have none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// Whether it can be counted on.
    pub state: State,
    /// How many sessions it has.
    pub sessions: usize,
    /// [`affinity`] with this client.
    pub affinity: u64,
    /// This session has been there.
    pub tried: bool,
}

/// The seat for a session; `None`: nobody is well, and to find out whether that is still so would
/// keep the client waiting. `turn` counts sessions.
///
/// What one client alone has seen may be its own fault, or its purpose: of those that are out for
/// that reason, at most half of the pool stays out.
pub(super) fn choose(seats: &[Seat], balance: Balance, turn: usize) -> Option<usize> {
    let mut doubted: Vec<(std::time::Instant, usize)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for (n, seat) in seats.iter().enumerate() {
        match seat.state {
            State::Well => open.push(n),
            State::Doubted { until, .. } => doubted.push((until, n)),
            State::Out { .. } => {}
        }
    }
    // Those come back first that would anyway.
    doubted.sort_unstable();
    let most_out = seats.len() / 2;
    let given_back = doubted.len().saturating_sub(most_out);
    open.extend(doubted.iter().take(given_back).map(|(_, n)| *n));
    open.retain(|n| !seats[*n].tried);
    open.sort_unstable();
    if open.is_empty() {
        open = last_resorts(seats);
    }
    match balance {
        Balance::First => open.first().copied(),
        Balance::HashClient => open.into_iter().max_by_key(|n| seats[*n].affinity),
        Balance::RoundRobin => open.get(turn % open.len().max(1)).copied(),
        Balance::LeastSessions => {
            let fewest = open.iter().map(|n| seats[*n].sessions).min()?;
            open.retain(|n| seats[*n].sessions == fewest);
            open.get(turn % open.len()).copied()
        }
    }
}

/// Nobody is well. Those whose failure comes at once may be asked once more: it costs a client
/// nothing, and finds one that was just started before the next probe does.
fn last_resorts(seats: &[Seat]) -> Vec<usize> {
    let is_quick = |seat: &Seat| match seat.state {
        State::Well => true,
        State::Doubted { is_slow, .. } | State::Out { is_slow } => !is_slow,
    };
    (0..seats.len()).filter(|n| !seats[*n].tried && is_quick(&seats[*n])).collect()
}

/// How much a client and a member belong together: each client goes to the member with the most
/// (rendezvous hashing), so that a member that goes moves nobody but its own clients, and they come
/// back with it. The same in every process, and on every front with the same members.
pub(super) fn affinity(client: IpAddr, member: &str) -> u64 {
    let client = match neighbourhood(client) {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    // FNV-1a, and then the finish of splitmix64: FNV alone hardly stirs its upper bits.
    let octets = client.to_be_bytes().into_iter().chain(member.bytes());
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    };

    use proptest::prelude::*;

    use super::*;

    const ALL: [Balance; 4] =
        [Balance::First, Balance::HashClient, Balance::LeastSessions, Balance::RoundRobin];

    fn seat(state: State) -> Seat {
        Seat { state, sessions: 0, affinity: 0, tried: false }
    }

    fn client(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0xcb00_7100 + n).into()
    }

    fn seats() -> impl Strategy<Value = Vec<Seat>> {
        let now = Instant::now();
        let state = prop_oneof![
            Just(State::Well),
            (0..10_u64, any::<bool>()).prop_map(move |(seconds, is_slow)| State::Doubted {
                until: now + Duration::from_secs(seconds),
                is_slow
            }),
            any::<bool>().prop_map(|is_slow| State::Out { is_slow }),
        ];
        let seat = (state, 0..4_usize, any::<u64>(), any::<bool>()).prop_map(
            |(state, sessions, affinity, tried)| Seat { state, sessions, affinity, tried },
        );
        proptest::collection::vec(seat, 0..9)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the pool looks like: never one that was tried, never one that is out while
        /// another is well, never one that keeps the client waiting for nothing.
        #[test]
        fn nobody_is_sent_where_it_is_known_to_be_useless(seats in seats(), turn in any::<usize>()) {
            for balance in ALL {
                let chosen = choose(&seats, balance, turn);
                let is_free = |wanted: fn(&State) -> bool| seats.iter().any(|s| !s.tried && wanted(&s.state));
                let is_well_free = is_free(|s| matches!(s, State::Well));
                let is_quick_free = is_free(|s| matches!(s, State::Out { is_slow: false }));
                let Some(chosen) = chosen else {
                    prop_assert!(!is_well_free && !is_quick_free);
                    continue;
                };
                prop_assert!(!seats[chosen].tried);
                match seats[chosen].state {
                    State::Well => {}
                    State::Doubted { .. } | State::Out { is_slow: false } => {
                        let doubted = seats.iter().filter(|s| matches!(s.state, State::Doubted { .. })).count();
                        prop_assert!(doubted > seats.len() / 2 || !is_well_free);
                    }
                    State::Out { is_slow: true } => prop_assert!(false, "it would keep the client waiting"),
                }
            }
        }

        /// One client, whatever it does, takes at most half of a pool from the others.
        #[test]
        fn one_client_cannot_empty_a_pool(size in 1..9_usize, turns in 0..50_usize) {
            let now = Instant::now();
            let doubt = |n: usize| State::Doubted { until: now + Duration::from_secs(n as u64), is_slow: true };
            let seats: Vec<Seat> = (0..size).map(|n| seat(doubt(n))).collect();
            let used: std::collections::BTreeSet<usize> = (0..turns + size)
                .filter_map(|turn| choose(&seats, Balance::RoundRobin, turn))
                .collect();
            prop_assert_eq!(used.len(), size - size / 2);
            prop_assert_eq!(used.last(), Some(&(size - size / 2 - 1)), "those that come back first");
        }
    }

    #[test]
    fn turns_are_shared_fairly_also_when_one_is_out() {
        let mut seats = vec![seat(State::Well); 3];
        seats[0].state = State::Out { is_slow: false };
        let mut counts = [0; 3];
        for turn in 0..1000 {
            counts[choose(&seats, Balance::RoundRobin, turn).unwrap()] += 1;
        }
        assert_eq!(counts, [0, 500, 500], "the neighbour does not get the share of two");
    }

    #[test]
    fn the_first_is_the_first_that_is_well() {
        let mut seats = vec![seat(State::Well); 3];
        assert_eq!(choose(&seats, Balance::First, 7), Some(0));
        seats[0].state = State::Out { is_slow: false };
        assert_eq!(choose(&seats, Balance::First, 7), Some(1));
        seats[1].tried = true;
        assert_eq!(choose(&seats, Balance::First, 7), Some(2));
    }

    #[test]
    fn the_least_busy_is_chosen_and_ties_take_turns() {
        let mut seats = vec![seat(State::Well); 4];
        for (seat, sessions) in seats.iter_mut().zip([5, 2, 2, 9]) {
            seat.sessions = sessions;
        }
        let chosen: Vec<_> =
            (0..4).map(|turn| choose(&seats, Balance::LeastSessions, turn).unwrap()).collect();
        assert_eq!(chosen, [1, 2, 1, 2]);
    }

    fn home(members: &[&str], n: u32, out: Option<&str>) -> String {
        let seats: Vec<Seat> = members
            .iter()
            .map(|member| Seat {
                affinity: affinity(client(n), member),
                ..seat(if Some(*member) == out {
                    State::Out { is_slow: false }
                } else {
                    State::Well
                })
            })
            .collect();
        members[choose(&seats, Balance::HashClient, 0).unwrap()].to_owned()
    }

    #[test]
    fn a_client_stays_where_it_is_whoever_else_comes_and_goes() {
        let members = ["10.0.0.5:143", "10.0.0.6:143", "10.0.0.7:143"];
        let mut shares: BTreeMap<String, u32> = BTreeMap::new();
        for n in 0..3000 {
            let before = home(&members, n, None);
            *shares.entry(before.clone()).or_default() += 1;
            let mut turned = members;
            turned.rotate_left(1);
            assert_eq!(home(&turned, n, None), before, "their order does not matter");
            for gone in members {
                let after = home(&members, n, Some(gone));
                assert!(before == gone || before == after, "only the clients of {gone} move");
                assert_ne!(after, gone);
            }
            let more = ["10.0.0.5:143", "10.0.0.6:143", "10.0.0.7:143", "10.0.0.8:143"];
            let after = home(&more, n, None);
            assert!(after == before || after == "10.0.0.8:143");
        }
        assert!(shares.values().all(|n| (900..1100).contains(n)), "{shares:?}");
    }

    /// Fronts side by side, of whatever version, must agree: these numbers never change.
    #[test]
    fn affinity_is_for_ever() {
        assert_eq!(
            affinity(client(1), "10.0.0.5:143"),
            affinity("::ffff:203.0.113.1".parse().unwrap(), "10.0.0.5:143")
        );
        let v6 = |text: &str| affinity(text.parse().unwrap(), "10.0.0.5:143");
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff"), "a /64 is one client");
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(affinity(client(1), "10.0.0.5:143"), 4_624_442_154_952_101_880);
    }
}
