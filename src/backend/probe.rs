//! Asks a backend how it is and what it can do, at start and from time to time.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};

use super::{
    Backend, Memory, dial,
    health::{During, Failure, jittered},
};
use crate::{
    identity::{Facts, Identity, SessionId, TlsFacts},
    protocol::{Learned, Prober},
    values::Timeouts,
    wire::{Inbox, Link, converse, take_leave},
};

/// A prober's answers are short lists.
const LONGEST_ANSWER: usize = 64 << 10;

/// How soon a backend that is down is asked again, growing from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// How long a probe waits for the good-bye to be answered.
const LEAVE: Duration = Duration::from_secs(1);

/// Probes a backend for as long as it is configured, under this name of ours.
pub async fn keep_probing(backend: Arc<Backend>, host: String, timeouts: Timeouts, memory: Memory) {
    let mut wait = BACKOFF.0;
    loop {
        let begin = Instant::now();
        match probe(&backend, &host, &timeouts).await {
            Ok(learned) => {
                wait = timeouts.probe;
                if backend.learn(learned) {
                    remember(&backend, &memory).await;
                }
            }
            Err(why) => {
                wait = if wait >= timeouts.probe { BACKOFF.0 } else { (wait * 2).min(BACKOFF.1) };
                let now = Instant::now();
                let failure = Failure { now, took: now - begin, during: During::Probe };
                backend.failed(failure, &why);
            }
        }
        backend.met.send_replace(true);
        tokio::select! {
            // What fails together, or was started together, need not be asked together.
            () = sleep(jittered(wait, RandomState::new().hash_one(begin))) => {}
            // A client waits; but a thousand clients must not make a thousand probes.
            () = async { sleep(BACKOFF.0).await; backend.wake.notified().await; } => {}
        }
    }
}

async fn remember(backend: &Arc<Backend>, memory: &Memory) {
    let Some(learned) = backend.learned() else { return };
    tracing::debug!(backend = %backend.key(), banner = %learned.banner, capabilities = ?learned.capabilities, "learned");
    let (memory, key) = (memory.clone(), backend.key().clone());
    let kept = tokio::task::spawn_blocking(move || memory.keep(&key, &learned)).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!(%error, "state_dir: what was learned of a backend cannot be kept there");
    }
}

/// One probe: connect, say who we are, ask, say good-bye.
async fn probe(backend: &Backend, host: &str, timeouts: &Timeouts) -> Result<Learned, String> {
    let key = backend.key();
    let unreachable = |e: io::Error| format!("it cannot be reached: {e}");
    let dialled = dial(&key.target, timeouts.connect).await;
    if dialled.as_ref().is_err_and(is_nobody) {
        backend.refuses_connections();
    }
    let mut link = dialled.map_err(unreachable)?;
    let facts = stranger(&link);
    let header = key.identity.header(&facts);
    let introduce = key.identity.is_spoken().then_some(facts);
    let Some(mut prober) = Prober::new(key.protocol, host, introduce) else {
        // There is nothing to ask: it is enough that somebody is there.
        link.write_all(&key.identity.local()).await.map_err(unreachable)?;
        return Ok(Learned::default());
    };
    let talk = async {
        link.write_all(&header).await.map_err(unreachable)?;
        match converse(&mut link, &mut prober, &mut Inbox::default(), LONGEST_ANSWER).await {
            Ok(Ok(learned)) => Ok(learned),
            Ok(Err(why)) => Err(why),
            Err(broken) => Err(format!("{broken}{}", hint(key.identity))),
        }
    };
    let learned = timeout(timeouts.greeting, talk).await.unwrap_or_else(|_| {
        Err(format!("it does not answer within {:?}{}", timeouts.greeting, hint(key.identity)))
    })?;
    take_leave(&mut link, b"", LEAVE).await;
    Ok(learned)
}

/// Nobody listens: there is no such port, or no such socket.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// The usual reason for silence is that the two sides do not agree on how to begin.
fn hint(identity: Identity) -> &'static str {
    match identity {
        Identity::ProxyV1 | Identity::ProxyV2 => {
            "; does it expect the PROXY protocol there (Dovecot: haproxy = yes and haproxy_trusted_networks)?"
        }
        Identity::ImapId | Identity::None | Identity::Xclient => {
            "; does it expect the PROXY protocol there (identity: proxy-v2)?"
        }
    }
}

/// A client that does not exist: its address is from RFC 5737, and it uses TLS, so that the
/// backend shows what it would show to one that does.
fn stranger(link: &Link) -> Facts {
    let local = match link {
        Link::Tcp(tcp) => tcp.local_addr().ok().filter(SocketAddr::is_ipv4),
        Link::Unix(_) => None,
    };
    Facts {
        id: SessionId(0),
        peer: SocketAddr::from(([192, 0, 2, 1], 1)),
        local: local.unwrap_or(SocketAddr::from(([192, 0, 2, 2], 1))),
        hops: 0,
        tls: Some(TlsFacts {
            version: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
            group: "X25519",
            sni: None,
            alpn: None,
            resumed: false,
            client: None,
        }),
        name: None,
    }
}
