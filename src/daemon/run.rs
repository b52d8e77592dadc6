//! The life of the process.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Loaded, Unfit,
    admission::{Capacity, Strangers},
    backends::Backends,
    changes::{Changes, told},
    listen::{self, Bound, Door, Listening, Manner},
    load, resources,
};
use crate::{
    backend::Key,
    certs::{Severity, Store},
    config::{Config, Listener},
    identity::SessionId,
    session::{House, Policy, Stop},
    tls::Tickets,
    values::Target,
};

/// How long a start waits for backends of which nothing is known yet.
const FIRST_PROBES: std::time::Duration = std::time::Duration::from_secs(3);

/// Serves until it is told to stop. `first` is what was loaded from `file`; `ready` is called once
/// clients can come.
pub async fn run(file: PathBuf, first: Loaded, ready: impl FnOnce()) -> Result<(), Unfit> {
    let failed = |e: std::io::Error| Unfit::from(format!("signals cannot be received: {e}"));
    let mut signals = Signals::new().map_err(failed)?;
    let (mut daemon, probes) = Daemon::start(file, first)?;
    let probed = timeout(FIRST_PROBES, async {
        for probe in probes {
            let _ = probe.await;
        }
    });
    tokio::select! {
        _ = probed => {}
        () = signals.stop() => return Ok(()),
    }
    daemon.open();
    tracing::info!("ready");
    ready();
    notify(&[NotifyState::Ready]);

    let mut reload: Option<JoinHandle<Result<Loaded, Unfit>>> = None;
    let mut again = false;
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::Stop => break,
                // Signals that come during a reload are answered by one more.
                Told::Reload if reload.is_some() => again = true,
                Told::Reload => reload = Some(daemon.begin_reload()),
            },
            loaded = finished(&mut reload) => {
                daemon.reload(loaded);
                reload = std::mem::take(&mut again).then(|| daemon.begin_reload());
            }
        }
    }
    daemon.drain(&mut signals).await;
    Ok(())
}

/// The end of a reload that is under way; never, if none is.
async fn finished(reload: &mut Option<JoinHandle<Result<Loaded, Unfit>>>) -> Result<Loaded, Unfit> {
    match reload {
        None => std::future::pending().await,
        Some(handle) => {
            handle.await.unwrap_or_else(|e| Err(Unfit::from(format!("loading failed: {e}"))))
        }
    }
}

/// What a signal tells.
enum Told {
    Reload,
    Stop,
}

struct Signals {
    hup: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hup.recv() => Told::Reload,
            _ = self.term.recv() => Told::Stop,
            _ = self.int.recv() => Told::Stop,
        }
    }

    /// Waits for a signal to stop.
    async fn stop(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}

/// A socket as the configuration names it: its address, and which of those that name it. Port 0,
/// which has the kernel choose, may well be named twice.
type Named = (SocketAddr, usize);

/// The sockets of a configuration.
fn named(config: &Config) -> impl Iterator<Item = (Named, &Listener)> {
    let mut times: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    config.listeners.iter().flat_map(|l| l.bind.iter().map(move |a| (*a, l))).map(
        move |(address, listener)| {
            let time = times.entry(address).or_default();
            *time += 1;
            ((address, *time), listener)
        },
    )
}

/// Names for sessions: unique in this process by a counter, beyond it by chance.
#[derive(Debug)]
pub(super) struct Ids {
    boot: u64,
    next: AtomicU64,
}

impl Ids {
    fn new() -> Result<Self, Unfit> {
        let mut boot = [0; 8];
        let random = crate::tls::provider().secure_random.fill(&mut boot);
        random.map_err(|_| Unfit::from("the system has no randomness to give".to_owned()))?;
        Ok(Self { boot: u64::from_ne_bytes(boot), next: AtomicU64::new(0) })
    }

    pub(super) fn next(&self) -> SessionId {
        let n = self.next.fetch_add(1, Ordering::Relaxed) & u64::from(u32::MAX);
        SessionId(u128::from(self.boot) << 32 | u128::from(n))
    }
}

struct Daemon {
    file: PathBuf,
    config: Config,
    store: Arc<Store>,
    tickets: Tickets,
    door: Door,
    capacity: Capacity,
    backends: Backends,
    listening: BTreeMap<Named, Listening>,
    /// Bound, and waiting for [`Daemon::open`].
    bound: Vec<(Named, Bound, Manner)>,
    stop: watch::Sender<Stop>,
    sessions: mpsc::Receiver<()>,
}

impl Daemon {
    /// Binds everything and starts the probes; accepts nothing yet.
    fn start(file: PathBuf, first: Loaded) -> Result<(Self, Vec<oneshot::Receiver<()>>), Unfit> {
        let Loaded { config, store, .. } = &first;
        config.warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", file.display()));
        report(store);
        resources::raise_open_files(config.limits.connections);
        let tickets =
            Tickets::new().map_err(|e| Unfit::from(format!("ticket keys cannot be made: {e}")))?;
        let (stop, stopped) = watch::channel(Stop::No);
        let house =
            Arc::new(House { tls: ArcSwap::from_pointee(first.server(&tickets)?), stop: stopped });
        let capacity = Capacity::new(config.limits.connections);
        let (alive, sessions) = mpsc::channel(1);
        let door = Door {
            house,
            capacity: capacity.handle(),
            strangers: Arc::new(Strangers::default()),
            ids: Arc::new(Ids::new()?),
            alive,
        };
        let Loaded { config, store, .. } = first;
        let mut daemon = Self {
            file,
            config: config.clone(),
            store: Arc::new(store),
            tickets,
            door,
            capacity,
            backends: Backends::default(),
            listening: BTreeMap::new(),
            bound: Vec::new(),
            stop,
            sessions,
        };
        let fresh = bind(&config, &daemon.listening)?;
        let probes = daemon.furnish(&config, fresh);
        Ok((daemon, probes))
    }

    /// Gives every socket of this configuration its manner; new ones wait to be opened. Returns
    /// what tells when new backends are known.
    fn furnish(
        &mut self,
        config: &Config,
        mut fresh: BTreeMap<Named, Bound>,
    ) -> Vec<oneshot::Receiver<()>> {
        let (mut probes, mut keys) = (Vec::new(), HashSet::new());
        for (named, listener) in named(config) {
            let key = Key {
                target: listener.target.clone(),
                protocol: listener.protocol,
                identity: listener.identity,
            };
            let (backend, first) = self.backends.get(&key, config);
            probes.extend(first);
            keys.insert(key);
            let policy = Policy {
                protocol: listener.protocol,
                tls: listener.tls,
                unknown_name: listener.unknown_name,
                bare_newline: listener.bare_newline,
                plaintext_from: config.plaintext_from.clone(),
                backend,
                hostname: config.hostname.clone(),
                timeouts: config.timeouts,
                line: config.limits.line,
            };
            let manner = Manner {
                policy: Arc::new(policy),
                strangers_per_address: config.limits.pre_login_per_address,
                is_standard: listener.is_standard,
            };
            if let Some(listening) = self.listening.get(&named) {
                listening.change(manner);
            } else if let Some(bound) = fresh.remove(&named) {
                self.bound.push((named, bound, manner));
            }
        }
        self.backends.keep_only(&keys);
        probes
    }

    /// Accepts on all that is bound. A standard port that the backend does not have stays closed:
    /// nobody asked for it in so many words.
    fn open(&mut self) {
        let bound = std::mem::take(&mut self.bound);
        let backend = |manner: &Manner| manner.policy.backend.clone();
        let is_anyone_there = !self.listening.is_empty()
            || bound.iter().any(|(_, _, manner)| !backend(manner).is_absent());
        for (named, bound, manner) in bound {
            let policy = manner.policy.clone();
            let (protocol, target) = (policy.protocol.name(), &policy.backend.key().target);
            if manner.is_standard && is_anyone_there && policy.backend.is_absent() {
                tracing::warn!(address = %bound.address, "{target} refuses connections, so nobody listens for {protocol} here; SIGHUP looks again");
                continue;
            }
            let listening = bound.open(manner, self.door.clone());
            tracing::info!(address = %listening.address, protocol, tls = %policy.tls, backend = %target, "listening");
            self.listening.insert(named, listening);
        }
    }

    /// Loads beside the running service.
    fn begin_reload(&self) -> JoinHandle<Result<Loaded, Unfit>> {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, now]);
        }
        let (file, store) = (self.file.clone(), self.store.clone());
        tokio::task::spawn_blocking(move || load(&file, Some(&store)))
    }

    /// Swaps, or changes nothing.
    fn reload(&mut self, loaded: Result<Loaded, Unfit>) {
        if let Err(why) = loaded.and_then(|loaded| self.swap(loaded)) {
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
        let Loaded { config, store, .. } = loaded;
        config
            .warnings
            .iter()
            .for_each(|warning| tracing::warn!("{}: {warning}", self.file.display()));
        report(&store);
        self.door.house.tls.store(Arc::new(server));
        self.capacity.resize(config.limits.connections);
        self.furnish(&config, fresh);
        let wanted: HashSet<Named> = named(&config).map(|(named, _)| named).collect();
        self.listening.retain(|named, listening| {
            let stays = wanted.contains(named);
            if !stays {
                tracing::info!(address = %listening.address, "closed");
            }
            stays
        });
        let before = self.listening.len();
        self.open();
        let opened = self.listening.len() - before;

        let changes = Changes::between(&self.store, &store);
        let broken = store.findings.iter().any(|f| f.severity == Severity::Error);
        self.config = config;
        self.store = Arc::new(store);
        if broken && changes.is_empty() && opened == 0 {
            tracing::error!(
                "reload changed nothing: what cannot be used is named above, and what it had before is served on"
            );
            notify(&[
                NotifyState::Ready,
                NotifyState::Status("Some certificates cannot be used; see the log"),
            ]);
            return Ok(());
        }
        tracing::info!(
            certificates = self.store.certificates.len(),
            added = told(&changes.added),
            renewed = told(&changes.renewed),
            removed = told(&changes.removed),
            "reloaded"
        );
        notify(&[NotifyState::Ready, NotifyState::Status("")]);
        Ok(())
    }

    /// Accepts no more, and gives the sessions that are there their time. A second signal hurries.
    async fn drain(mut self, signals: &mut Signals) {
        notify(&[NotifyState::Stopping]);
        self.listening.clear();
        self.stop.send_replace(Stop::Drain);
        tracing::info!(seconds = self.config.timeouts.drain.as_secs(), "stopping");
        let deadline = Instant::now() + self.config.timeouts.drain;
        let Door { alive, .. } = self.door;
        drop(alive);
        tokio::select! {
            // Nobody ever sends: it ends with the last session.
            _ = self.sessions.recv() => {}
            () = sleep_until(deadline) => {}
            () = signals.stop() => {}
        }
        self.stop.send_replace(Stop::Now);
        tokio::select! {
            _ = self.sessions.recv() => {}
            () = tokio::time::sleep(self.config.timeouts.closing) => {}
            () = signals.stop() => {}
        }
        tracing::info!("stopped");
    }
}

/// Binds what this configuration has and nobody listens on yet. All or nothing: on an error the
/// sockets that were bound are closed again.
fn bind(
    config: &Config,
    listening: &BTreeMap<Named, Listening>,
) -> Result<BTreeMap<Named, Bound>, Unfit> {
    let mut problems: Vec<String> =
        config.listeners.iter().filter_map(|l| is_loop(config, l)).collect();
    let mut bound = BTreeMap::new();
    for (named, listener) in named(config).filter(|(named, _)| !listening.contains_key(named)) {
        let address = named.0;
        match listen::bind(address) {
            Ok(socket) => drop(bound.insert(named, socket)),
            Err(error) if listener.is_standard && address.is_ipv6() && has_no_ipv6(&error) => {
                tracing::warn!(%address, %error, "this machine has no IPv6, so nothing listens there");
            }
            Err(error) => problems.push(listen::explain(address, &error)),
        }
    }
    if problems.is_empty() { Ok(bound) } else { Err(Unfit(problems)) }
}

fn has_no_ipv6(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// A backend on an address of this machine, at a port that we listen on at all of its addresses.
fn is_loop(config: &Config, listener: &Listener) -> Option<String> {
    let Target::Tcp(target) = &listener.target else { return None };
    let is_bound = |bind: &SocketAddr| {
        bind.port() == target.port()
            && bind.ip().is_unspecified()
            && bind.is_ipv4() == target.is_ipv4()
    };
    let is_loop =
        config.listeners.iter().flat_map(|l| &l.bind).any(is_bound) && listen::is_ours(target.ip());
    is_loop.then(|| format!("the backend {target} is this front itself, which would be a loop: move the mail server to another port"))
}

fn report(store: &Store) {
    for finding in &store.findings {
        match finding.severity {
            Severity::Warning => tracing::warn!("{finding}"),
            Severity::Error => tracing::error!("{finding}"),
        }
    }
}

/// Tells a service manager. Without one, and that is no error, nobody is told.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
