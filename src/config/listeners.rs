//! The listeners as they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    Listener, Problem,
    backends::Backends,
    client_certificates,
    routes::{self, Written},
    section::{Notebook, Section, unknown},
    together, web,
};
use crate::{
    certs::Wish,
    protocol::Protocol,
    values::{BareNewline, ClientRule, Network, TlsMode, UnknownName, WebRules},
};

/// What counts for all listeners that do not say something else.
#[derive(Debug, Default)]
pub(super) struct ForAll {
    pub(super) client_certificates: Option<ClientRule>,
    pub(super) proxy_from: Vec<Network>,
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
    together::look(&listeners, for_all, notebook, warnings);
    (listeners.into_iter().map(|(_, listener)| listener).collect(), wishes)
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
    let is_named = section.value("backend").is_some();
    let name: Option<String> = section.take("backend");
    let backend = match name.as_deref() {
        Some(name) => backends.named.get(name).or_else(|| {
            section.note("backend", unknown("backend", name, &backends.names()));
            None
        }),
        None => {
            if backends.default.is_none() && !backends.is_default_noted && !is_named {
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
    let is_http = protocol == Some(Protocol::Http);
    let web = web::rules(&mut section, is_http, tls == Some(TlsMode::None));
    let mut written = routes::routes(&mut section, &backends.names(), around);
    if tls == Some(TlsMode::None) && !is_http && !written.wishes.is_empty() {
        section.note(routes::KEY, "with tls: none, nobody asks for a name");
    }
    wishes.append(&mut written.wishes);
    let routes = protocol.zip(tls).map(|(p, tls)| backends.routes(&written, p, tls));
    let backend = backend.zip(protocol).map(|(b, p)| b.destination(p));
    if backend.iter().flat_map(|b| &b.members).any(|m| m.site.port() == Some(0)) {
        let text = if protocol == Some(Protocol::Raw) {
            "raw has no port of its own: write it behind the backend's address, or into its `ports`"
        } else {
            "nobody listens on port 0, which its backend has: write the one that is meant, or none"
        };
        section.note("backend", text);
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
            web,
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
                web: WebRules::default(),
                is_standard: true,
            });
        }
    }
    listeners
}
