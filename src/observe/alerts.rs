//! Clients that do not take our certificate: said aloud once, then counted.
//!
//! Each session's own line says it, too, among thousands that are fine. Here is what an
//! administrator should see; strangers choose how often it happens, not how often it is said.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{session::Summary, tls::ClientAlert};

/// How long the same is not said again.
const INTERVAL: Duration = Duration::from_secs(60 * 60);

/// So many are told apart. Listeners, alerts and certificates are no strangers' choice, but for the
/// address that they call.
const MOST: usize = 1_000;

/// What was said, and how often it has happened since.
#[derive(Debug, Default)]
pub struct Alerts(Mutex<HashMap<Key, Said>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    listener: SocketAddr,
    alert: u8,
    certificate: Option<String>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    more: u64,
    name: String,
    message: &'static str,
}

impl Alerts {
    /// Takes note of how a session ended.
    pub fn note(&self, summary: &Summary) {
        let Some(alert) = summary.alert() else { return };
        let Some(meaning) = &alert.meaning else { return };
        let (listener, certificate) = (summary.local, summary.certificate.as_deref());
        let key =
            Key { listener, alert: alert.number, certificate: certificate.map(str::to_owned) };
        let Some(more) = self.count(key, alert, Instant::now()) else { return };
        let chain = alert.chain.as_ref();
        tracing::info!(
            %listener,
            alert = alert.name(),
            certificate,
            sent = chain.map(|c| c.sent),
            issuer = chain.map(|c| c.last_issuer.as_str()),
            complete = chain.map(|c| c.complete),
            meaning,
            more = (more > 0).then_some(more),
            "{}",
            message(alert)
        );
    }

    /// Says how often it has happened since it was said last, and forgets everything: after a
    /// reload, or in the end.
    pub fn settle(&self) {
        let said = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        said.iter().for_each(|(key, said)| said.settle(key));
    }

    /// `Some`: it is to be said, and has happened so many times since it was said last.
    fn count(&self, key: Key, alert: &ClientAlert, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = all.get_mut(&key) {
            if now.duration_since(said.at) < INTERVAL {
                said.more += 1;
                return None;
            }
            said.at = now;
            return Some(std::mem::take(&mut said.more));
        }
        if all.len() >= MOST {
            all.retain(|key, said| {
                let is_fresh = now.duration_since(said.at) < INTERVAL;
                if !is_fresh {
                    said.settle(key);
                }
                is_fresh
            });
        }
        // Beyond that, the sessions' own lines must do.
        if all.len() >= MOST {
            return None;
        }
        all.insert(key, Said { at: now, more: 0, name: alert.name(), message: message(alert) });
        Some(0)
    }
}

impl Said {
    fn settle(&self, key: &Key) {
        if self.more > 0 {
            tracing::info!(
                listener = %key.listener,
                alert = self.name,
                certificate = key.certificate,
                more = self.more,
                "{}",
                self.message
            );
        }
    }
}

fn message(alert: &ClientAlert) -> &'static str {
    if alert.is_about_certificate() {
        "clients refuse the certificate"
    } else {
        "clients refuse the handshake"
    }
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    fn key(n: u16) -> Key {
        Key { listener: ([192, 0, 2, 1], n).into(), alert: 48, certificate: None }
    }

    #[test]
    fn once_an_interval_and_then_with_the_number_of_those_between() {
        let (all, alert) =
            (Alerts::default(), ClientAlert::new(AlertDescription::UnknownCA, None, None));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(all.count(key(1), &alert, at(0)), Some(0));
        assert_eq!(all.count(key(1), &alert, at(1)), None);
        assert_eq!(all.count(key(2), &alert, at(1)), Some(0), "another listener");
        assert_eq!(all.count(key(1), &alert, at(3_599)), None);
        assert_eq!(all.count(key(1), &alert, at(3_600)), Some(2));
        assert_eq!(all.count(key(1), &alert, at(3_601)), None, "and again from there");
    }

    #[test]
    fn the_table_has_an_end_and_makes_room() {
        let (all, alert) =
            (Alerts::default(), ClientAlert::new(AlertDescription::UnknownCA, None, None));
        let begin = Instant::now();
        for n in 0..2_000 {
            let said = all.count(key(n), &alert, begin);
            assert_eq!(said.is_some(), usize::from(n) < MOST, "{n}");
        }
        assert_eq!(all.0.lock().unwrap().len(), MOST);
        assert_eq!(all.count(key(3_000), &alert, begin + INTERVAL), Some(0));
        assert_eq!(all.0.lock().unwrap().len(), 1);
    }
}
