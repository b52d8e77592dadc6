//! Everything that is read from disk, and swapped as a whole.

use std::{path::Path, sync::Arc};

use super::Unfit;
use crate::{
    certs::{self, CertificateSet, Severity, Sources, Store, Wishes},
    config::{Config, Problems},
    tls::{self, Tickets},
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
}

/// Reads configuration and certificates. Blocks. `previous`: what goes on being served where a
/// file cannot be used.
pub fn load(file: &Path, previous: Option<&Store>) -> Result<Loaded, Unfit> {
    let config = Config::read(file).map_err(|problems| lines(&problems))?;
    let sources = Sources {
        certificates: config.certificates.clone(),
        intermediates: config.intermediates.clone(),
        policy: config.lint.clone(),
    };
    let mut store = certs::load(&sources, previous);
    let wishes = Wishes {
        file: file.to_owned(),
        hostname: config.hostname.clone(),
        default: config.default_certificate.clone(),
        by_address: config.certificate_by_address.clone(),
        names: config.wishes.clone(),
    };
    let (set, findings) = CertificateSet::new(&store, &wishes);
    let is_refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    store.findings.extend(findings);
    match set {
        Some(set) if !is_refused => Ok(Loaded { config, store, set: Arc::new(set) }),
        _ => {
            let mut said: Vec<String> = store.findings.iter().map(ToString::to_string).collect();
            if store.certificates.is_empty() {
                said.push(format!("{}: certificates: none can be used", file.display()));
            }
            Err(Unfit(said))
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
        tls::Server::new(self.set.clone(), tickets)
            .map_err(|e| Unfit::from(format!("TLS cannot be set up: {e}")))
    }
}

fn lines(problems: &Problems) -> Unfit {
    Unfit(problems.to_string().lines().map(str::to_owned).collect())
}
