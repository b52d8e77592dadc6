//! The configuration → what a web listener goes by.

use std::{collections::HashSet, sync::Arc};

use crate::{
    backend::{Pool, Routes},
    config::{Config, Listener},
    http::{Clear, Offer, Web},
    protocol::Protocol,
    values::TlsMode,
};

/// What all web listeners of a configuration share.
pub(super) struct Webs<'a> {
    config: &'a Config,
    names: Arc<HashSet<String>>,
    https: Option<u16>,
    offers: Vec<Offer>,
}

impl<'a> Webs<'a> {
    /// `doors`: each socket's listener, and the port that it really has.
    pub(super) fn of(config: &'a Config, doors: &[(&Listener, u16)]) -> Self {
        let webs = || doors.iter().filter(|(l, _)| l.protocol == Protocol::Http);
        let own = std::iter::once(&config.hostname).chain(&config.aliases);
        let routed = webs().flat_map(|(l, _)| l.routes.names.keys()).map(ToString::to_string);
        let names = own.map(|name| name.to_ascii_lowercase()).chain(routed).collect();
        let secure = webs().filter(|(l, _)| l.tls == TlsMode::Implicit);
        let ports: Vec<u16> = secure.map(|(_, port)| *port).collect();
        let usual = ports.contains(&443).then_some(443);
        let mut offers: Vec<Offer> = doors.iter().filter_map(|(l, port)| offer(l, *port)).collect();
        // The standard port before others, and TLS first before STARTTLS (RFC 8314 §3).
        offers.sort_by_key(|o| (o.protocol != Protocol::Imap, o.protocol, !o.is_implicit, o.port));
        offers.dedup_by_key(|o| (o.protocol, o.is_implicit));
        Self { config, offers, names: Arc::new(names), https: usual.or(ports.first().copied()) }
    }

    /// What this listener's clients meet; `None`: it is none for the web.
    pub(super) fn web(
        &self,
        listener: &Listener,
        backend: &Arc<Pool>,
        routes: &Routes,
    ) -> Option<Arc<Web>> {
        if listener.protocol != Protocol::Http {
            return None;
        }
        let clear = match (listener.tls, listener.web.forward, self.https) {
            (TlsMode::None, Some(false) | None, Some(port)) => Clear::Redirect { port },
            _ => Clear::Forward,
        };
        Some(Arc::new(Web {
            hostname: self.config.hostname.clone(),
            backend: backend.clone(),
            routes: routes.clone(),
            rules: listener.web.clone(),
            clear,
            client_certificates: listener.client_certificates.clone(),
            names: self.names.clone(),
            offers: self.offers.clone(),
            timeouts: self.config.timeouts,
            line: self.config.limits.line,
        }))
    }
}

/// What mail programs can be told of a listener: where everybody gets TLS.
fn offer(listener: &Listener, port: u16) -> Option<Offer> {
    let protocol = listener.protocol;
    let is_program = [Protocol::Imap, Protocol::Pop3, Protocol::Submission].contains(&protocol);
    let is_implicit = match listener.tls {
        TlsMode::Implicit => true,
        TlsMode::Starttls => false,
        TlsMode::None | TlsMode::StarttlsOptional => return None,
    };
    is_program.then_some(Offer { protocol, port, is_implicit })
}
