//! The backends in use, each with its probe. Those that a reload keeps forget nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::AbortHandle, time::timeout};

use crate::{
    backend::{self, Backend, Key, Memory},
    config::{Config, Listener},
    tls::Upstreams,
    values::Timeouts,
};

/// How long a start, or a reload, waits for backends of which nothing is known yet.
const FIRST_PROBES: Duration = Duration::from_secs(3);

/// All backends, by what makes them the ones that they are.
#[derive(Debug, Default)]
pub(super) struct Backends(Mutex<HashMap<Key, Probed>>);

#[derive(Debug)]
struct Probed {
    backend: Arc<Backend>,
    probe: AbortHandle,
    /// What the probe goes by.
    manner: (String, Timeouts),
}

/// Where a listener's sessions go.
pub(super) fn key(listener: &Listener, upstreams: &Upstreams) -> Key {
    Key {
        target: listener.target.clone(),
        protocol: listener.protocol,
        identity: listener.identity,
        // All that rules name was read before.
        tls: listener.backend_tls.as_ref().and_then(|rule| upstreams.get(rule)),
    }
}

impl Backends {
    /// Waits a while until something is known of each backend of this configuration. Those that are
    /// new are probed from now on.
    pub(super) async fn meet(&self, config: &Config, upstreams: &Upstreams) {
        let keys = config.listeners.iter().map(|l| key(l, upstreams));
        let backends: Vec<_> = keys.map(|key| self.get(&key, config)).collect();
        let all = async {
            for backend in backends {
                backend.met().await;
            }
        };
        // Whoever comes before more is known is told to come back.
        let _ = timeout(FIRST_PROBES, all).await;
    }

    /// The backend with this key. A new one is probed from now on.
    pub(super) fn get(&self, key: &Key, config: &Config) -> Arc<Backend> {
        let manner = (config.hostname.clone(), config.timeouts);
        let memory = Memory::new(config.state_dir.join("learned"));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(probed) = all.get_mut(key) {
            if probed.manner != manner {
                probed.probe.abort();
                probed.probe = probe(&probed.backend, &manner, memory);
                probed.manner = manner;
            }
            return probed.backend.clone();
        }
        let backend = Arc::new(Backend::new(key.clone(), memory.recall(key)));
        let probe = probe(&backend, &manner, memory);
        all.insert(key.clone(), Probed { backend: backend.clone(), probe, manner });
        backend
    }

    /// Forgets the backends that this configuration does not have. Their sessions keep them as long
    /// as they need them.
    pub(super) fn keep_only(&self, config: &Config, upstreams: &Upstreams) {
        #[expect(
            clippy::mutable_key_type,
            reason = "what an Upstream is told apart by never changes"
        )]
        let keys: HashSet<Key> = config.listeners.iter().map(|l| key(l, upstreams)).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|key, probed| {
            let is_used = keys.contains(key);
            if !is_used {
                probed.probe.abort();
            }
            is_used
        });
    }
}

fn probe(backend: &Arc<Backend>, manner: &(String, Timeouts), memory: Memory) -> AbortHandle {
    let probing = backend::keep_probing(backend.clone(), manner.0.clone(), manner.1, memory);
    tokio::spawn(probing).abort_handle()
}
