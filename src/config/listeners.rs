//! Listeners, and the backends that they go to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use serde_yaml::Value;

use super::{
    Listener, Preset, Problem, client_certificates,
    identity::{self, Identities, identities},
    section::{Notebook, Section},
};
use crate::{
    identity::Identity,
    protocol::Protocol,
    values::{BareNewline, ClientMode, ClientRule, Network, Target, TlsMode, UnknownName},
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
    address: Address,
    identity: Identities,
    preset: Option<Preset>,
    ports: BTreeMap<Protocol, u16>,
}

#[derive(Clone, Debug)]
enum Address {
    /// The port follows from the protocol.
    Ip(IpAddr),
    Socket(SocketAddr),
    Unix(PathBuf),
}

impl Backend {
    fn target(&self, protocol: Protocol) -> Target {
        match &self.address {
            Address::Socket(address) => Target::Tcp(*address),
            Address::Unix(path) => Target::Unix(path.clone()),
            Address::Ip(ip) => {
                let port = self.ports.get(&protocol).copied().unwrap_or(protocol.row().port);
                Target::Tcp(SocketAddr::new(*ip, port))
            }
        }
    }

    fn identity(&self, protocol: Protocol) -> Identity {
        self.identity.of(protocol, self.preset)
    }
}

pub(super) fn backends(top: &mut Section<'_>) -> Backends {
    let is_stated = top.value("backend").is_some();
    let default: Option<String> = top.take("backend");
    let default = default.and_then(|text| {
        let address = address(&text).map_err(|why| top.note("backend", why)).ok()?;
        let identity = Identities::default();
        Some(Backend { address, identity, preset: None, ports: BTreeMap::new() })
    });
    let mut named = BTreeMap::new();
    for (name, section) in top.named_sections("backends") {
        if let Some(backend) = backend(section) {
            named.insert(name, backend);
        }
    }
    // With one, there is nothing to choose.
    let only = named.values().next().filter(|_| named.len() == 1).cloned();
    Backends { is_default_noted: is_stated && default.is_none(), default: default.or(only), named }
}

fn backend(mut section: Section<'_>) -> Option<Backend> {
    let text: Option<String> = section.take("address");
    let address = match text.as_deref().map(address) {
        Some(Ok(address)) => Some(address),
        Some(Err(why)) => {
            section.note("address", why);
            None
        }
        None => {
            section.note("address", "it is missing: where does this backend listen?");
            None
        }
    };
    let identity = identities(&mut section);
    let preset = section.take("preset");
    let mut ports = BTreeMap::new();
    for (name, value) in section.entries("ports") {
        let path = section.path(&format!("ports.{name}"));
        let protocol = section.read(&path, &Value::String(name));
        let port: Option<u16> = section.read(&path, value);
        ports.extend(protocol.zip(port));
    }
    if !ports.is_empty() && !matches!(address, Some(Address::Ip(_)) | None) {
        section.note(
            "ports",
            "the address has a port already; take it out there, or leave `ports` out",
        );
    }
    section.finish();
    Some(Backend { address: address?, identity, preset, ports })
}

fn address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text))
    {
        return Ok(Address::Unix(PathBuf::from(path)));
    }
    if let Ok(socket) = text.parse() {
        return Ok(Address::Socket(socket));
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().map(Address::Ip).map_err(|_| {
        format!("`{text}` is not an address: write 10.0.0.5, 10.0.0.5:143, [2001:db8::5]:143 or unix:/path (names are not looked up)")
    })
}

pub(super) fn listeners(
    top: &mut Section<'_>,
    backends: &Backends,
    for_all: &ForAll,
    notebook: &Notebook,
    warnings: &mut Vec<Problem>,
) -> Vec<Listener> {
    let listeners: Vec<(String, Listener)> = match top.sections("listeners") {
        Some(sections) => {
            sections.into_iter().filter_map(|s| listener(s, backends, for_all)).collect()
        }
        None => standard(top, backends, for_all)
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
        if let Target::Tcp(target) = &listener.target
            && bound.keys().any(|bind| is_same(bind, target))
        {
            let text = format!(
                "the backend {target} is this front itself, which would be a loop: on one machine, move the mail server to another port and tell `ports` or `address`"
            );
            notebook.note(path, text);
        }
    }
    identity::check(&listeners, notebook);
    for (path, listener) in &listeners {
        let is_mail_in = matches!(listener.protocol, Protocol::Smtp | Protocol::Submission);
        if is_mail_in && listener.identity == Identity::None {
            let text = format!(
                "with identity: none, {} takes every client for this front: if it trusts this front's address (Postfix: mynetworks), it is an open relay; and it loses SPF, greylisting and rate limits",
                listener.target
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
    listeners.into_iter().map(|(_, listener)| listener).collect()
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
            let known: Vec<&str> = backends.named.keys().map(String::as_str).collect();
            section
                .note("backend", format!("there is no backend `{name}`; there {}", list(&known)));
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
    let preset = backend.and_then(|backend| backend.preset);
    if let Some((preset, protocol)) = preset.zip(protocol).filter(|(p, spoken)| !p.speaks(*spoken))
    {
        let (product, name) = (preset.row().product, protocol.name());
        section.note("backend", format!("its preset is {preset}, and {product} speaks no {name}: name the backend that does, or leave `preset` out"));
    }
    let target = backend.zip(protocol).map(|(b, p)| (b.target(p), b.identity(p)));
    if let Some((Target::Tcp(target), _)) = &target
        && target.port() == 0
    {
        section.note("backend", "raw has no port of its own: write it behind the backend's address, or into its `ports`");
    }
    section.finish();
    let (target, identity) = target?;
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
            target,
            identity,
            preset,
            is_standard: false,
        },
    ))
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "are none: `backends` is empty".to_owned(),
        [name] => format!("is `{name}`"),
        names => format!("are {}", names.join(", ")),
    }
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
fn standard(top: &Section<'_>, backends: &Backends, for_all: &ForAll) -> Vec<Listener> {
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
                target: backend.target(protocol),
                identity: backend.identity(protocol),
                preset: backend.preset,
                is_standard: true,
            });
        }
    }
    listeners
}
