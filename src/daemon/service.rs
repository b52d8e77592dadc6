//! What is served: sockets, certificates, backends, and how a reload swaps them.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    Loaded, Purpose, Unfit,
    admission::{Capacity, Strangers},
    backends::Backends,
    background::quietly,
    certificates::is_looked_at,
    changes::{Changes, told},
    ids::Ids,
    listen::{Bound, Door, Listening, Manner},
    load, resources,
    run::Why,
    snapshot::report,
    sockets::{Named, bind, named},
    web::Webs,
};
use crate::{
    certs::{Challenges, Issuance, Severity, Store},
    config::Config,
    session::{House, Policy},
    tls::{Tickets, Upstreams},
    values::Stop,
};

/// A running front.
#[derive(Debug)]
pub(super) struct Service {
    file: PathBuf,
    config: Config,
    upstreams: Upstreams,
    store: Arc<Store>,
    tickets: Tickets,
    door: Door,
    capacity: Capacity,
    backends: Arc<Backends>,
    listening: BTreeMap<Named, Listening>,
    /// Bound, and waiting for [`Service::open`].
    bound: Vec<(Named, Bound, Manner)>,
    stop: watch::Sender<Stop>,
    sessions: mpsc::Receiver<()>,
}

impl Service {
    /// Binds everything; accepts nothing yet.
    pub(super) fn start(
        file: PathBuf,
        first: Loaded,
        backends: Arc<Backends>,
    ) -> Result<Self, Unfit> {
        first.report(&file, &[]);
        resources::raise_open_files(first.config.limits.connections);
        let tickets =
            Tickets::new().map_err(|e| Unfit::from(format!("ticket keys cannot be made: {e}")))?;
        let (stop, stopped) = watch::channel(Stop::No);
        let house = House {
            tls: Arc::new(ArcSwap::from_pointee(first.server(&tickets)?)),
            challenges: Arc::default(),
            shelf: Arc::default(),
            stop: stopped,
        };
        let capacity = Capacity::new(first.config.limits.connections);
        let (alive, sessions) = mpsc::channel(1);
        let door = Door {
            house: Arc::new(house),
            capacity: capacity.handle(),
            strangers: Arc::new(Strangers::default()),
            ids: Arc::new(Ids::new()?),
            alerts: Arc::default(),
            alive,
        };
        let listening = BTreeMap::new();
        let fresh = bind(&first.config, &listening)?;
        let Loaded { config, store, upstreams, .. } = first;
        let (store, bound) = (Arc::new(store), Vec::new());
        let mut service = Self {
            file,
            config,
            upstreams,
            store,
            tickets,
            door,
            capacity,
            backends,
            listening,
            bound,
            stop,
            sessions,
        };
        service.furnish(fresh);
        Ok(service)
    }

    /// Gives every socket of the configuration its manner; new ones wait to be opened.
    fn furnish(&mut self, mut fresh: BTreeMap<Named, Bound>) {
        let config = &self.config;
        let port = |named: &Named| {
            let known = self.listening.get(named).map(|listening| listening.address);
            let bound = known.or_else(|| fresh.get(named).map(|bound| bound.address));
            bound.unwrap_or(named.0).port()
        };
        let doors: Vec<_> = named(config).map(|(named, l)| (l, port(&named))).collect();
        let webs = Webs::of(config, &doors);
        for (named, listener) in named(config) {
            let backend = self.backends.pool(listener.protocol, &listener.backend);
            let routes = self.backends.routes(listener);
            let policy = Policy {
                protocol: listener.protocol,
                tls: listener.tls,
                unknown_name: listener.unknown_name,
                client_certificates: listener.client_certificates.clone(),
                bare_newline: listener.bare_newline,
                plaintext_from: config.plaintext_from.clone(),
                proxy_from: listener.proxy_from.clone(),
                web: webs.web(listener, &backend, &routes),
                backend,
                routes,
                hostname: config.hostname.clone(),
                timeouts: config.timeouts,
                line: config.limits.line,
            };
            let manner = Manner {
                policy: Arc::new(policy),
                strangers_per_address: config.limits.pre_login_per_address,
                is_standard: listener.is_standard,
                told: AtomicBool::new(false),
            };
            if let Some(listening) = self.listening.get(&named) {
                listening.change(manner);
            } else if let Some(bound) = fresh.remove(&named) {
                self.bound.push((named, bound, manner));
            }
        }
        self.backends.keep_only(config, &self.upstreams);
    }

    /// Accepts on all that is bound. A standard port that the backend does not have stays closed:
    /// nobody asked for it in so many words.
    pub(super) fn open(&mut self) {
        let bound = std::mem::take(&mut self.bound);
        let is_anyone_there = !self.listening.is_empty()
            || bound.iter().any(|(_, _, manner)| !manner.policy.is_absent());
        for (named, bound, manner) in bound {
            let policy = manner.policy.clone();
            let (protocol, target) = (policy.protocol.name(), &policy.backend);
            // Where its members differ, that is said now, and not to its first client.
            let _ = policy.backend.learned();
            let is_needed = is_looked_at(self.config.acme.as_ref(), policy.protocol, policy.tls);
            if manner.is_standard && is_anyone_there && policy.is_absent() && !is_needed {
                tracing::warn!(address = %bound.address, "{target} refuses connections, so nobody listens for {protocol} here; SIGHUP looks again");
                continue;
            }
            let listening = bound.open(manner, self.door.clone());
            tracing::info!(address = %listening.address, protocol, tls = %policy.tls, backend = %target, "listening");
            self.listening.insert(named, listening);
        }
    }

    /// Where answers to certificate authorities are put.
    pub(super) fn challenges(&self) -> Arc<Challenges> {
        self.door.house.challenges.clone()
    }

    /// Whoever holds this is waited for at the end, like a session.
    pub(super) fn alive(&self) -> mpsc::Sender<()> {
        self.door.alive.clone()
    }

    /// What is served.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Loads beside the running service, and gets to know new backends.
    pub(super) fn begin_reload(
        &self,
        why: Why,
    ) -> impl Future<Output = Result<Loaded, Unfit>> + Send + use<> {
        if why == Why::Signal
            && let Ok(now) = NotifyState::monotonic_usec_now()
        {
            notify(&[NotifyState::Reloading, now]);
        }
        let (file, config) = (self.file.clone(), self.config.clone());
        let (store, backends) = (self.store.clone(), self.backends.clone());
        async move {
            let load = move || {
                let purpose = match why {
                    Why::Signal => Purpose::Reload(&config, &store),
                    Why::Renewal => Purpose::Renewal(&config, &store),
                };
                load(&file, purpose)
            };
            let loaded = quietly(load).await??;
            if why == Why::Signal {
                backends.look_again();
            }
            backends.meet(&loaded.config, &loaded.upstreams).await;
            Ok(loaded)
        }
    }

    /// Swaps, or changes nothing.
    pub(super) fn reload(&mut self, loaded: Result<Loaded, Unfit>) {
        if let Err(why) = loaded.and_then(|loaded| self.swap(loaded)) {
            // Those that were only met for the new configuration.
            self.backends.keep_only(&self.config, &self.upstreams);
            why.0.iter().for_each(|line| tracing::error!("{line}"));
            tracing::error!("reload changed nothing: see the lines above");
            notify(&[
                NotifyState::Ready,
                NotifyState::Status("The last reload failed; see the log"),
            ]);
        }
    }

    fn swap(&mut self, loaded: Loaded) -> Result<(), Unfit> {
        let fresh = bind(&loaded.config, &self.listening)?;
        let server = loaded.server(&self.tickets)?;
        // Nothing fails from here on.
        loaded.report(&self.file, &self.store.findings);
        resources::raise_open_files(loaded.config.limits.connections);
        let changes = Changes::between(&self.store, &loaded.store);
        self.door.house.tls.store(Arc::new(server));
        // What clients refuse from now on is worth a new line.
        self.door.alerts.settle();
        self.capacity.resize(loaded.config.limits.connections);
        self.config = loaded.config;
        self.upstreams = loaded.upstreams;
        self.store = Arc::new(loaded.store);
        self.furnish(fresh);
        let wanted: HashSet<Named> = named(&self.config).map(|(named, _)| named).collect();
        self.listening.retain(|named, listening| {
            let stays = wanted.contains(named);
            if !stays {
                tracing::info!(address = %listening.address, "closed");
            }
            stays
        });
        let before = self.listening.len();
        self.open();
        self.say_what_changed(&changes, self.listening.len() > before);
        self.prove();
        Ok(())
    }

    /// Says which certificates have expired, or are about to: a front runs for months without a reload.
    pub(super) fn remind(&self) {
        report(&self.store.aging());
    }

    /// Verifies the signatures in chains that were not verified before they could be served, and says
    /// which are wrong.
    pub(super) fn prove(&self) {
        if self.store.is_proven() {
            return;
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            let count = store.certificates.len();
            match quietly(move || store.prove()).await {
                Ok(findings) => {
                    report(&findings);
                    tracing::info!(
                        certificates = count,
                        wrong = findings.len(),
                        "all chains are verified"
                    );
                }
                Err(why) => tracing::error!("{why}"),
            }
        });
    }

    fn say_what_changed(&self, changes: &Changes, has_opened: bool) {
        let is_broken = self.store.worst() == Some(Severity::Error);
        if is_broken && changes.is_empty() && !has_opened {
            tracing::error!(
                "reload changed nothing: what cannot be used is named above, and what it had before is served on"
            );
        } else {
            tracing::info!(
                certificates = self.store.certificates.len(),
                added = told(&changes.added),
                renewed = told(&changes.renewed),
                removed = told(&changes.removed),
                kept = kept(&self.store),
                "reloaded"
            );
        }
        self.say_ready();
    }

    /// Tells a service manager that clients can come, and what they should not have to put up with.
    pub(super) fn say_ready(&self) {
        let mut certificates = self.store.certificates.iter();
        let status = if self.store.worst() == Some(Severity::Error) {
            "Some certificates cannot be used; see the log"
        } else if certificates.all(|c| c.issuance() == Issuance::SelfSigned) {
            "Clients get a self-signed certificate, which they do not trust; see the log"
        } else {
            ""
        };
        notify(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Accepts no more, and gives the sessions that are there their time. A second signal hurries.
    pub(super) async fn drain(mut self, mut hurry: impl AsyncFnMut()) {
        notify(&[NotifyState::Stopping]);
        self.listening.clear();
        self.stop.send_replace(Stop::Drain);
        tracing::info!(seconds = self.config.timeouts.drain.as_secs(), "stopping");
        let deadline = Instant::now() + self.config.timeouts.drain;
        let Door { alive, alerts, .. } = self.door;
        drop(alive);
        tokio::select! {
            // Nobody ever sends: it ends with the last who holds the other end.
            _ = self.sessions.recv() => {}
            () = sleep_until(deadline) => {}
            () = hurry() => {}
        }
        self.stop.send_replace(Stop::Now);
        tokio::select! {
            _ = self.sessions.recv() => {}
            () = tokio::time::sleep(self.config.timeouts.closing) => {}
            () = hurry() => {}
        }
        alerts.settle();
        tracing::info!("stopped");
    }
}

/// The names of the certificates that are only served because what should be in their place cannot be.
fn kept(store: &Store) -> Option<String> {
    let names: Vec<String> = store.kept().iter().map(|c| c.label().to_owned()).collect();
    (!names.is_empty()).then(|| told(&names))
}

/// Tells a service manager. Without one, and that is no error, nobody is told.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
