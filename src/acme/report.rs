//! What is to be said of certificates that are wanted.

use std::sync::Arc;

use super::{Entry, Folder, Item, Phase, Source, held::Held};
use crate::{
    certs::{Certificate, Code, Finding, date},
    values::Acme,
};

/// What is wrong with certificates that are to come by themselves, and which are on their way.
#[must_use]
pub fn findings(settings: &Acme) -> Vec<Finding> {
    let folder = Folder::of(settings);
    Item::all(settings).iter().filter_map(|item| finding(settings, &folder, item)).collect()
}

/// The names of those certificates that are wanted, and are not among these yet.
#[must_use]
pub fn awaited(settings: &Acme, there: &[Arc<Certificate>]) -> Vec<String> {
    let folder = Folder::of(settings);
    let is_there = |item: &Item| {
        let file = folder.certificate(item);
        let mut held = there.iter().filter(|c| c.file() == file);
        held.any(|c| item.names.iter().all(|name| c.names().contains(name)))
    };
    let items = Item::all(settings).into_iter().filter(|item| !is_there(item));
    items.flat_map(|item| item.names).collect()
}

fn finding(settings: &Acme, folder: &Folder, item: &Item) -> Option<Finding> {
    let (entry, file) = (Entry::read(folder, item), folder.certificate(item));
    let names = item.names.join(", ");
    let is_known = entry.is_about(item, &Source::of(settings));
    let (code, text) = match entry.phase {
        Phase::Failed if is_known => {
            let reason = entry.reason.as_deref().unwrap_or("no reason is known");
            let next = entry.next.map_or_else(String::new, |next| {
                format!("; the next attempt is at {}", moment(next))
            });
            let times = if entry.failures > 1 {
                format!(" (for the {}. time)", entry.failures)
            } else {
                String::new()
            };
            let revoked =
                if entry.revoked { ", and the one that is there was revoked" } else { "" };
            let text = format!("no new certificate for {names}{revoked}{times}: {reason}{next}");
            (Code::OrderFailed, text)
        }
        Phase::Revoked if is_known => {
            let text = format!(
                "the certificate for {names} was revoked, and no other is ordered: `vestibule acme order` does"
            );
            (Code::OrderFailed, text)
        }
        Phase::Fine if is_known && entry.early > 0 => {
            let reason = entry.reason.as_deref().unwrap_or_default();
            let next = entry.next.map_or_else(String::new, moment);
            (Code::OrderFailed, format!("{names}: {reason} There is no other before {next}"))
        }
        Phase::Ordered if is_known && entry.revoked => {
            let text =
                format!("the certificate for {names} was revoked, and another is being ordered");
            (Code::OrderFailed, text)
        }
        Phase::Ordered if is_known => {
            (Code::OrderPending, format!("a certificate for {names} is being ordered"))
        }
        _ if entry.revoked && file.exists() => {
            let text = format!("the certificate for {names} that is there was revoked");
            (Code::OrderFailed, text)
        }
        _ if Held::read(&file).is_none() => (
            Code::OrderPending,
            format!("a certificate for {names} is ordered as soon as the front serves"),
        ),
        _ => return None,
    };
    Some(Finding::new(code, file, text))
}

/// A moment in UTC, to the minute.
#[must_use]
pub fn moment(seconds: i64) -> String {
    let minutes = seconds.rem_euclid(86_400) / 60;
    format!("{} {:02}:{:02} UTC", date(seconds), minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    #[test]
    fn moments_are_told_to_the_minute() {
        assert_eq!(super::moment(1_795_219_200 + 3600 * 13 + 60 * 7 + 59), "2026-11-21 13:07 UTC");
        assert_eq!(super::moment(-1), "1969-12-31 23:59 UTC");
    }
}
