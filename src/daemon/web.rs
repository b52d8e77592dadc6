//! The configuration → what a web listener goes by.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

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
    pub(super) fn of(config: &'a Config) -> Self {
        let webs = || config.listeners.iter().filter(|l| l.protocol == Protocol::Http);
        let own = std::iter::once(&config.hostname).chain(&config.aliases);
        let routed = webs().flat_map(|l| l.routes.names.keys()).map(|name| name.to_string());
        let names = own.map(|name| name.to_ascii_lowercase()).chain(routed).collect();
        let secure = webs().filter(|l| l.tls == TlsMode::Implicit);
        let ports: Vec<u16> = secure.flat_map(|l| &l.bind).map(SocketAddr::port).collect();
        let usual = ports.contains(&443).then_some(443);
        let mut offers: Vec<Offer> = config.listeners.iter().flat_map(offers).collect();
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
fn offers(listener: &Listener) -> Vec<Offer> {
    let is_program =
        [Protocol::Imap, Protocol::Pop3, Protocol::Submission].contains(&listener.protocol);
    let is_implicit = match listener.tls {
        TlsMode::Implicit => true,
        TlsMode::Starttls => false,
        TlsMode::None | TlsMode::StarttlsOptional => return Vec::new(),
    };
    let offer =
        |bind: &SocketAddr| Offer { protocol: listener.protocol, port: bind.port(), is_implicit };
    listener.bind.iter().filter(|_| is_program).map(offer).collect()
}
