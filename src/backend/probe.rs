//! Asks a backend how it is and what it can do, at start and from time to time.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    Backend, Diagnosis, Kind, Memory, Trouble, diagnose,
    health::{During, Failure, jittered},
    look,
};
use crate::{certs::Severity, protocol::Learned, values::Timeouts};

/// How soon a backend that is down is asked again, growing from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Probes a backend for as long as it is configured, under this name of ours.
pub async fn keep_probing(backend: Arc<Backend>, host: String, timeouts: Timeouts, memory: Memory) {
    let mut wait = BACKOFF.0;
    let mut told = Vec::new();
    loop {
        let begin = Instant::now();
        match probe(&backend, &host, &timeouts, &mut told).await {
            Ok(None) => {
                wait = timeouts.probe;
                backend.answers(&host);
            }
            Ok(Some(learned)) => {
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

/// One look at a backend: what was learned, or nothing of a backend that is well all the same. What is wrong with it is said when it is new: not at each look.
async fn probe(
    backend: &Backend,
    host: &str,
    timeouts: &Timeouts,
    told: &mut Vec<Kind>,
) -> Result<Option<Learned>, String> {
    let seen = look(backend.key(), host, timeouts).await;
    if let Err(Trouble::Unreachable(error)) = &seen.end
        && is_nobody(error)
    {
        backend.refuses_connections();
    }
    let found = diagnose(&seen);
    for diagnosis in found.iter().filter(|d| !told.contains(&d.kind)) {
        tell(backend, diagnosis);
    }
    let is_deaf = found.iter().any(|diagnosis| diagnosis.kind == Kind::NoProxy);
    backend.deaf.store(is_deaf, Ordering::Relaxed);
    *told = found.iter().map(|diagnosis| diagnosis.kind).collect();
    match (found.into_iter().find(|d| d.severity == Severity::Error), seen.end) {
        // It answers all the same, as some do to whom a PROXY header is but a few bad commands.
        (Some(Diagnosis { kind: Kind::NoProxy, text, .. }), _) => Err(text),
        (_, Ok(learned)) => Ok(Some(learned)),
        (None, Err(Trouble::TurnedAway(_))) => Ok(None),
        (Some(diagnosis), Err(_)) => Err(diagnosis.text),
        (None, Err(trouble)) => Err(format!("{trouble:?}")),
    }
}

/// Nobody listens: there is no such port, or no such socket.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

fn tell(backend: &Backend, Diagnosis { severity, kind, text }: &Diagnosis) {
    let key = backend.key();
    match (severity, kind) {
        // It may be back in a moment; if it is not, that is said once it is known.
        (_, Kind::Unreachable) => {}
        (Severity::Note, _) => tracing::info!(backend = %key, "{text}"),
        (Severity::Warning | Severity::Error, _) => tracing::warn!(backend = %key, "{text}"),
    }
}
