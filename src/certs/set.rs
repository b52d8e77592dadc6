//! Which certificate a client gets: the name that it asks for, then the address that it came to,
//! then the default.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use rustls::SignatureScheme;

use super::{Certificate, KeyKind, Store, now};

/// What the configuration says about the choice.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Our own name: its certificate is the default where no other is named.
    pub hostname: String,
    /// The name whose certificate is the default.
    pub default: Option<String>,
    /// Local addresses, and the name whose certificate is shown there to clients without SNI.
    pub by_address: BTreeMap<IpAddr, String>,
}

/// All certificates, ready to be chosen from. Never changes: a reload makes a new one.
#[derive(Debug)]
pub struct CertificateSet {
    names: HashMap<Box<str>, Slot>,
    by_address: BTreeMap<IpAddr, Slot>,
    default: Slot,
}

/// The certificates for one name: at most one of each kind of key, the preferred one first.
#[derive(Clone, Debug, Default)]
struct Slot(Vec<Arc<Certificate>>);

/// A choice, and why it was made.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    slot: &'a Slot,
    /// Why.
    pub reason: Reason,
}

/// Why a certificate was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It covers the name that the client asked for.
    Name,
    /// Its wildcard covers the name that the client asked for.
    Wildcard,
    /// It is bound to the address that the client came to.
    Address,
    /// Nothing else fits.
    Default,
}

impl CertificateSet {
    /// Sorts what was loaded. Errors name what the configuration wants and no certificate covers.
    pub fn new(store: &Store, wishes: &Wishes) -> Result<Self, Vec<String>> {
        let mut names: HashMap<Box<str>, Slot> = HashMap::new();
        for certificate in &store.certificates {
            for name in &certificate.names {
                names.entry(name.as_str().into()).or_default().add(certificate);
            }
        }
        let mut problems = Vec::new();
        let mut named = |key: String, name: &str| {
            let slot = lookup(&names, &name.to_ascii_lowercase()).map(|(slot, _)| slot.clone());
            if slot.is_none() {
                problems.push(format!("{key}: no certificate covers {name}"));
            }
            slot
        };
        let by_address = wishes
            .by_address
            .iter()
            .filter_map(|(address, name)| {
                Some((*address, named(format!("certificate_by_address: {address}"), name)?))
            })
            .collect();
        let default = match &wishes.default {
            Some(name) => named("default_certificate".to_owned(), name),
            None => {
                let first = || store.certificates.first().map(|c| Slot(vec![c.clone()]));
                let own = lookup(&names, &wishes.hostname.to_ascii_lowercase())
                    .map(|(slot, _)| slot.clone());
                own.or_else(|| {
                    // With both of its kinds, where it has them.
                    let first = first()?;
                    let name =
                        first.0.first()?.names.first().and_then(|name| names.get(name.as_str()));
                    Some(name.cloned().unwrap_or(first))
                })
            }
        };
        match default {
            _ if !problems.is_empty() => Err(problems),
            None => Err(vec!["certificates: none can be used".to_owned()]),
            Some(default) => Ok(Self { names, by_address, default }),
        }
    }

    /// The choice for a client that asks for this name, if any, at this address of ours.
    #[must_use]
    pub fn choose(&self, sni: Option<&str>, local: IpAddr) -> Choice<'_> {
        let by_name = sni.and_then(|name| lookup(&self.names, name.trim_end_matches('.')));
        let by_address = || Some((self.by_address.get(&local.to_canonical())?, Reason::Address));
        let (slot, reason) =
            by_name.or_else(by_address).unwrap_or((&self.default, Reason::Default));
        Choice { slot, reason }
    }

    /// Whether a certificate covers this name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        lookup(&self.names, name.trim_end_matches('.')).is_some()
    }

    /// The addresses that have a certificate of their own.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_address.keys().copied()
    }
}

impl<'a> Choice<'a> {
    /// The certificate that a client with these signature schemes can verify, the best first; for
    /// a client that can verify none of them, the best.
    #[must_use]
    pub fn certificate(self, schemes: &[SignatureScheme]) -> Option<&'a Arc<Certificate>> {
        let fits = |c: &&Arc<Certificate>| c.certified.key.choose_scheme(schemes).is_some();
        self.slot.0.iter().find(fits).or_else(|| self.slot.0.first())
    }

    /// The name that the choice goes by in logs.
    #[must_use]
    pub fn label(self) -> &'a str {
        self.slot.0.first().map_or("", |c| c.label())
    }
}

impl Slot {
    fn add(&mut self, certificate: &Arc<Certificate>) {
        match self.0.iter_mut().find(|c| c.kind == certificate.kind) {
            // Of two, one that is valid now, and of those the newest: an older one that is valid for
            // longer was replaced for a reason.
            Some(old) if rank(old) < rank(certificate) => *old = certificate.clone(),
            Some(_) => {}
            None => {
                self.0.push(certificate.clone());
                self.0.sort_by_key(|c: &Arc<Certificate>| -> KeyKind { c.kind });
            }
        }
    }
}

/// How good a certificate is among others for the same name.
fn rank(certificate: &Certificate) -> (bool, i64) {
    let (from, to) = certificate.valid;
    ((from..=to).contains(&now()), from)
}

/// Exact, then with a wildcard in place of the first label: RFC 9525 §6.3.
fn lookup<'a>(names: &'a HashMap<Box<str>, Slot>, name: &str) -> Option<(&'a Slot, Reason)> {
    if let Some(slot) = names.get(name) {
        return Some((slot, Reason::Name));
    }
    let (first, parent) = name.split_once('.')?;
    if first.is_empty() || first.contains('*') {
        return None;
    }
    let slot = names.get(format!("*.{parent}").as_str())?;
    Some((slot, Reason::Wildcard))
}
