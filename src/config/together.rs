//! What listeners mean to each other and to their backends: mistakes that no line shows by itself.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{Listener, Problem, identity, listeners::ForAll, section::Notebook};
use crate::{
    identity::Identity,
    protocol::Protocol,
    values::{ClientMode, Network, Site, Target, TlsMode},
};

/// A listener, and where it is written.
type Placed = (String, Listener);

/// Notes what cannot work, and warns of what will not do what it seems to.
pub(super) fn look(
    listeners: &[Placed],
    for_all: &ForAll,
    notebook: &Notebook,
    warnings: &mut Vec<Problem>,
) {
    binds(listeners, notebook);
    identity::check(listeners, notebook);
    nobodies(listeners, notebook, warnings);
    fronts(listeners, for_all, notebook, warnings);
    certificates(listeners, notebook, warnings);
}

/// No address twice, and no way back to ourselves.
fn binds(listeners: &[Placed], notebook: &Notebook) {
    let mut bound: BTreeMap<SocketAddr, String> = BTreeMap::new();
    for (path, listener) in listeners {
        for address in listener.bind.iter().filter(|a| a.port() != 0) {
            if let Some(other) = bound.insert(*address, path.clone()) {
                let text =
                    if other == *path { "twice".to_owned() } else { format!("by {other} already") };
                notebook.note(path, format!("{address} is bound {text}"));
            }
        }
    }
    for (path, listener) in listeners {
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
}

/// Whether a connection to `target` would end at `bind`. An address that may be this machine's or
/// not is left to those who bind.
fn is_same(bind: &SocketAddr, target: &SocketAddr) -> bool {
    let family = bind.is_ipv4() == target.is_ipv4();
    bind.port() == target.port()
        && family
        && (bind.ip() == target.ip() || (bind.ip().is_unspecified() && target.ip().is_loopback()))
}

/// Who is told of no client takes them all for us.
fn nobodies(listeners: &[Placed], notebook: &Notebook, warnings: &mut Vec<Problem>) {
    for (path, listener) in listeners {
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
}

/// Whoever may say who a client is.
fn fronts(
    listeners: &[Placed],
    for_all: &ForAll,
    notebook: &Notebook,
    warnings: &mut Vec<Problem>,
) {
    let everybody =
        "it names all addresses, so every client can claim to come from any: name the fronts alone";
    let is_everybody = |fronts: &[Network]| fronts.iter().any(Network::is_everything);
    if is_everybody(&for_all.proxy_from) {
        warnings.push(notebook.problem("proxy_from", everybody));
    }
    for (path, listener) in listeners {
        if is_everybody(&listener.proxy_from) && listener.proxy_from != for_all.proxy_from {
            warnings.push(notebook.problem(&format!("{path}.proxy_from"), everybody));
        }
    }
}

/// Certificates that are required where nobody has to show one.
fn certificates(listeners: &[Placed], notebook: &Notebook, warnings: &mut Vec<Problem>) {
    for (path, listener) in listeners {
        let is_required = listener
            .client_certificates
            .as_ref()
            .is_some_and(|rule| rule.mode == ClientMode::Require);
        if is_required && listener.tls == TlsMode::StarttlsOptional {
            let text = "client_certificates: require keeps nobody out here, since clients may go on in clear; and mail servers without a certificate lose their TLS: request is what a public MX can do";
            warnings.push(notebook.problem(path, text));
        }
    }
}
