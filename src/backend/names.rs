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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn lost() -> io::Result<Vec<IpAddr>> {
        Err(io::Error::other("no such name"))
    }

    #[test]
    fn the_last_good_answer_is_kept() {
        let mut answers = Answers::default();
        assert_eq!(answers.take(lost()), Change::Lost("no such name".into()));
        assert_eq!(answers.take(lost()), Change::None, "said once");
        let both = ips(&["10.0.0.5", "10.0.0.6"]);
        assert_eq!(
            answers.take(Ok(ips(&["10.0.0.6", "::ffff:10.0.0.5", "10.0.0.6"]))),
            Change::Addresses(both.clone())
        );
        assert_eq!(answers.take(Ok(both.clone())), Change::None, "whatever the order");
        assert_eq!(answers.take(Ok(Vec::new())), Change::Lost("it has no addresses".into()));
        assert_eq!(answers.take(lost()), Change::None);
        assert_eq!(answers.take(Ok(both)), Change::Found);
        assert_eq!(answers.take(lost()), Change::Lost("no such name".into()), "again");
        let other = ips(&["10.0.0.7"]);
        assert_eq!(answers.take(Ok(other.clone())), Change::Addresses(other));
    }

    #[test]
    fn a_name_that_is_lost_is_looked_up_more_often_and_never_less() {
        let every = Duration::from_secs(30);
        let mut answers = Answers::default();
        assert_eq!(answers.rest(every), every);
        let mut before = Duration::ZERO;
        for _ in 0..50 {
            answers.take(lost());
            let rest = answers.rest(every);
            assert!(rest >= before && rest >= BACKOFF && rest <= every);
            before = rest;
        }
        assert_eq!(before, every);
        answers.failures = 1;
        assert_eq!(answers.rest(Duration::from_millis(200)), Duration::from_millis(200));
    }

    /// A resolver that says what the test wants it to, when the test wants it to be asked.
    #[tokio::test]
    async fn pools_hear_of_changes_and_of_nothing_else() {
        let script = Mutex::new(
            vec![
                lost(),
                Ok(ips(&["10.0.0.5"])),
                lost(),
                Ok(Vec::new()),
                Ok(ips(&["10.0.0.5"])),
                Ok(ips(&["10.0.0.6", "10.0.0.5"])),
            ]
            .into_iter(),
        );
        let (wake, (asked, mut asks)) = (Arc::new(Notify::new()), mpsc::unbounded_channel());
        let (changed, mut changes) = mpsc::unbounded_channel();
        let look_up = |name: String| {
            assert_eq!(name, "mail.example.org");
            let answer = script.lock().unwrap().next();
            asked.send(()).unwrap();
            async {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        let every = Duration::from_secs(3600);
        let resolving = keep_resolving(
            "mail.example.org".into(),
            Vec::new(),
            every,
            wake.clone(),
            look_up,
            |a| {
                changed.send(a).unwrap();
            },
        );
        let director = async {
            for _ in 0..7 {
                asks.recv().await.unwrap();
                wake.notify_one();
            }
        };
        tokio::select! {
            () = resolving => {}
            () = director => {}
        }
        let mut heard = Vec::new();
        while let Ok(addresses) = changes.try_recv() {
            heard.push(addresses);
        }
        let all = [vec![], ips(&["10.0.0.5"]), ips(&["10.0.0.5", "10.0.0.6"])];
        assert_eq!(heard, all, "the first answer in any case, so that nobody waits for more");
    }
}
