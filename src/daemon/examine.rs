//! One look at every backend of a configuration, and the relay test: behind `vestibule check --backends`.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::Serialize;
use tokio::{task::JoinSet, time::timeout};

use super::Unfit;
use crate::{
    backend::{self, Attempt, Diagnosis, Key, Kind, STRANGERS},
    certs::Severity,
    config::{Config, Member},
    identity::Identity,
    protocol::{Protocol, smtp::Relaying},
    tls::Upstreams,
    values::{Site, Target, Timeouts},
};

/// Nobody waits for a minute in front of a terminal. Postfix' postscreen needs six seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was seen of a backend, for one protocol.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// What it should speak.
    pub protocol: &'static str,
    /// Where it is.
    pub backend: String,
    /// How it is told who the client is.
    pub identity: String,
    /// `none`, `implicit` or `starttls`.
    pub tls: String,
    /// Whose sessions go there.
    pub listeners: Vec<SocketAddr>,
    /// What it greets with; `None`: it did not come to that.
    pub banner: Option<String>,
    /// What it can do, as clients are told.
    pub capabilities: Vec<String>,
    /// The relay test, for each stranger. Empty where mail is not taken.
    pub relay: Vec<RelayTest>,
    /// What is wrong with it, or worth knowing, the worst first.
    pub findings: Vec<Diagnosis>,
}

/// What came of the relay test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelayTest {
    /// Whom the backend was told that it has before it.
    pub stranger: IpAddr,
    /// Whom it takes him for in truth, where it is told nothing.
    pub taken_for: Option<IpAddr>,
    /// Whether mail for others was taken.
    pub verdict: Verdict,
    /// What the backend said.
    pub said: String,
}

/// Whether mail for others was taken from a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was.
    Open,
    /// It was not.
    Refused,
    /// It could not be found out.
    Unknown,
}

impl From<Attempt> for RelayTest {
    fn from(attempt: Attempt) -> Self {
        let (verdict, said) = match attempt.relaying {
            Relaying::Granted(said) => (Verdict::Open, said),
            Relaying::Refused(said) => (Verdict::Refused, said),
            Relaying::Untold(said) => (Verdict::Unknown, said),
        };
        Self { stranger: attempt.stranger, taken_for: attempt.taken_for, verdict, said }
    }
}

impl Examination {
    /// How bad it is.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// Looks at all backends at once, at each address of each; each is looked at once, whoever shares it.
/// Blocks, for a bounded time.
pub fn examine(config: &Config) -> Result<Vec<Examination>, Unfit> {
    let upstreams = Upstreams::load(&config.backend_tls())
        .map_err(|findings| Unfit(findings.iter().map(ToString::to_string).collect()))?;
    let mut timeouts = config.timeouts;
    timeouts.greeting = timeouts.greeting.min(PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Unfit::from(format!("nothing can be asked: {e}")))?;
    Ok(runtime.block_on(async {
        let asked = asked(config, &upstreams).await;
        all(asked, &config.hostname, timeouts).await
    }))
}

/// Whom to ask: each address of each backend, once for each way in which it is reached.
async fn asked(config: &Config, upstreams: &Upstreams) -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    let mut known: HashMap<String, Result<Vec<IpAddr>, String>> = HashMap::new();
    for listener in &config.listeners {
        for destination in listener.destinations() {
            for Member { site, .. } in &destination.members {
                // All that rules name was read before.
                let tls = destination.tls(site).and_then(|rule| upstreams.get(&rule));
                let (protocol, identity) = (listener.protocol, destination.identity);
                for target in targets(site, &mut known).await {
                    let place = match target {
                        Ok(target) => Place::At(Key {
                            target,
                            protocol,
                            identity,
                            tls: tls.clone(),
                            h2c: destination.h2c,
                        }),
                        Err(why) => Place::Nowhere { site: site.clone(), protocol, why },
                    };
                    match all.iter_mut().find(|asked| asked.place == place) {
                        Some(asked) => {
                            let binds = listener.bind.iter();
                            let fresh = binds.filter(|b| !asked.listeners.contains(b)).copied();
                            asked.listeners =
                                asked.listeners.iter().copied().chain(fresh).collect();
                            asked.is_standard &= listener.is_standard;
                        }
                        None => all.push(Asked {
                            place,
                            listeners: listener.bind.clone(),
                            is_standard: listener.is_standard,
                        }),
                    }
                }
            }
        }
    }
    all
}

/// A site's addresses; each name is looked up once.
async fn targets(
    site: &Site,
    known: &mut HashMap<String, Result<Vec<IpAddr>, String>>,
) -> Vec<Result<Target, String>> {
    let (name, port) = match site {
        Site::At(target) => return vec![Ok(target.clone())],
        Site::Host { name, port } => (name, *port),
    };
    if !known.contains_key(name) {
        let found = match timeout(PATIENCE, backend::look_up(name.clone())).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err("it has no addresses".to_owned()),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        known.insert(name.clone(), found);
    }
    match &known[name] {
        Ok(addresses) => {
            let mut targets: Vec<_> = Vec::new();
            for ip in addresses {
                let target = Ok(Target::Tcp(SocketAddr::new(*ip, port)));
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
            targets
        }
        Err(why) => vec![Err(format!("its name cannot be looked up: {why}"))],
    }
}

/// Where a backend should be.
#[derive(PartialEq)]
enum Place {
    At(Key),
    /// Its name has no address, and why.
    Nowhere {
        site: Site,
        protocol: Protocol,
        why: String,
    },
}

struct Asked {
    place: Place,
    listeners: Vec<SocketAddr>,
    /// Nobody asked for any of its listeners in so many words.
    is_standard: bool,
}

async fn all(asked: Vec<Asked>, host: &str, timeouts: Timeouts) -> Vec<Examination> {
    let mut tasks = JoinSet::new();
    for (n, asked) in asked.into_iter().enumerate() {
        let host = host.to_owned();
        tasks.spawn(async move { (n, one(asked, &host, &timeouts).await) });
    }
    let mut seen = tasks.join_all().await;
    seen.sort_by_key(|(n, _)| *n);
    seen.into_iter().map(|(_, examination)| examination).collect()
}

async fn one(asked: Asked, host: &str, timeouts: &Timeouts) -> Examination {
    let Asked { place, listeners, is_standard } = asked;
    let key = match place {
        Place::At(key) => key,
        Place::Nowhere { site, protocol, why } => {
            let text = why;
            let severity = if is_standard { Severity::Warning } else { Severity::Error };
            return Examination {
                protocol: protocol.name(),
                backend: site.to_string(),
                identity: "-".to_owned(),
                tls: "-".to_owned(),
                listeners,
                banner: None,
                capabilities: Vec::new(),
                relay: Vec::new(),
                findings: vec![Diagnosis { severity, kind: Kind::Unreachable, text }],
            };
        }
    };
    let seen = backend::look(&key, host, timeouts).await;
    let mut findings = backend::diagnose(&seen);
    // It stays closed, and that is all.
    for finding in findings.iter_mut().filter(|f| is_standard && f.kind == Kind::Unreachable) {
        finding.severity = Severity::Warning;
    }
    let mut relay = Vec::new();
    let takes_mail = matches!(key.protocol, Protocol::Smtp | Protocol::Submission);
    if takes_mail && findings.iter().all(|f| f.severity != Severity::Error) && seen.end.is_ok() {
        for stranger in strangers(&key, &listeners) {
            let attempt = backend::try_to_relay(&key, host, stranger, timeouts).await;
            let found = attempt.diagnose(key.tls.is_none());
            findings.extend(found.filter(|found| !findings.contains(found)));
            relay.push(RelayTest::from(attempt));
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let learned = seen.end.ok();
    Examination {
        protocol: key.protocol.name(),
        backend: key.target.to_string(),
        identity: key.identity.to_string(),
        tls: key.tls.as_ref().map_or_else(|| "none".to_owned(), |t| t.mode().to_string()),
        listeners,
        banner: learned.as_ref().map(|learned| learned.banner.clone()),
        capabilities: learned.map(|learned| learned.capabilities).unwrap_or_default(),
        relay,
        findings,
    }
}

/// Who tries: a stranger of each family that clients have, where the backend is told of them at all.
fn strangers(key: &Key, listeners: &[SocketAddr]) -> Vec<IpAddr> {
    let [v4, v6] = STRANGERS;
    let has_v6 = listeners.iter().any(SocketAddr::is_ipv6);
    if has_v6 && key.identity != Identity::None { vec![v4, v6] } else { vec![v4] }
}
