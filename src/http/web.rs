//! What a web listener goes by.

use std::{collections::HashSet, sync::Arc};

use super::Offer;
use crate::{
    backend::{Pool, Routes},
    values::{ClientRule, Timeouts, WebRules},
};

/// What all clients of a web listener share. A reload makes a new one.
#[derive(Debug)]
pub struct Web {
    /// Our own name.
    pub hostname: String,
    /// Where requests go whose host has no route.
    pub backend: Arc<Pool>,
    /// Where requests go, by their host.
    pub routes: Routes,
    /// What the configuration says.
    pub rules: WebRules,
    /// What becomes of requests in clear.
    pub clear: Clear,
    /// What is wanted of clients' certificates here.
    pub client_certificates: Option<ClientRule>,
    /// Names that the configuration knows as ours, in lower case, exact or with a wildcard in front.
    pub names: Arc<HashSet<String>>,
    /// What mail programs can be told of.
    pub offers: Vec<Offer>,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// The most octets of a frame that are kept of a backend before HTTP begins.
    pub line: usize,
}

/// What becomes of requests that come without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clear {
    /// They are passed on like all others.
    Forward,
    /// They are sent to https, at this port.
    Redirect {
        /// Where we listen for https.
        port: u16,
    },
}

impl Web {
    /// Where a request for this host goes.
    pub(super) fn pool(&self, host: Option<&str>) -> &Arc<Pool> {
        host.and_then(|name| self.routes.pool(name)).unwrap_or(&self.backend)
    }

    /// Whether the configuration knows this name, in lower case, as one of ours.
    pub(super) fn knows(&self, name: &str) -> bool {
        let wildcard = || name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        self.names.contains(name) || wildcard().is_some_and(|w| self.names.contains(&w))
    }
}
