//! With no certificate at all, one is made: self-signed, and kept for the next start.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Unfit, snapshot::Purpose};
use crate::{
    certs::{
        self, Code, Finding, Name, Severity, Sources, Store,
        issue::{NewKey, refresh, self_signed},
    },
    config::Config,
};

/// Below `state_dir`.
const FOLDER: &str = "self-signed";

/// How long it is valid; each start renews one that is about to expire.
const DAYS: u32 = 365;

/// Adds a self-signed certificate to a store in which there is nothing to serve. Makes it, or renews
/// it, where it is to be served; others only look.
pub(super) fn provide(
    config: &Config,
    sources: &Sources,
    store: &mut Store,
    purpose: Purpose<'_>,
) -> Result<(), Unfit> {
    if !is_wanted(config, store, purpose) {
        return Ok(());
    }
    let file = config.state_dir.join(FOLDER).join("certificate.pem");
    if !matches!(purpose, Purpose::Look) {
        keep(&file, &names(config)?).map_err(|why| failed(&file, &*why))?;
    }
    let text = if config.acme.is_some() {
        "until the first certificate comes, a self-signed one is served, which no client trusts"
    } else {
        "no certificate was found, so a self-signed one is served, which no client trusts: point `certificates` to real ones"
    };
    store.findings.push(Finding::new(Code::SelfSigned, &file, text));
    if file.exists() {
        let own = Sources { certificates: vec![file], ..sources.clone() };
        let found = certs::load(&own, None);
        let is_new = |f: &Finding| f.code != Code::SelfSigned && !store.findings.contains(f);
        let others: Vec<Finding> = found.findings.into_iter().filter(is_new).collect();
        store.findings.extend(others);
        store.certificates = found.certificates;
    }
    Ok(())
}

/// Whether there is nothing to serve and nothing wrong: what has failed to load must never be replaced
/// by what no client trusts, and neither must what was taken away while it served. What an authority
/// has issued to us is another matter: it is ordered anew.
pub(super) fn is_wanted(config: &Config, store: &Store, purpose: Purpose<'_>) -> bool {
    let has_served = match purpose {
        Purpose::Look | Purpose::Start => false,
        Purpose::Reload(config, before) | Purpose::Renewal(config, before) => {
            !is_provided(config, before)
        }
    };
    let is_ordered = |file: &Path| config.acme.iter().any(|acme| file.starts_with(&acme.folder));
    let is_wrong = |f: &Finding| f.severity == Severity::Error && !is_ordered(&f.file);
    store.certificates.is_empty() && !store.findings.iter().any(is_wrong) && !has_served
}

/// Whether all that this store has is the certificate that [`provide`] makes.
pub(super) fn is_provided(config: &Config, store: &Store) -> bool {
    let folder = config.state_dir.join(FOLDER);
    !store.certificates.is_empty()
        && store.certificates.iter().all(|c| c.file().starts_with(&folder))
}

/// What our names are. A system's name that is no host name leaves the others.
fn names(config: &Config) -> Result<Vec<Name>, Unfit> {
    let names: Vec<Name> = std::iter::once(&config.hostname)
        .chain(&config.aliases)
        .filter_map(|name| name.parse().ok())
        .collect();
    if names.is_empty() {
        let text = format!(
            "there is no certificate, and none can be made for `{}`: set `hostname`",
            config.hostname
        );
        return Err(Unfit::from(text));
    }
    Ok(names)
}

fn keep(file: &Path, names: &[Name]) -> Result<(), Box<dyn std::error::Error>> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    certs::create_folder(folder)?;
    if !file.exists() {
        return match certs::create(file, &self_signed(names, DAYS, NewKey::default())?) {
            // Another process that starts now was faster.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => Ok(made?),
        };
    }
    let sources = Sources { certificates: vec![PathBuf::from(file)], ..Sources::default() };
    let kept = certs::load(&sources, None);
    let wanted: Vec<String> = names.iter().map(ToString::to_string).collect();
    let is_fit = |c: &certs::Certificate| wanted.iter().all(|name| c.names().contains(name));
    if !kept.certificates.iter().any(|c| is_fit(c)) {
        return Ok(certs::replace(file, &self_signed(names, DAYS, NewKey::default())?)?);
    }
    let is_old = |f: &Finding| matches!(f.code, Code::Expired | Code::ExpiresSoon);
    if kept.findings.iter().any(is_old) {
        certs::replace(file, &refresh(file, DAYS)?)?;
    }
    Ok(())
}

fn failed(file: &Path, why: &dyn std::fmt::Display) -> Unfit {
    Unfit::from(format!(
        "{}: there is no certificate, and a self-signed one cannot be kept there: {why}",
        file.display()
    ))
}
