//! Listeners, and the backends that they go to.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde_yaml::Value;

use super::{
    Destination, Listener, Member, Preset, Problem, Routes,
    address::{Address, address},
    backend_tls, client_certificates, destination,
    identity::{self, Identities, identities},
    routes::{self, Written},
    section::{Notebook, Section, unknown},
};
use crate::{
    certs::Wish,
    identity::Identity,
    protocol::Protocol,
    values::{
        BackendTls, BackendTlsMode, Balance, BareNewline, ClientMode, ClientRule, Network, Site,
        Target, TlsMode, UnknownName,
    },
};

/// What counts for all listeners that do not say something else.
#[derive(Debug, Default)]
pub(super) struct ForAll {
    pub(super) client_certificates: Option<ClientRule>,
    pub(super) proxy_from: Vec<Network>,
}

/// The backends of a configuration.
#[derive(Debug, Default)]
pub(super) struct Backends {
    /// The one of listeners that name none.
    default: Option<Backend>,
    /// One was meant to be the default, and what is wrong with it has been noted.
    is_default_noted: bool,
    named: BTreeMap<String, Backend>,
}

#[derive(Clone, Debug)]
struct Backend {
    name: String,
    members: Vec<(Address, bool)>,
    balance: Balance,
    identity: Identities,
    preset: Option<Preset>,
    ports: BTreeMap<Protocol, u16>,
    tls: Option<BackendTls>,
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
        }
    }

    fn destination(&self, protocol: Protocol) -> Destination {
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
        }
    }

    /// Where TLS comes first, some protocols have a port of their own.
    fn usual_port(&self, protocol: Protocol) -> u16 {
        let row = protocol.row();
        let is_implicit = self.tls.as_ref().is_some_and(|t| t.mode == BackendTlsMode::Implicit);
        row.implicit_ports.first().copied().filter(|_| is_implicit).unwrap_or(row.port)
    }

    /// Whether TLS to it begins in the middle of a protocol that knows no such thing.
    fn cannot_begin_tls(&self, protocol: Protocol) -> bool {
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
    fn routes(&self, written: &Written, protocol: Protocol, tls: TlsMode) -> Routes {
        if tls == TlsMode::None || written.names.is_empty() {
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
    let mut named = BTreeMap::new();
    for (name, section) in top.named_sections("backends") {
        if let Some(backend) = backend(section, &name) {
            named.insert(name, backend);
        }
    }
    let is_stated = top.value("backend").is_some();
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
    Backends { is_default_noted: is_stated && default.is_none(), default: default.or(only), named }
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
    section.finish();
    let (name, members) = (name.to_owned(), members?);
    Some(Backend { name, members, balance, identity, preset, ports, tls })
}

/// The listeners, and the names that their routes mean to be covered by certificates.
pub(super) fn listeners(
    top: &mut Section<'_>,
    backends: &Backends,
    for_all: &ForAll,
    notebook: &Notebook,
    warnings: &mut Vec<Problem>,
) -> (Vec<Listener>, Vec<Wish>) {
    let mut routes = routes::routes(top, &backends.names(), &Written::default());
    let mut wishes = std::mem::take(&mut routes.wishes);
    let listeners: Vec<(String, Listener)> = match top.sections("listeners") {
        Some(sections) => sections
            .into_iter()
            .filter_map(|s| listener(s, backends, for_all, &routes, &mut wishes))
            .collect(),
        None => standard(top, backends, for_all, &routes)
            .into_iter()
            .map(|l| ("listeners".to_owned(), l))
            .collect(),
    };
    if listeners.is_empty()
        && top.value("listeners").is_some_and(|v| v.as_sequence().is_some_and(Vec::is_empty))
    {
        top.note("listeners", "it is empty; without the key, the standard listeners are opened");
    }
    let mut bound: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (path, listener) in &listeners {
        for address in listener.bind.iter().filter(|a| a.port() != 0) {
            if let Some(other) = bound.insert(*address, path.clone()) {
                let text =
                    if other == *path { "twice".to_owned() } else { format!("by {other} already") };
                notebook.note(path, format!("{address} is bound {text}"));
            }
        }
    }
    for (path, listener) in &listeners {
        for site in listener.destinations().flat_map(|d| &d.members).map(|m| &m.site) {
            if let Site::At(Target::Tcp(target)) = site
                && bound.keys().any(|bind| is_same(bind, target))
            {
                let text = format!(
                    "the backend {target} is this front itself, which would be a loop: on one machine, move the mail server to another port and tell `ports` or `address`"
                );
                notebook.note(path, text);
            }
        }
    }
    identity::check(&listeners, notebook);
    for (path, listener) in &listeners {
        let is_mail_in = matches!(listener.protocol, Protocol::Smtp | Protocol::Submission);
        for backend in
            listener.destinations().filter(|d| is_mail_in && d.identity == Identity::None)
        {
            let text = format!(
                "with identity: none, {backend} takes every client for this front: if it trusts this front's address (Postfix: mynetworks), it is an open relay; and it loses SPF, greylisting and rate limits"
            );
            warnings.push(notebook.problem(path, text));
        }
    }
    let everybody =
        "it names all addresses, so every client can claim to come from any: name the fronts alone";
    let is_everybody = |fronts: &[Network]| fronts.iter().any(Network::is_everything);
    if is_everybody(&for_all.proxy_from) {
        warnings.push(notebook.problem("proxy_from", everybody));
    }
    for (path, listener) in &listeners {
        if is_everybody(&listener.proxy_from) && listener.proxy_from != for_all.proxy_from {
            warnings.push(notebook.problem(&format!("{path}.proxy_from"), everybody));
        }
    }
    for (path, listener) in &listeners {
        let is_required = listener
            .client_certificates
            .as_ref()
            .is_some_and(|rule| rule.mode == ClientMode::Require);
        if is_required && listener.tls == TlsMode::StarttlsOptional {
            let text = "client_certificates: require keeps nobody out here, since clients may go on in clear; and mail servers without a certificate lose their TLS: request is what a public MX can do";
            warnings.push(notebook.problem(path, text));
        }
    }
    (listeners.into_iter().map(|(_, listener)| listener).collect(), wishes)
}

/// Whether a connection to `target` would end at `bind`. An address that may be this machine's or
/// not is left to those who bind.
fn is_same(bind: &SocketAddr, target: &SocketAddr) -> bool {
    let family = bind.is_ipv4() == target.is_ipv4();
    bind.port() == target.port()
        && family
        && (bind.ip() == target.ip() || (bind.ip().is_unspecified() && target.ip().is_loopback()))
}

fn listener(
    mut section: Section<'_>,
    backends: &Backends,
    for_all: &ForAll,
    around: &Written,
    wishes: &mut Vec<Wish>,
) -> Option<(String, Listener)> {
    let path = section.path("bind").trim_end_matches(".bind").to_owned();
    let bind: Vec<SocketAddr> = section.list("bind").unwrap_or_default();
    if bind.is_empty() && section.value("bind").is_none() {
        section.note(
            "bind",
            "it is missing: an address and a port, such as \"0.0.0.0:993\", or a list of them",
        );
    }
    let port = bind.first().map(SocketAddr::port);
    let stated: Option<Protocol> = section.take("protocol");
    let is_stated = section.value("protocol").is_some();
    let protocol = stated.or_else(|| port.and_then(by_port));
    if protocol.is_none() && !is_stated && !bind.is_empty() {
        section.note("bind", "the port belongs to no protocol, so `protocol` is wanted: smtp, submission, imap, pop3, sieve, http or raw");
    }
    let tls: Option<TlsMode> = section.take("tls");
    let unknown_name = section.take("unknown_name").unwrap_or_default();
    let client_certificates = client_certificates::rule_in(&mut section);
    let bare_newline = section.take("bare_newline").unwrap_or_default();
    let proxy_from = section.list("proxy_from");
    let name: Option<String> = section.take("backend");
    let backend = match name.as_deref() {
        Some(name) => backends.named.get(name).or_else(|| {
            section.note("backend", unknown("backend", name, &backends.names()));
            None
        }),
        None => {
            if backends.default.is_none() && !backends.is_default_noted {
                section.note(
                    "backend",
                    "it is missing: with several `backends`, each listener names its own",
                );
            }
            backends.default.as_ref()
        }
    };
    let tls = protocol.map(|protocol| tls.unwrap_or_else(|| usual(protocol, port.unwrap_or(0))));
    if let (Some(protocol), Some(TlsMode::Starttls | TlsMode::StarttlsOptional)) = (protocol, tls)
        && !protocol.row().starttls
    {
        section
            .note("tls", format!("{} knows no STARTTLS: write implicit or none", protocol.name()));
    }
    if tls == Some(TlsMode::None) && client_certificates.iter().flatten().next().is_some() {
        section.note(client_certificates::KEY, "with tls: none, there are none");
    }
    if let Some(protocol) = protocol
        && backend.is_some_and(|backend| backend.cannot_begin_tls(protocol))
    {
        let text = format!(
            "{} knows no STARTTLS, and that backend has tls: starttls: give this listener another one, with tls: implicit or none",
            protocol.name()
        );
        section.note("backend", text);
    }
    let preset = backend.and_then(|backend| backend.preset);
    if let Some((preset, protocol)) = preset.zip(protocol).filter(|(p, spoken)| !p.speaks(*spoken))
    {
        let (product, name) = (preset.row().product, protocol.name());
        section.note("backend", format!("its preset is {preset}, and {product} speaks no {name}: name the backend that does, or leave `preset` out"));
    }
    let mut written = routes::routes(&mut section, &backends.names(), around);
    if tls == Some(TlsMode::None) && !written.wishes.is_empty() {
        section.note(routes::KEY, "with tls: none, nobody asks for a name");
    }
    wishes.append(&mut written.wishes);
    let routes = protocol.zip(tls).map(|(p, tls)| backends.routes(&written, p, tls));
    let backend = backend.zip(protocol).map(|(b, p)| b.destination(p));
    if backend.iter().flat_map(|b| &b.members).any(|m| m.site.port() == Some(0)) {
        section.note("backend", "raw has no port of its own: write it behind the backend's address, or into its `ports`");
    }
    section.finish();
    Some((
        path,
        Listener {
            bind,
            protocol: protocol?,
            tls: tls?,
            unknown_name,
            client_certificates: client_certificates
                .unwrap_or_else(|| for_all.client_certificates.clone())
                .filter(|_| tls != Some(TlsMode::None)),
            bare_newline,
            proxy_from: proxy_from.unwrap_or_else(|| for_all.proxy_from.clone()),
            backend: backend?,
            routes: routes?,
            is_standard: false,
        },
    ))
}

fn by_port(port: u16) -> Option<Protocol> {
    Protocol::ALL
        .into_iter()
        .find(|p| port != 0 && (p.row().port == port || p.row().implicit_ports.contains(&port)))
}

/// How a protocol's clients usually come to TLS on this port.
fn usual(protocol: Protocol, port: u16) -> TlsMode {
    match protocol {
        _ if protocol.row().implicit_ports.contains(&port) => TlsMode::Implicit,
        // RFC 3207 §4: a public server must not require it.
        Protocol::Smtp => TlsMode::StarttlsOptional,
        Protocol::Http => TlsMode::None,
        Protocol::Raw => TlsMode::Implicit,
        _ => TlsMode::Starttls,
    }
}

/// The ten standard listeners, on all addresses.
fn standard(
    top: &Section<'_>,
    backends: &Backends,
    for_all: &ForAll,
    routes: &Written,
) -> Vec<Listener> {
    let Some(backend) = &backends.default else {
        let text = if backends.named.is_empty() {
            "it is missing: where is the mail server? Such as 10.0.0.5"
        } else {
            "with several `backends` and no `listeners`, it is wanted: where do the standard listeners go?"
        };
        if !backends.is_default_noted {
            top.note("backend", text);
        }
        return Vec::new();
    };
    if backend.cannot_begin_tls(Protocol::Http) {
        top.note("backends", "with tls: starttls, and http knows none, the standard listeners cannot all go to this backend: write `listeners`");
    }
    let mut listeners = Vec::new();
    // What the server does not speak needs no listener.
    let is_spoken = |protocol: &Protocol| backend.preset.is_none_or(|p| p.speaks(*protocol));
    for protocol in Protocol::ALL.into_iter().filter(|p| *p != Protocol::Raw).filter(is_spoken) {
        let row = protocol.row();
        for port in std::iter::once(row.port).chain(row.implicit_ports.iter().copied()) {
            let bind = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
            let tls = usual(protocol, port);
            listeners.push(Listener {
                bind: bind.map(|ip| SocketAddr::new(ip, port)).to_vec(),
                protocol,
                tls,
                unknown_name: UnknownName::default(),
                client_certificates: for_all
                    .client_certificates
                    .clone()
                    .filter(|_| tls != TlsMode::None),
                bare_newline: BareNewline::default(),
                proxy_from: for_all.proxy_from.clone(),
                backend: backend.destination(protocol),
                routes: backends.routes(routes, protocol, tls),
                is_standard: true,
            });
        }
    }
    listeners
}
