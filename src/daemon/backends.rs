//! The backends in use, each with its probe. Those that a reload keeps forget nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tokio::{sync::oneshot, task::AbortHandle};

use crate::{
    backend::{self, Backend, Key, Memory},
    config::Config,
};

#[derive(Debug, Default)]
pub(super) struct Backends(HashMap<Key, Probed>);

#[derive(Debug)]
struct Probed {
    backend: Arc<Backend>,
    probe: AbortHandle,
}

impl Backends {
    /// The backend with this key; a new one is probed from now on. The receiver, if there is one,
    /// is told when something is known of it.
    pub(super) fn get(
        &mut self,
        key: &Key,
        config: &Config,
    ) -> (Arc<Backend>, Option<oneshot::Receiver<()>>) {
        if let Some(probed) = self.0.get(key) {
            return (probed.backend.clone(), None);
        }
        let memory = Memory::new(config.state_dir.join("learned"));
        let learned = memory.recall(key);
        let is_known = learned.is_some();
        let backend = Arc::new(Backend::new(key.clone(), learned));
        let (told, first) = oneshot::channel();
        let probe = {
            let probing = backend::watch(
                config.hostname.clone(),
                backend.clone(),
                config.timeouts,
                memory,
                told,
            );
            tokio::spawn(probing).abort_handle()
        };
        self.0.insert(key.clone(), Probed { backend: backend.clone(), probe });
        (backend, (!is_known).then_some(first))
    }

    /// Forgets all others. Their sessions keep them as long as they need them.
    pub(super) fn keep_only(&mut self, keys: &HashSet<Key>) {
        self.0.retain(|key, probed| {
            let is_used = keys.contains(key);
            if !is_used {
                probed.probe.abort();
            }
            is_used
        });
    }
}
