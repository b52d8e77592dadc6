//! A front for a rehearsal, where none runs: it listens where the authority looks, and nowhere else.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{Purpose, Unfit, backends::Backends, service::Service, snapshot::compose};
use crate::{
    certs::Challenges,
    config::{Config, Listener},
    protocol::Protocol,
    values::{Acme, Challenge, TlsMode},
};

/// It is there until this is dropped.
#[derive(Debug)]
pub struct StandIn(Service);

impl StandIn {
    /// Listens for these settings, with what the configuration says of the ports. What it keeps lies
    /// where the settings have theirs. Blocks.
    pub fn start(file: &Path, config: &Config, settings: &Acme) -> Result<Self, Unfit> {
        let config = Config {
            acme: Some(settings.clone()),
            state_dir: settings.folder.clone(),
            certificates: Vec::new(),
            default_certificate: None,
            certificate_by_address: BTreeMap::new(),
            wishes: Vec::new(),
            listeners: looked_at(&config.listeners, &settings.challenge),
            ..config.clone()
        };
        let loaded = compose(file, config, Purpose::Start)?;
        let backends = Backends::new(&loaded.config, &loaded.upstreams);
        let mut service = Service::start(file.to_owned(), loaded, Arc::new(backends))?;
        service.open();
        Ok(Self(service))
    }

    /// Where it finds its answers.
    #[must_use]
    pub fn challenges(&self) -> Arc<Challenges> {
        self.0.challenges()
    }
}

/// Those of these listeners to which the authority comes: at its port, or else by its protocol.
fn looked_at(listeners: &[Listener], challenge: &Challenge) -> Vec<Listener> {
    let (port, is_fit): (u16, fn(&&Listener) -> bool) = match challenge {
        Challenge::Http01 => (80, |l| l.protocol == Protocol::Http && l.tls == TlsMode::None),
        Challenge::TlsAlpn01 => (443, |l| l.tls == TlsMode::Implicit),
        Challenge::Dns01 { .. } => return Vec::new(),
    };
    let fit = || listeners.iter().filter(is_fit).cloned();
    let at_port = |l: &Listener| l.bind.iter().any(|address| address.port() == port);
    if fit().any(|l| at_port(&l)) { fit().filter(at_port).collect() } else { fit().collect() }
}
