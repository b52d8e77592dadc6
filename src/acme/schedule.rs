//! When something is due. No clock and no chance in here.

use super::{Kind, Trouble};

/// Seconds of an hour, and of a day.
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// Nothing is put off for longer, in seconds: the longest wait that an authority may ask for.
const LONGEST: i64 = 7 * DAY;

/// When a certificate is renewed that is valid from then to then, in seconds since 1970: at two thirds
/// of its life, and somewhat earlier by a share that is its own (0 to 255 of 256), so that many
/// certificates of one day are not renewed in one minute.
#[must_use]
pub(super) fn renewal((from, to): (i64, i64), share: u8) -> i64 {
    let life = to.saturating_sub(from).max(0);
    let spread = life / 24;
    from.saturating_add(life / 3 * 2) - spread * i64::from(share) / 256
}

/// When a certificate is renewed for which the authority suggests this window: RFC 9773 §4.2 wants a
/// point that is chosen at random.
#[must_use]
pub(super) fn advised((start, end): (i64, i64), share: u8) -> i64 {
    let width = end.saturating_sub(start).max(0);
    start.saturating_add(width / 256 * i64::from(share))
}

/// How many seconds a certificate is left alone that has just come, whatever is said of it: another so
/// soon would be no other.
#[must_use]
pub(super) fn rest((from, to): (i64, i64)) -> i64 {
    (to.saturating_sub(from).max(0) / 3).min(HOUR)
}

/// How many seconds nobody else asks an authority that wants to be left alone. It may have meant these
/// names alone, so others are not kept from it for as long.
#[must_use]
pub(super) fn silence(trouble: &Trouble, failures: u32) -> Option<i64> {
    let is_meant = trouble.kind == Kind::Limited || trouble.after.is_some();
    is_meant.then(|| back_off(trouble, failures).min(HOUR))
}

/// Whether this moment is to be waited for. One that is too far was written by a clock that was wrong.
#[must_use]
pub(super) fn is_ahead(moment: i64, now: i64) -> bool {
    moment > now && moment - now <= LONGEST
}

/// How many seconds later the next attempt is, after so many failures. The authority's own word counts
/// at the least.
#[must_use]
pub(super) fn back_off(trouble: &Trouble, failures: u32) -> i64 {
    let (first, most) = match trouble.kind {
        Kind::Passing => (5, HOUR),
        Kind::Ours => (30, HOUR),
        // Let's Encrypt counts five failed validations an hour.
        Kind::Refused => (60, DAY / 4),
        // The authority knows best.
        Kind::Limited if trouble.after.is_some() => (60, HOUR),
        Kind::Limited | Kind::Useless => (HOUR, DAY),
    };
    let doubled = first << failures.saturating_sub(1).min(20);
    let told = trouble.after.map_or(0, |after| i64::try_from(after.as_secs()).unwrap_or(DAY));
    doubled.min(most).max(told)
}

/// When the authority is asked again about its window: RFC 9773 §4.3 wants that to be bounded.
#[must_use]
pub(super) fn ask_again(now: i64, told: Option<std::time::Duration>) -> i64 {
    let told = told.map_or(6 * HOUR, |told| i64::try_from(told.as_secs()).unwrap_or(DAY));
    now + told.clamp(60, DAY)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_third_of_its_life_is_left() {
        for days in [1, 6, 45, 90, 398] {
            let life = days * DAY;
            let (latest, earliest) =
                (renewal((1000, 1000 + life), 0), renewal((1000, 1000 + life), 255));
            assert!(latest - 1000 <= life / 3 * 2 && latest - 1000 >= life / 3 * 2 - 2, "{days}");
            assert!(earliest < latest && latest - earliest <= life / 24, "{days}");
        }
        assert_eq!(renewal((5, 5), 255), 5);
        assert_eq!(renewal((9, 5), 255), 9, "nonsense is due at once");
    }

    #[test]
    fn the_authoritys_window_is_kept() {
        for share in [0, 1, 128, 255] {
            let at = advised((1000, 1000 + DAY), share);
            assert!((1000..=1000 + DAY).contains(&at));
        }
        assert_ne!(advised((1000, 1000 + DAY), 1), advised((1000, 1000 + DAY), 2));
        assert_eq!(advised((1000, 900), 77), 1000);
        assert_eq!(ask_again(0, Some(Duration::from_secs(1))), 60);
        assert_eq!(ask_again(0, Some(Duration::from_secs(99 * 86_400))), DAY);
        assert_eq!(ask_again(0, None), DAY / 4);
    }

    #[test]
    fn what_has_come_has_its_rest() {
        assert_eq!(rest((0, 90 * DAY)), HOUR);
        // Those of a test must be renewed within minutes.
        assert_eq!(rest((1000, 1018)), 6);
        assert_eq!(rest((9, 5)), 0);
        for (moment, is_waited_for) in [(0, false), (1, true), (7 * DAY, true), (8 * DAY, false)] {
            assert_eq!(is_ahead(moment, 0), is_waited_for, "{moment}");
        }
    }

    #[test]
    fn others_are_silent_for_a_while() {
        let after = |kind, seconds: Option<u64>| {
            let after = seconds.map(Duration::from_secs);
            silence(&Trouble { kind, text: String::new(), after }, 1)
        };
        assert_eq!(after(Kind::Limited, Some(600)), Some(600));
        assert_eq!(after(Kind::Limited, Some(7200)), Some(HOUR));
        assert_eq!(after(Kind::Passing, Some(600)), Some(600));
        assert_eq!(after(Kind::Passing, None), None);
        assert_eq!(after(Kind::Refused, None), None);
    }

    #[test]
    fn attempts_become_rare_and_the_authority_is_heard() {
        let trouble = |kind, after: Option<u64>| Trouble {
            kind,
            text: String::new(),
            after: after.map(Duration::from_secs),
        };
        let seconds = |n| back_off(&trouble(Kind::Passing, None), n);
        assert_eq!([1, 2, 3, 4, 50].map(seconds), [5, 10, 20, 40, 3600]);
        let seconds = |n| back_off(&trouble(Kind::Refused, None), n);
        assert_eq!([1, 2, 3, u32::MAX].map(seconds), [60, 120, 240, DAY / 4]);
        assert_eq!(back_off(&trouble(Kind::Limited, None), 1), 3600);
        assert_eq!(back_off(&trouble(Kind::Limited, Some(7200)), 1), 7200);
        let seconds = |n| back_off(&trouble(Kind::Limited, Some(7)), n);
        assert_eq!([1, 2, 50].map(seconds), [60, 120, 3600]);
        assert_eq!(back_off(&trouble(Kind::Passing, Some(600)), 1), 600);
        let seconds = |n| back_off(&trouble(Kind::Useless, None), n);
        assert_eq!([1, 2, 3, u32::MAX].map(seconds), [3600, 7200, 14400, DAY]);
    }
}
