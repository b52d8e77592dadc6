//! Everything that is read from disk, and swapped as a whole.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Display,
    path::Path,
    sync::Arc,
};

use super::{Unfit, first_start, meanwhile};
use crate::{
    acme::{self, Folder},
    certs::{self, CertificateSet, Code, Finding, Severity, Sources, Store, Wishes},
    config::{Config, Problems},
    tls::{self, Clients, Tickets, Upstreams},
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
    /// What backends are reached by.
    pub upstreams: Upstreams,
}

/// What something is loaded for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// To be looked at. Nothing is written.
    Look,
    /// To be served from now on.
    Start,
    /// To be served in place of this: what goes on being served where a file cannot be used.
    Reload(&'a Config, &'a Store),
    /// The same, because a certificate has come: the configuration is the one that is served, whatever
    /// somebody is writing to its file.
    Renewal(&'a Config, &'a Store),
}

/// Reads configuration and certificates. Blocks.
pub fn load(file: &Path, purpose: Purpose<'_>) -> Result<Loaded, Unfit> {
    let config = match purpose {
        Purpose::Renewal(config, _) => config.clone(),
        _ => Config::read(file).map_err(|problems| lines(&problems))?,
    };
    compose(file, config, purpose)
}

/// The same for a configuration that was read from this file.
pub(super) fn compose(file: &Path, config: Config, purpose: Purpose<'_>) -> Result<Loaded, Unfit> {
    let own = config.acme.iter().flat_map(Folder::certificates);
    let sources = Sources {
        certificates: config.certificates.iter().cloned().chain(own).collect(),
        intermediates: config.intermediates.clone(),
        policy: config.lint.clone(),
        dane: config.dane.read().map_err(Unfit)?,
    };
    let previous = match purpose {
        Purpose::Reload(_, store) | Purpose::Renewal(_, store) => Some(store),
        Purpose::Look | Purpose::Start => None,
    };
    let mut store = certs::load(&sources, previous);
    store.say(config.acme.iter().flat_map(acme::unusable));
    meanwhile::keep(&config, &mut store, purpose);
    first_start::provide(&config, &sources, &mut store, purpose)?;
    let wishes = Wishes {
        file: file.to_owned(),
        hostname: config.hostname.clone(),
        default: config.default_certificate.clone(),
        by_address: config.certificate_by_address.clone(),
        names: config.wishes.clone(),
    };
    let rules = config.listeners.iter().map(|l| (l.protocol, l.client_certificates.as_ref()));
    let clients = Clients::load(rules, &config.client_certificates_by_name)
        .map_err(|findings| Unfit(findings.iter().map(ToString::to_string).collect()))?;
    if matches!(purpose, Purpose::Look) {
        store.say(config.acme.iter().flat_map(acme::findings));
    }
    store.findings.extend_from_slice(clients.findings());
    let upstreams = Upstreams::load(&config.backend_tls())
        .map_err(|findings| Unfit(findings.iter().map(ToString::to_string).collect()))?;
    let (set, findings) = CertificateSet::new(&store, &wishes);
    let is_refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    let is_nothing = set.is_empty() && !first_start::is_wanted(&config, &store, purpose);
    store.findings.extend(findings);
    if is_nothing || is_refused {
        let mut said: Vec<String> = store.findings.iter().map(ToString::to_string).collect();
        if is_nothing {
            said.push(format!("{}: certificates: none can be used", file.display()));
        }
        return Err(Unfit(said));
    }
    Ok(Loaded { config, store, set: Arc::new(set), clients, upstreams })
}

impl Loaded {
    /// Says what is wrong with it, though not wrong enough. `before` was said already: what is nothing
    /// but worth knowing is not said again.
    pub(super) fn report(&self, file: &Path, before: &[Finding]) {
        self.config
            .warnings
            .iter()
            .for_each(|warning| tracing::warn!("{}: {warning}", file.display()));
        let is_note = |finding: &&Finding| finding.severity == Severity::Note;
        let known: HashSet<&Finding> = before.iter().filter(is_note).collect();
        report(self.store.findings.iter().filter(|f| !known.contains(f)));
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

/// So many findings of one kind are told; ten thousand would bury all others.
const TOLD: usize = 10;

/// Says what is wrong with certificates, as loudly as it is bad.
pub(super) fn report<'a>(findings: impl IntoIterator<Item = &'a Finding>) {
    let mut counts: BTreeMap<(Severity, Code), usize> = BTreeMap::new();
    for finding in findings {
        let count = counts.entry((finding.severity, finding.code)).or_default();
        *count += 1;
        if *count <= TOLD {
            say(finding.severity, finding);
        }
    }
    for ((severity, code), count) in counts.into_iter().filter(|(_, count)| *count > TOLD) {
        let more = count - TOLD;
        let title = code.title();
        say(severity, &format_args!("{code} ({title}): {more} more; `vestibule certs` lists them"));
    }
}

fn say(severity: Severity, what: &dyn Display) {
    match severity {
        Severity::Note => tracing::info!("{what}"),
        Severity::Warning => tracing::warn!("{what}"),
        Severity::Error => tracing::error!("{what}"),
    }
}
