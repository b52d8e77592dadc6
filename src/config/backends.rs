//! The backends as they are written.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::{
    Destination, Member, Preset, Routes,
    address::{Address, address},
    backend_tls, destination,
    identity::{Identities, identities},
    routes::Written,
    section::{Section, unknown},
};
use crate::{
    identity::Identity,
    protocol::Protocol,
    values::{BackendTls, BackendTlsMode, Balance, TlsMode},
};

/// The backends of a configuration.
#[derive(Debug, Default)]
pub(super) struct Backends {
    /// The one of listeners that name none.
    pub(super) default: Option<Backend>,
    /// One was meant to be the default, or may have been, and what is wrong with it has been noted.
    pub(super) is_default_noted: bool,
    pub(super) named: BTreeMap<String, Backend>,
}

#[derive(Clone, Debug)]
pub(super) struct Backend {
    name: String,
    members: Vec<(Address, bool)>,
    balance: Balance,
    identity: Identities,
    pub(super) preset: Option<Preset>,
    ports: BTreeMap<Protocol, u16>,
    tls: Option<BackendTls>,
    h2c: bool,
}

impl Backend {
    /// One that is an address and nothing else.
    fn bare(address: Address) -> Self {
        Self {
            name: "backend".to_owned(),
            members: vec![(address, false)],
            balance: Balance::default(),
            identity: Identities::default(),
            preset: None,
            ports: BTreeMap::new(),
            tls: None,
            h2c: false,
        }
    }

    pub(super) fn destination(&self, protocol: Protocol) -> Destination {
        let port = self.ports.get(&protocol).copied();
        let port = port.unwrap_or_else(|| self.usual_port(protocol));
        let member =
            |(address, drain): &(Address, bool)| Member { site: address.site(port), drain: *drain };
        Destination {
            name: self.name.clone(),
            members: self.members.iter().map(member).collect(),
            balance: self.balance,
            identity: self.identity(protocol),
            preset: self.preset,
            tls: self.tls.clone(),
            h2c: self.h2c && protocol == Protocol::Http,
        }
    }

    /// Where TLS comes first, some protocols have a port of their own.
    fn usual_port(&self, protocol: Protocol) -> u16 {
        let row = protocol.row();
        let is_implicit = self.tls.as_ref().is_some_and(|t| t.mode == BackendTlsMode::Implicit);
        row.implicit_ports.first().copied().filter(|_| is_implicit).unwrap_or(row.port)
    }

    /// Whether TLS to it begins in the middle of a protocol that knows no such thing.
    pub(super) fn cannot_begin_tls(&self, protocol: Protocol) -> bool {
        let is_starttls = self.tls.as_ref().is_some_and(|t| t.mode == BackendTlsMode::Starttls);
        is_starttls && !protocol.row().starttls
    }

    fn identity(&self, protocol: Protocol) -> Identity {
        self.identity.of(protocol, self.preset)
    }
}

impl Backends {
    /// The names of all that have one, sorted.
    pub(super) fn names(&self) -> Vec<&str> {
        self.named.keys().map(String::as_str).collect()
    }

    /// The routes for this protocol.
    pub(super) fn routes(&self, written: &Written, protocol: Protocol, tls: TlsMode) -> Routes {
        // Web clients name a host in each request, with TLS or without.
        let is_unnamed = tls == TlsMode::None && protocol != Protocol::Http;
        if is_unnamed || written.names.is_empty() {
            return Routes::default();
        }
        let used: BTreeSet<usize> = written.names.values().copied().collect();
        let backend = |(n, backend): (usize, &Backend)| {
            let destination = used.contains(&n).then(|| backend.destination(protocol))?;
            // What a backend does not have, its names do not lead to.
            if backend.cannot_begin_tls(protocol) {
                return None;
            }
            destination.members.iter().all(|m| m.site.port() != Some(0)).then_some((n, destination))
        };
        let backends = self.named.values().enumerate().filter_map(backend).collect();
        Routes { names: written.names.clone(), backends }
    }
}

pub(super) fn backends(top: &mut Section<'_>) -> Backends {
    let (mut named, mut is_noted) = (BTreeMap::new(), false);
    for (name, section) in top.named_sections("backends") {
        match backend(section, &name) {
            Some(backend) => drop(named.insert(name, backend)),
            // It may be the one that was meant.
            None => is_noted = true,
        }
    }
    is_noted |= top.value("backend").is_some();
    let stated: Option<String> = top.take("backend");
    let known: Vec<&str> = named.keys().map(String::as_str).collect();
    let default = stated.and_then(|text| match (named.get(&text), address(&text)) {
        (Some(backend), _) => Some(backend.clone()),
        // Without a dot it could be a host's name just as well.
        (None, Ok(Address::Host { name, port: None }))
            if !known.is_empty() && !name.contains('.') && name != "localhost" =>
        {
            top.note("backend", unknown("backend", &text, &known));
            None
        }
        (None, Ok(address)) => Some(Backend::bare(address)),
        (None, Err(why)) => {
            top.note("backend", why);
            None
        }
    });
    // With one, there is nothing to choose.
    let only = named.values().next().filter(|_| named.len() == 1).cloned();
    Backends { is_default_noted: is_noted && default.is_none(), default: default.or(only), named }
}

fn backend(mut section: Section<'_>, name: &str) -> Option<Backend> {
    let members = destination::members(&mut section);
    let balance = section.take("balance").unwrap_or_default();
    let identity = identities(&mut section);
    let preset = section.take("preset");
    let mut ports = BTreeMap::new();
    for (name, value) in section.entries("ports") {
        let path = section.path(&format!("ports.{name}"));
        let protocol = section.read(&path, &Value::String(name));
        let port: Option<u16> = section.read(&path, value);
        ports.extend(protocol.zip(port));
    }
    if !ports.is_empty() && members.iter().flatten().any(|(address, _)| !address.is_open()) {
        section.note(
            "ports",
            "the address has a port already; take it out there, or leave `ports` out",
        );
    }
    let has_socket = members.iter().flatten().any(|(address, _)| address.is_unix());
    let tls = backend_tls::backend_tls(&mut section, has_socket);
    let h2c = section.take("h2c").unwrap_or_default();
    if h2c && tls.is_some() {
        section
            .note("h2c", "it is HTTP/2 in clear: with `tls`, leave it out, and HTTP/1.1 is spoken");
    }
    section.finish();
    let (name, members) = (name.to_owned(), members?);
    Some(Backend { name, members, balance, identity, preset, ports, tls, h2c })
}
