//! The backends in use, each with its probe, and the pools that they are in. Those that a reload
//! keeps forget nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, task::AbortHandle, time::timeout};

use super::sockets::leads_here;
use crate::{
    backend::{self, Backend, Key, Member, Memory, Pool, Routes},
    config::{Config, Destination, Listener},
    protocol::Protocol,
    tls::Upstreams,
    values::{Site, Target, Timeouts},
};

/// How long a start, or a reload, waits for backends of which nothing is known yet.
const FIRST_PROBES: Duration = Duration::from_secs(3);

/// All backends, names and pools. One lock, never held for longer than it takes to look something up.
#[derive(Debug)]
pub(super) struct Backends(Mutex<All>);

#[derive(Debug)]
struct All {
    setting: Setting,
    backends: HashMap<Key, Probed>,
    names: HashMap<String, Named>,
    pools: HashMap<(Protocol, Destination), Arc<Pool>>,
}

/// A backend, by what makes it the one that it is.
#[derive(Debug)]
struct Probed {
    backend: Arc<Backend>,
    probe: AbortHandle,
    manner: Manner,
}

/// What a probe goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Manner {
    hostname: String,
    timeouts: Timeouts,
}

/// What all that is found goes by.
#[derive(Clone, Debug)]
struct Setting {
    manner: Manner,
    memory: Memory,
    /// Our own addresses.
    binds: Vec<SocketAddr>,
    /// What backends are reached by.
    upstreams: Upstreams,
}

impl Setting {
    fn of(config: &Config, upstreams: &Upstreams) -> Self {
        Self {
            manner: Manner { hostname: config.hostname.clone(), timeouts: config.timeouts },
            memory: Memory::new(config.state_dir.join("learned")),
            binds: config.listeners.iter().flat_map(|l| &l.bind).copied().collect(),
            upstreams: upstreams.clone(),
        }
    }
}

/// A host name.
#[derive(Debug)]
struct Named {
    /// `None`: it has not been looked up yet.
    addresses: Option<Vec<IpAddr>>,
    task: AbortHandle,
    every: Duration,
    wake: Arc<Notify>,
}

impl Backends {
    /// None so far. All that will be found goes by this configuration.
    pub(super) fn new(config: &Config, upstreams: &Upstreams) -> Self {
        Self(Mutex::new(All {
            setting: Setting::of(config, upstreams),
            backends: HashMap::new(),
            names: HashMap::new(),
            pools: HashMap::new(),
        }))
    }

    /// Waits a while until something is known of each backend of this configuration. Those that are
    /// new are probed from now on.
    pub(super) async fn meet(self: &Arc<Self>, config: &Config, upstreams: &Upstreams) {
        self.adopt(config, upstreams);
        let pools: Vec<_> = wanted(config).map(|(p, d)| self.pool(p, d)).collect();
        let all = async {
            for pool in pools {
                pool.met().await;
            }
        };
        // Whoever comes before more is known is told to come back.
        let _ = timeout(FIRST_PROBES, all).await;
    }

    /// Probes those that are known, and looks up their names, soon and not only when it is time again:
    /// whoever reloads may have changed them.
    pub(super) fn look_again(&self) {
        let all = self.lock();
        all.backends.values().for_each(|probed| probed.backend.hurry());
        all.names.values().for_each(|named| named.wake.notify_one());
    }

    /// From now on, all that is found goes by this configuration.
    fn adopt(&self, config: &Config, upstreams: &Upstreams) {
        let mut all = self.lock();
        all.setting = Setting::of(config, upstreams);
        let All { setting, backends, .. } = &mut *all;
        for probed in backends.values_mut().filter(|probed| probed.manner != setting.manner) {
            probed.probe.abort();
            probed.probe = probe(&probed.backend, setting);
            probed.manner = setting.manner.clone();
        }
    }

    /// The pool for this destination. What is new in it is looked up and probed from now on.
    pub(super) fn pool(
        self: &Arc<Self>,
        protocol: Protocol,
        destination: &Destination,
    ) -> Arc<Pool> {
        let mut all = self.lock();
        for name in names(destination) {
            self.look_up(&mut all, name);
        }
        let key = (protocol, destination.clone());
        let pool = all.pools.get(&key).cloned().unwrap_or_else(|| {
            Arc::new(Pool::new(destination.to_string(), protocol, destination.balance))
        });
        all.pools.insert(key, pool.clone());
        all.furnish(protocol, destination, &pool);
        pool
    }

    /// The pools that a listener's routes lead to.
    pub(super) fn routes(self: &Arc<Self>, listener: &Listener) -> Routes {
        let pool = |(n, destination): (&usize, &Destination)| {
            (*n, self.pool(listener.protocol, destination))
        };
        let pools: BTreeMap<usize, Arc<Pool>> = listener.routes.backends.iter().map(pool).collect();
        Routes::new(listener.routes.names.clone(), pools)
    }

    /// Forgets what this configuration does not have. Sessions keep their backend for as long as they
    /// need it.
    pub(super) fn keep_only(&self, config: &Config, upstreams: &Upstreams) {
        self.adopt(config, upstreams);
        let wanted: HashSet<(Protocol, &Destination)> = wanted(config).collect();
        let mut all = self.lock();
        all.pools.retain(|(protocol, destination), _| wanted.contains(&(*protocol, destination)));
        let used: HashSet<&str> = wanted.iter().flat_map(|(_, d)| names(d)).collect();
        all.names.retain(|name, named| keep(used.contains(name.as_str()), &named.task));
        all.forget_unused();
    }

    /// Looks this name up from now on.
    fn look_up(self: &Arc<Self>, all: &mut All, name: &str) {
        let every = all.setting.manner.timeouts.probe;
        let known = all.names.get(name);
        if known.is_some_and(|named| named.every == every) {
            return;
        }
        let addresses = known.and_then(|named| named.addresses.clone());
        if let Some(named) = known {
            named.task.abort();
        }
        let wake = Arc::new(Notify::new());
        let (backends, host) = (Arc::downgrade(self), name.to_owned());
        let changed = move |addresses| {
            if let Some(backends) = backends.upgrade() {
                backends.found(&host, addresses);
            }
        };
        let last = addresses.clone().unwrap_or_default();
        let resolving = backend::keep_resolving(
            name.to_owned(),
            last,
            every,
            wake.clone(),
            backend::look_up,
            changed,
        );
        let task = tokio::spawn(resolving).abort_handle();
        all.names.insert(name.to_owned(), Named { addresses, task, every, wake });
    }

    /// These are the addresses of this name now.
    fn found(&self, name: &str, addresses: Vec<IpAddr>) {
        let mut all = self.lock();
        let Some(named) = all.names.get_mut(name) else { return };
        named.addresses = Some(addresses);
        let pools: Vec<_> =
            all.pools.iter().map(|(key, pool)| (key.clone(), pool.clone())).collect();
        for ((protocol, destination), pool) in pools {
            if names(&destination).any(|other| other == name) {
                all.furnish(protocol, &destination, &pool);
            }
        }
        all.forget_unused();
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Gives a pool its members.
    fn furnish(&mut self, protocol: Protocol, destination: &Destination, pool: &Pool) {
        let mut members: Vec<Member> = Vec::new();
        let mut is_complete = true;
        for member in &destination.members {
            let targets = match &member.site {
                Site::At(target) => vec![target.clone()],
                Site::Host { name, port } => {
                    let addresses = self.names.get(name).and_then(|named| named.addresses.clone());
                    is_complete &= addresses.is_some();
                    found(name, *port, addresses.unwrap_or_default(), &self.setting.binds)
                }
            };
            let rule = destination.tls(&member.site);
            let tls = rule.as_ref().map(|rule| self.setting.upstreams.get(rule));
            // Never in clear because a configuration that is not served any more, or not yet, knows
            // another way.
            let Ok(tls) = tls.map(|tls| tls.ok_or(())).transpose() else {
                is_complete = false;
                continue;
            };
            for target in targets {
                let identity = destination.identity;
                let h2c = destination.h2c;
                let key = Key { target, protocol, identity, tls: tls.clone(), h2c };
                if members.iter().all(|known| *known.backend.key() != key) {
                    members.push(Member { backend: self.backend(key), drain: member.drain });
                }
            }
        }
        pool.furnish(members, is_complete);
    }

    /// The backend with this key. A new one is probed from now on.
    fn backend(&mut self, key: Key) -> Arc<Backend> {
        if let Some(probed) = self.backends.get(&key) {
            return probed.backend.clone();
        }
        let Setting { manner, memory, .. } = &self.setting;
        let backend = Arc::new(Backend::new(key.clone(), memory.recall(&key)));
        let (probe, manner) = (probe(&backend, &self.setting), manner.clone());
        self.backends.insert(key, Probed { backend: backend.clone(), probe, manner });
        backend
    }

    /// Forgets the backends that are in no pool.
    fn forget_unused(&mut self) {
        let members: Vec<_> = self.pools.values().map(|pool| pool.members()).collect();
        #[expect(
            clippy::mutable_key_type,
            reason = "what an Upstream is told apart by never changes"
        )]
        let used: HashSet<&Key> =
            members.iter().flat_map(|m| m.iter()).map(|m| m.backend.key()).collect();
        self.backends.retain(|key, probed| keep(used.contains(key), &probed.probe));
    }
}

/// All places that sessions may go to.
fn wanted(config: &Config) -> impl Iterator<Item = (Protocol, &Destination)> {
    config.listeners.iter().flat_map(|l| l.destinations().map(|d| (l.protocol, d)))
}

fn names(destination: &Destination) -> impl Iterator<Item = &str> {
    destination.members.iter().filter_map(|member| match &member.site {
        Site::Host { name, .. } => Some(name.as_str()),
        Site::At(_) => None,
    })
}

/// A name's addresses, without those that lead back to this front.
fn found(name: &str, port: u16, addresses: Vec<IpAddr>, binds: &[SocketAddr]) -> Vec<Target> {
    let mut targets = Vec::new();
    for address in addresses.into_iter().map(|ip| SocketAddr::new(ip, port)) {
        if binds.contains(&address) || leads_here(binds, &address) {
            tracing::error!(%name, %address, "a backend's name leads to this front itself, which would be a loop; the address is left out");
        } else {
            targets.push(Target::Tcp(address));
        }
    }
    targets
}

/// Whether it stays; what does not has its task ended.
fn keep(is_used: bool, task: &AbortHandle) -> bool {
    if !is_used {
        task.abort();
    }
    is_used
}

fn probe(backend: &Arc<Backend>, setting: &Setting) -> AbortHandle {
    let Manner { hostname, timeouts } = setting.manner.clone();
    let memory = setting.memory.clone();
    let probing = backend::keep_probing(backend.clone(), hostname, timeouts, memory);
    tokio::spawn(probing).abort_handle()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(backends: &str) -> Config {
        let text = format!(
            "certificates: [/a]\nhostname: front.example.org\nstate_dir: /nonexistent\nbackends:\n{backends}listeners:\n  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: implicit, backend: a }}\n"
        );
        Config::parse(&text).unwrap()
    }

    fn members(backends: &Arc<Backends>, config: &Config) -> Vec<Arc<Backend>> {
        let listener = &config.listeners[0];
        let pool = backends.pool(listener.protocol, &listener.backend);
        backends.keep_only(config, &Upstreams::default());
        pool.members().iter().map(|member| member.backend.clone()).collect()
    }

    #[tokio::test]
    async fn without_its_authorities_it_is_not_reached_in_clear() {
        let config = config("  a: { address: \"127.0.0.1:1\", tls: implicit }\n");
        let backends = Arc::new(Backends::new(&config, &Upstreams::default()));
        assert!(members(&backends, &config).is_empty());
    }

    #[tokio::test]
    async fn a_reload_keeps_the_members_that_stay() {
        let first = config("  a: { addresses: [\"127.0.0.1:1\", \"127.0.0.2:1\"] }\n");
        let backends = Arc::new(Backends::new(&first, &Upstreams::default()));
        let before = members(&backends, &first);
        let after = members(
            &backends,
            &config(
                "  a: { balance: first, addresses: [{ address: \"127.0.0.2:1\", drain: true }, \"127.0.0.3:1\"] }\n",
            ),
        );
        assert_eq!((before.len(), after.len()), (2, 2));
        assert!(Arc::ptr_eq(&before[1], &after[0]), "health, sessions and what was learned stay");
        assert_eq!(backends.lock().backends.len(), 2, "the one that left is forgotten");
        assert_eq!(backends.lock().pools.len(), 1);
    }

    #[tokio::test]
    async fn a_name_becomes_its_addresses_and_never_this_front() {
        let mut config = config("  a: { addresses: [\"mail.invalid:1\", \"127.0.0.9:1\"] }\n");
        config.listeners[0].bind = vec!["127.0.0.5:1".parse().unwrap()];
        let backends = Arc::new(Backends::new(&config, &Upstreams::default()));
        let first = members(&backends, &config);
        assert_eq!(first.len(), 1, "nothing is known of the name");
        let ip = |n: u8| IpAddr::from([127, 0, 0, n]);
        let find = |addresses: &[u8]| {
            backends.found("mail.invalid", addresses.iter().map(|n| ip(*n)).collect());
            let members = members(&backends, &config);
            members.iter().map(|m| m.key().target.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(find(&[7, 8, 5, 9]), ["127.0.0.7:1", "127.0.0.8:1", "127.0.0.9:1"]);
        let eight = members(&backends, &config)[1].clone();
        assert_eq!(find(&[8]), ["127.0.0.8:1", "127.0.0.9:1"]);
        assert!(Arc::ptr_eq(&eight, &members(&backends, &config)[0]), "it is the same as before");
        assert_eq!(backends.lock().backends.len(), 2);
    }
}
