//! Host names of backends: looked up in the background, so that no session ever waits for DNS, and
//! with the last good answer kept.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};

use super::health::jittered;

/// How soon a name that cannot be found is looked up again, at first; later less often.
const BACKOFF: Duration = Duration::from_secs(1);

/// What is known of a name.
#[derive(Debug, Default)]
struct Answers {
    last: BTreeSet<IpAddr>,
    failures: u32,
}

/// What a lookup changed.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// Nothing.
    None,
    /// These are its addresses now.
    Addresses(Vec<IpAddr>),
    /// It cannot be looked up, which was not so before.
    Lost(String),
    /// It could not be looked up, and has the addresses that it had before.
    Found,
}

impl Answers {
    /// Takes an answer. One without addresses is no answer: a server that answers so for a moment
    /// must not take the backend away.
    fn take(&mut self, answer: io::Result<Vec<IpAddr>>) -> Change {
        let addresses = match answer {
            Ok(addresses) if addresses.is_empty() => Err("it has no addresses".to_owned()),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(error.to_string()),
        };
        match addresses {
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == 1 { Change::Lost(why) } else { Change::None }
            }
            Ok(addresses) => {
                let was_lost = std::mem::take(&mut self.failures) > 0;
                // Resolvers like to turn the list; and two names of one address are one.
                let addresses = addresses.into_iter().map(|ip| ip.to_canonical()).collect();
                if self.last != addresses {
                    self.last = addresses;
                    return Change::Addresses(self.last.iter().copied().collect());
                }
                if was_lost { Change::Found } else { Change::None }
            }
        }
    }

    /// How long the last answer is good for.
    fn rest(&self, every: Duration) -> Duration {
        match self.failures {
            0 => every,
            n => (BACKOFF * 2_u32.saturating_pow((n - 1).min(10))).min(every),
        }
    }
}

/// Looks a name up for as long as it is configured: at once, then this often, and when `wake` says
/// so. `changed` is told its addresses when they are others than before, `last`, and after the first
/// lookup in any case.
pub async fn keep_resolving<A: Future<Output = io::Result<Vec<IpAddr>>>>(
    name: String,
    last: Vec<IpAddr>,
    every: Duration,
    wake: Arc<Notify>,
    look_up: impl Fn(String) -> A,
    changed: impl Fn(Vec<IpAddr>),
) {
    let mut answers = Answers { last: last.into_iter().collect(), failures: 0 };
    let mut is_first = true;
    loop {
        match answers.take(look_up(name.clone()).await) {
            Change::Addresses(addresses) => {
                tracing::info!(%name, ?addresses, "backend's name looked up");
                changed(addresses);
            }
            Change::Lost(why) => {
                let addresses = &answers.last;
                tracing::warn!(%name, %why, ?addresses, "a backend's name cannot be looked up; the addresses that it had are kept");
                if is_first {
                    changed(addresses.iter().copied().collect());
                }
            }
            Change::Found => tracing::info!(%name, "backend's name can be looked up again"),
            Change::None => {}
        }
        is_first = false;
        let rest = jittered(answers.rest(every), RandomState::new().hash_one(Instant::now()));
        tokio::select! {
            () = sleep(rest) => {}
            () = wake.notified() => {}
        }
    }
}

/// Asks the system's resolver: /etc/hosts, DNS, whatever nsswitch.conf says.
pub async fn look_up(name: String) -> io::Result<Vec<IpAddr>> {
    // The port is of no interest; that it takes one is the function's way.
    Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.map(|address| address.ip()).collect())
}
