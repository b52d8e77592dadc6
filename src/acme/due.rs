//! What is to be done for a certificate, and when. No clock in here.

use super::{Entry, Item, Phase, Source, held::Held, schedule};

/// What is due for a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is ordered now.
    Order,
    /// The authority is asked now when it is to be renewed.
    Ask,
    /// Not before then.
    At(i64),
}

/// What is due now.
pub(super) fn due(
    entry: &Entry,
    held: Option<&Held>,
    item: &Item,
    source: &Source,
    now: i64,
) -> Due {
    let is_same = entry.is_about(item, source);
    let rest = entry.next.filter(|next| is_same && schedule::is_ahead(*next, now));
    if is_same {
        if entry.phase == Phase::Revoked {
            return Due::At(i64::MAX);
        }
        if entry.phase == Phase::Failed
            && let Some(next) = rest
        {
            return Due::At(next);
        }
    }
    let is_good = |held: &&Held| {
        !entry.revoked
            && entry.held_from.as_ref().is_none_or(|from| from == source)
            && item.names.iter().all(|name| held.names.contains(name))
    };
    let Some(held) = held.filter(is_good) else { return Due::Order };
    let own = schedule::renewal(held.valid, held.share());
    let renew = if is_same { entry.renew.unwrap_or(own) } else { own };
    // Whatever anybody advises, there has to be one.
    let is_due = renew <= now || held.valid.1 <= now;
    let then = match (is_due, rest) {
        (true, None) => return Due::Order,
        (true, Some(next)) => next,
        (false, _) => renew,
    };
    match entry.ask.filter(|ask| is_same && schedule::is_ahead(*ask, now)) {
        Some(ask) => Due::At(ask.min(then)),
        None => Due::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn item() -> Item {
        Item::of(&["a.example", "b.example"])
    }

    fn held(names: &[&str]) -> Held {
        Held {
            leaf: vec![0].into(),
            names: names.iter().map(|&n| n.to_owned()).collect(),
            valid: (0, 90 * DAY),
            is_whole: true,
        }
    }

    fn entry() -> Entry {
        let names = item().names;
        Entry { phase: Phase::Fine, names, source: source("d"), ..Entry::default() }
    }

    fn source(directory: &str) -> Source {
        Source { directory: directory.into(), profile: None }
    }

    fn at(entry: &Entry, held: Option<&Held>, now: i64) -> Due {
        due(entry, held, &item(), &source("d"), now)
    }

    #[test]
    fn what_is_missing_is_ordered() {
        assert_eq!(at(&entry(), None, DAY), Due::Order);
        assert_eq!(at(&entry(), Some(&held(&["a.example"])), DAY), Due::Order, "a name is new");
        let both = held(&["a.example", "b.example", "c.example"]);
        assert_eq!(at(&entry(), Some(&both), DAY), Due::Ask);
        let asked = Entry { ask: Some(2 * DAY), ..entry() };
        assert_eq!(at(&asked, Some(&both), DAY), Due::At(2 * DAY));
        assert_eq!(at(&asked, Some(&both), 60 * DAY), Due::Order);
        let advised = Entry { renew: Some(3 * DAY), ask: Some(7 * DAY), ..entry() };
        assert_eq!(at(&advised, Some(&both), DAY), Due::At(3 * DAY));
        assert_eq!(at(&advised, Some(&both), 3 * DAY), Due::Order);
        let late = Entry { renew: Some(1000 * DAY), ask: Some(91 * DAY), ..entry() };
        assert_eq!(at(&late, Some(&both), 90 * DAY), Due::Order, "it has expired");
    }

    /// Whatever clocks and authorities say of a certificate, an order is not followed by another at once.
    #[test]
    fn what_has_just_come_is_left_alone() {
        let both = held(&["a.example", "b.example"]);
        let came = Entry { next: Some(61 * DAY), ..entry() };
        assert_eq!(at(&came, Some(&both), 60 * DAY), Due::Ask, "it may be an error");
        let asked = Entry { renew: Some(DAY), ask: Some(62 * DAY), ..came };
        assert_eq!(at(&asked, Some(&both), 60 * DAY), Due::At(61 * DAY));
        assert_eq!(at(&asked, Some(&both), 61 * DAY), Due::Order);
        assert_eq!(at(&asked, Some(&held(&["a.example"])), 60 * DAY), Due::Order, "a name is new");
        // The clock was wrong when that was written.
        let far = Entry { next: Some(1000 * DAY), ask: Some(1000 * DAY), ..entry() };
        assert_eq!(at(&far, Some(&both), 60 * DAY), Due::Order);
        assert_eq!(at(&far, Some(&both), DAY), Due::Ask);
    }

    #[test]
    fn who_has_failed_waits() {
        let failed = Entry { phase: Phase::Failed, next: Some(5 * DAY), ..entry() };
        assert_eq!(at(&failed, None, DAY), Due::At(5 * DAY));
        assert_eq!(at(&failed, None, 5 * DAY), Due::Order);
        // What was said of other names, or by somebody else, is not about this.
        assert_eq!(due(&failed, None, &item(), &source("other"), DAY), Due::Order);
        assert_eq!(due(&failed, None, &Item::of(&["a.example"]), &source("d"), DAY), Due::Order);
    }

    #[test]
    fn what_is_from_elsewhere_is_not_what_is_wanted() {
        let both = held(&["a.example", "b.example"]);
        let from = |held_from| Entry { held_from, ..entry() };
        assert_eq!(at(&from(Some(source("d"))), Some(&both), DAY), Due::Ask);
        assert_eq!(at(&from(Some(source("staging"))), Some(&both), DAY), Due::Order);
        let other = Source { profile: Some("short".into()), ..source("d") };
        let failed = Entry { phase: Phase::Failed, next: Some(2 * DAY), ..from(Some(other)) };
        assert_eq!(at(&failed, Some(&both), DAY), Due::At(2 * DAY));
        assert_eq!(at(&failed, Some(&both), 2 * DAY), Due::Order);
    }

    #[test]
    fn what_was_revoked_is_good_for_nothing() {
        let both = held(&["a.example", "b.example"]);
        let revoked = Entry { phase: Phase::Revoked, revoked: true, ..entry() };
        assert_eq!(at(&revoked, Some(&both), DAY), Due::At(i64::MAX), "nobody wants another");
        let failed = Entry { phase: Phase::Failed, next: Some(2 * DAY), ..revoked };
        assert_eq!(at(&failed, Some(&both), DAY), Due::At(2 * DAY));
        assert_eq!(at(&failed, Some(&both), 2 * DAY), Due::Order);
        let cut_off = Entry { phase: Phase::Ordered, next: None, ..failed };
        assert_eq!(at(&cut_off, Some(&both), DAY), Due::Order);
    }
}
