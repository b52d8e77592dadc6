//! The configuration → what a web listener goes by.

use std::{collections::HashSet, sync::Arc};

use crate::{
    backend::{Pool, Routes},
    config::{Config, Listener},
    http::{Clear, Web},
    protocol::Protocol,
    values::TlsMode,
};

/// What all web listeners of a configuration share.
pub(super) struct Webs<'a> {
    config: &'a Config,
    names: Arc<HashSet<String>>,
    https: Option<u16>,
}

impl<'a> Webs<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        let webs = || config.listeners.iter().filter(|l| l.protocol == Protocol::Http);
        let own = std::iter::once(&config.hostname).chain(&config.aliases);
        let routed = webs().flat_map(|l| l.routes.names.keys()).map(|name| name.to_string());
        let names = own.map(|name| name.to_ascii_lowercase()).chain(routed).collect();
        let secure = webs().filter(|l| l.tls == TlsMode::Implicit);
        let ports: Vec<u16> =
            secure.flat_map(|l| &l.bind).map(std::net::SocketAddr::port).collect();
        let usual = ports.contains(&443).then_some(443);
        Self { config, names: Arc::new(names), https: usual.or(ports.first().copied()) }
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
            timeouts: self.config.timeouts,
            line: self.config.limits.line,
        }))
    }
}
