//! Listeners, and the backends that they go to.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use serde_yaml::Value;

use super::{
    Listener, Problem, backend_tls, client_certificates,
    section::{Notebook, Section},
};
use crate::{
    identity::Identity,
    protocol::Protocol,
    values::{
        BackendTls, BackendTlsMode, BareNewline, ClientMode, ClientRule, Target, TlsMode,
        UnknownName,
    },
};

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
    identity: Option<Identity>,
    ports: BTreeMap<Protocol, u16>,
    tls: Option<BackendTls>,
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
                let port = self.ports.get(&protocol).copied();
                let port = port.unwrap_or_else(|| self.usual_port(protocol));
                Target::Tcp(SocketAddr::new(*ip, port))
            }
        }
    }

    /// Where TLS comes first, some protocols have a port of their own.
    fn usual_port(&self, protocol: Protocol) -> u16 {
        let row = protocol.row();
        let is_implicit = self.tls.as_ref().is_some_and(|t| t.mode == BackendTlsMode::Implicit);
        row.implicit_ports.first().copied().filter(|_| is_implicit).unwrap_or(row.port)
    }

    /// A backend that does not see the client's address relays for everybody, so mail is told.
    fn identity(&self, protocol: Protocol) -> Identity {
        let default = match protocol {
            Protocol::Http | Protocol::Raw => Identity::None,
            _ => Identity::ProxyV2,
        };
        self.identity.unwrap_or(default)
    }
}

pub(super) fn backends(top: &mut Section<'_>) -> Backends {
    let is_stated = top.value("backend").is_some();
    let default: Option<String> = top.take("backend");
    let default = default.and_then(|text| {
        let address = address(&text).map_err(|why| top.note("backend", why)).ok()?;
        Some(Backend { address, identity: None, ports: BTreeMap::new(), tls: None })
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
    let identity = section.take("identity");
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
    let tls = backend_tls::backend_tls(&mut section, matches!(address, Some(Address::Unix(_))));
    section.finish();
    Some(Backend { address: address?, identity, ports, tls })
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
    for_all: Option<&ClientRule>,
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
    for_all: Option<&ClientRule>,
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
    let backend_tls = backend.and_then(|b| b.tls.clone());
    if let (Some(protocol), Some(BackendTlsMode::Starttls)) =
        (protocol, backend_tls.as_ref().map(|t| t.mode))
        && !protocol.row().starttls
    {
        let text = format!(
            "{} knows no STARTTLS, and that backend has tls: starttls: give this listener another one, with tls: implicit or none",
            protocol.name()
        );
        section.note("backend", text);
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
                .unwrap_or_else(|| for_all.cloned())
                .filter(|_| tls != Some(TlsMode::None)),
            bare_newline,
            target,
            identity,
            backend_tls,
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
fn standard(top: &Section<'_>, backends: &Backends, for_all: Option<&ClientRule>) -> Vec<Listener> {
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
    if backend.tls.as_ref().is_some_and(|t| t.mode == BackendTlsMode::Starttls) {
        top.note("backends", "with tls: starttls, and http knows none, the standard listeners cannot all go to this backend: write `listeners`");
    }
    let mut listeners = Vec::new();
    for protocol in Protocol::ALL.into_iter().filter(|p| *p != Protocol::Raw) {
        let row = protocol.row();
        for port in std::iter::once(row.port).chain(row.implicit_ports.iter().copied()) {
            let bind = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
            let tls = usual(protocol, port);
            listeners.push(Listener {
                bind: bind.map(|ip| SocketAddr::new(ip, port)).to_vec(),
                protocol,
                tls,
                unknown_name: UnknownName::default(),
                client_certificates: for_all.filter(|_| tls != TlsMode::None).cloned(),
                bare_newline: BareNewline::default(),
                target: backend.target(protocol),
                identity: backend.identity(protocol),
                backend_tls: backend.tls.clone(),
                is_standard: true,
            });
        }
    }
    listeners
}
