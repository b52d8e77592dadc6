//! The backends in use, each with its probe. Those that a reload keeps forget nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, task::AbortHandle, time::timeout};

use crate::{
    backend::{self, Backend, Key, Memory},
    config::{Config, Listener},
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
pub(super) fn key(listener: &Listener) -> Key {
    Key {
        target: listener.target.clone(),
        protocol: listener.protocol,
        identity: listener.identity,
    }
}

impl Backends {
    /// Begins to probe the backends of a configuration that are new, and waits a while until
    /// something is known of them.
    pub(super) async fn meet(&self, config: &Config) {
        let known: Vec<_> =
            config.listeners.iter().filter_map(|l| self.get(&key(l), config).1).collect();
        let all = async {
            for first in known {
                // An error means that the probe was given up, and so is the wait for it.
                let _ = first.await;
            }
        };
        // Whoever comes before more is known is told to come back.
        let _ = timeout(FIRST_PROBES, all).await;
    }

    /// The backend with this key; a new one is probed from now on. The receiver, if there is one,
    /// is told when something is known of it.
    pub(super) fn get(
        &self,
        key: &Key,
        config: &Config,
    ) -> (Arc<Backend>, Option<oneshot::Receiver<()>>) {
        let manner = (config.hostname.clone(), config.timeouts);
        let memory = Memory::new(config.state_dir.join("learned"));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(probed) = all.get_mut(key) {
            if probed.manner != manner {
                probed.probe.abort();
                (probed.probe, _) = probe(&probed.backend, &manner, memory);
                probed.manner = manner;
            }
            return (probed.backend.clone(), None);
        }
        let learned = memory.recall(key);
        let is_known = learned.is_some();
        let backend = Arc::new(Backend::new(key.clone(), learned));
        let (probe, first) = probe(&backend, &manner, memory);
        all.insert(key.clone(), Probed { backend: backend.clone(), probe, manner });
        (backend, (!is_known).then_some(first))
    }

    /// Forgets the backends that this configuration does not have. Their sessions keep them as long
    /// as they need them.
    pub(super) fn keep_only(&self, config: &Config) {
        let keys: HashSet<Key> = config.listeners.iter().map(key).collect();
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

fn probe(
    backend: &Arc<Backend>,
    manner: &(String, Timeouts),
    memory: Memory,
) -> (AbortHandle, oneshot::Receiver<()>) {
    let (told, first) = oneshot::channel();
    let probing = backend::watch(manner.0.clone(), backend.clone(), manner.1, memory, told);
    (tokio::spawn(probing).abort_handle(), first)
}
