//! Everything that is read from disk, and swapped as a whole.

use std::{path::Path, sync::Arc};

use super::Unfit;
use crate::{
    certs::{self, CertificateSet, Severity, Store, Wishes},
    config::{Config, Problems},
    tls::{self, Clients, Tickets},
};

/// A configuration with its certificates. Nothing of it is in use yet.
#[derive(Debug)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// What was found on disk.
    pub store: Store,
    /// What clients get.
    pub set: Arc<CertificateSet>,
    /// What clients are asked for.
    pub clients: Clients,
}

/// Reads configuration and certificates. Blocks. `previous`: what goes on being served where a
/// file cannot be used.
pub fn load(file: &Path, previous: Option<&Store>) -> Result<Loaded, Unfit> {
    let config = Config::read(file).map_err(|problems| lines(&problems))?;
    let mut store = certs::load(&config.certificates, &config.intermediates, previous);
    let wishes = Wishes {
        hostname: config.hostname.clone(),
        default: config.default_certificate.clone(),
        by_address: config.certificate_by_address.clone(),
    };
    let rules = config.listeners.iter().map(|l| (l.protocol, l.client_certificates.as_ref()));
    let clients = Clients::load(rules, &config.client_certificates_by_name)
        .map_err(|findings| Unfit(findings.iter().map(ToString::to_string).collect()))?;
    store.findings.extend_from_slice(clients.findings());
    match CertificateSet::new(&store, &wishes) {
        Ok(set) => Ok(Loaded { config, store, set: Arc::new(set), clients }),
        Err(problems) => {
            let findings = store.findings.iter().map(ToString::to_string);
            let problems = problems.iter().map(|problem| format!("{}: {problem}", file.display()));
            Err(Unfit(findings.chain(problems).collect()))
        }
    }
}

impl Loaded {
    /// Says what is wrong with it, though not wrong enough.
    pub(super) fn report(&self, file: &Path) {
        self.config
            .warnings
            .iter()
            .for_each(|warning| tracing::warn!("{}: {warning}", file.display()));
        for finding in &self.store.findings {
            match finding.severity {
                Severity::Note => tracing::info!("{finding}"),
                Severity::Warning => tracing::warn!("{finding}"),
                Severity::Error => tracing::error!("{finding}"),
            }
        }
    }

    /// The TLS configurations for these certificates.
    pub fn server(&self, tickets: &Tickets) -> Result<tls::Server, Unfit> {
        tls::Server::new(self.set.clone(), tickets, self.clients.clone())
            .map_err(|e| Unfit::from(format!("TLS cannot be set up: {e}")))
    }
}

fn lines(problems: &Problems) -> Unfit {
    Unfit(problems.to_string().lines().map(str::to_owned).collect())
}
