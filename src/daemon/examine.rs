//! One look at every backend of a configuration, and the relay test: behind `vestibule check --backends`.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::Serialize;
use tokio::task::JoinSet;

use super::{Unfit, backends::key};
use crate::{
    backend::{self, Attempt, Diagnosis, Key, Kind, STRANGERS},
    certs::Severity,
    config::Config,
    identity::Identity,
    protocol::{Protocol, smtp::Relaying},
    tls::Upstreams,
    values::Timeouts,
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

/// Looks at all backends at once; each is looked at once, whoever shares it. Blocks, for a bounded time.
pub fn examine(config: &Config) -> Result<Vec<Examination>, Unfit> {
    let rules = config.listeners.iter().filter_map(|l| l.backend_tls.as_ref());
    let upstreams = Upstreams::load(rules)
        .map_err(|findings| Unfit(findings.iter().map(ToString::to_string).collect()))?;
    let mut asked: Vec<Asked> = Vec::new();
    for listener in &config.listeners {
        let key = key(listener, &upstreams);
        match asked.iter_mut().find(|asked| asked.key == key) {
            Some(asked) => {
                asked.listeners.extend(&listener.bind);
                asked.is_standard &= listener.is_standard;
            }
            None => asked.push(Asked {
                key,
                listeners: listener.bind.clone(),
                is_standard: listener.is_standard,
            }),
        }
    }
    let mut timeouts = config.timeouts;
    timeouts.greeting = timeouts.greeting.min(PATIENCE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Unfit::from(format!("nothing can be asked: {e}")))?;
    Ok(runtime.block_on(all(asked, &config.hostname, timeouts)))
}

struct Asked {
    key: Key,
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
    let Asked { key, listeners, is_standard } = asked;
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
