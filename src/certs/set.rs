//! Which certificate a client gets: the name that it asks for, then the address that it came to,
//! then the default.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc};

use rustls::SignatureScheme;

use super::{Certificate, Code, Finding, KeyKind, Store, chain::End, date, now, table::Table};

/// What the configuration says about the choice.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The file that says it.
    pub file: PathBuf,
    /// Our own name: its certificate is the default where no other is named.
    pub hostname: String,
    /// The name whose certificate is the default.
    pub default: Option<String>,
    /// Local addresses, and the name whose certificate is shown there to clients without SNI.
    pub by_address: BTreeMap<IpAddr, String>,
    /// Names that somebody has written down, and means to be covered.
    pub names: Vec<Wish>,
}

/// A name that a certificate has to cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The key in the configuration.
    pub key: String,
    /// The name.
    pub name: String,
}

/// All certificates, ready to be chosen from. Never changes: a reload makes a new one.
#[derive(Debug)]
pub struct CertificateSet {
    names: Names,
    by_address: BTreeMap<IpAddr, Slot>,
    default: Slot,
}

/// The certificates for one name: at most one of each kind of key, the preferred one first.
#[derive(Clone, Debug, Default)]
struct Slot(Vec<Arc<Certificate>>);

/// What is there for each name. Of a wildcard, the name is what follows its `*`.
#[derive(Debug)]
struct Names {
    table: Table<Slot>,
    has_wildcards: bool,
}

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
    /// Sorts what was loaded. What is wrong comes with it:
    /// names that several certificates have, and names that the configuration wants and none has.
    #[must_use]
    pub fn new(store: &Store, wishes: &Wishes) -> (Self, Vec<Finding>) {
        let (names, mut findings) = by_name(store);
        let mut named = |key: &str, name: &str| {
            let slot = names.find(&name.to_ascii_lowercase()).map(|(slot, _)| slot.clone());
            let slot = slot.or_else(|| for_address(name.parse().ok()?, &store.certificates));
            if slot.is_none() {
                let text = format!("{key}: no certificate covers {name}");
                findings.push(Finding::new(Code::NameNotCovered, &wishes.file, text));
            }
            slot
        };
        let mut by_address = BTreeMap::new();
        for (address, name) in &wishes.by_address {
            let slot = named(&format!("certificate_by_address: {address}"), name);
            by_address.extend(slot.map(|slot| (*address, slot)));
        }
        let wished = wishes.default.as_ref().and_then(|name| named("default_certificate", name));
        for wish in &wishes.names {
            named(&wish.key, &wish.name);
        }
        let own =
            || names.find(&wishes.hostname.to_ascii_lowercase()).map(|(slot, _)| slot.clone());
        let first = || {
            // With both of its kinds, where it has them.
            let first = store.certificates.first()?;
            let slot = first.names().first().and_then(|name| names.exact(name));
            Some(slot.cloned().unwrap_or_else(|| Slot(vec![first.clone()])))
        };
        let default = wished.or_else(own).or_else(first).unwrap_or_default();
        let findings = findings.into_iter().filter_map(|f| store.policy().judge(f)).collect();
        (Self { names, by_address, default }, findings)
    }

    /// Whether there is nothing to choose from.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.default.0.is_empty()
    }

    /// Whether this is what clients get that ask for nothing that is there.
    #[must_use]
    pub fn is_default(&self, certificate: &Arc<Certificate>) -> bool {
        self.default.has(certificate)
    }

    /// The addresses that this certificate is bound to.
    pub fn bound(&self, certificate: &Arc<Certificate>) -> impl Iterator<Item = IpAddr> {
        let slots = self.by_address.iter().filter(|(_, slot)| slot.has(certificate));
        slots.map(|(address, _)| *address)
    }

    /// The choice for a client that asks for this name, if any, at this address of ours.
    #[must_use]
    pub fn choose(&self, sni: Option<&str>, local: IpAddr) -> Choice<'_> {
        let by_name = sni.and_then(|name| self.names.find(name.trim_end_matches('.')));
        let by_address = || Some((self.by_address.get(&local.to_canonical())?, Reason::Address));
        let (slot, reason) =
            by_name.or_else(by_address).unwrap_or((&self.default, Reason::Default));
        Choice { slot, reason }
    }

    /// Whether a certificate covers this name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.names.find(name.trim_end_matches('.')).is_some()
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
        let fits = |c: &&Arc<Certificate>| c.fits(schemes);
        self.slot.0.iter().find(fits).or_else(|| self.slot.0.first())
    }

    /// All that could be chosen: one of each kind of key, the preferred one first.
    #[must_use]
    pub fn certificates(self) -> &'a [Arc<Certificate>] {
        &self.slot.0
    }

    /// The name that the choice goes by in logs.
    #[must_use]
    pub fn label(self) -> &'a str {
        self.slot.0.first().map_or("", |c| c.label())
    }
}

impl Slot {
    fn has(&self, certificate: &Arc<Certificate>) -> bool {
        self.0.iter().any(|c| Arc::ptr_eq(c, certificate))
    }

    /// Adds a certificate; the error is the one of its kind that is not needed, and what is instead.
    fn add(&mut self, new: &Arc<Certificate>) -> Result<(), (Arc<Certificate>, Arc<Certificate>)> {
        let Some(old) = self.0.iter_mut().find(|c| c.kind() == new.kind()) else {
            self.0.push(new.clone());
            self.0.sort_by_key(|c: &Arc<Certificate>| -> KeyKind { c.kind() });
            return Ok(());
        };
        if old.leaf.der == new.leaf.der {
            return Ok(());
        }
        if rank(old) < rank(new) {
            return Err((std::mem::replace(old, new.clone()), new.clone()));
        }
        Err((new.clone(), old.clone()))
    }
}

/// How good a certificate is among others for the same name: valid now, then issued by somebody (what
/// was self-signed for ten years is left over from an installation), then with a chain that clients can
/// follow, then valid longest.
fn rank(certificate: &Certificate) -> (bool, bool, bool, i64, i64) {
    let (from, to) = certificate.valid();
    let end = certificate.chain.end;
    let is_valid = (from..=to).contains(&now());
    (is_valid, end != End::SelfSigned, end != End::Missing, to, from)
}

/// The certificates for each name, and a finding for each that is not needed for one.
fn by_name(store: &Store) -> (Names, Vec<Finding>) {
    let certificates = &store.certificates;
    let room = certificates.iter().map(|c| c.names().len()).sum();
    let mut names = Names { table: Table::with_room(room), has_wildcards: false };
    let mut spare: BTreeMap<PathBuf, (Vec<&str>, Arc<Certificate>)> = BTreeMap::new();
    for certificate in certificates {
        for name in certificate.names() {
            names.has_wildcards |= name.starts_with('*');
            let slot = names.table.entry(without_star(name));
            // What is kept in place of another has been said.
            let is_said = |c: &_| store.kept().iter().any(|kept| Arc::ptr_eq(kept, c));
            if let Err((loser, winner)) = slot.add(certificate)
                && !is_said(&loser)
                && !is_said(&winner)
            {
                let entry = spare.entry(loser.file().to_owned());
                entry.or_insert_with(|| (Vec::new(), winner)).0.push(name);
            }
        }
    }
    let findings = spare.into_iter().map(|(file, (names, winner))| {
        let more =
            if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
        let text = format!(
            "{}{more}: the certificate in {}, which is valid until {}, is served for it instead",
            names[0],
            winner.file().display(),
            date(winner.valid().1)
        );
        Finding::new(Code::DuplicateName, file, text)
    });
    let findings = findings.collect();
    (names, findings)
}

/// The certificates for an address, by which no client asks.
fn for_address(address: IpAddr, certificates: &[Arc<Certificate>]) -> Option<Slot> {
    let mut slot = Slot::default();
    for certificate in certificates.iter().filter(|c| c.leaf.is_for(address)) {
        // Of two, the better one; who asks for a name is not concerned.
        let _ = slot.add(certificate);
    }
    (!slot.0.is_empty()).then_some(slot)
}

impl Names {
    /// Exact, then with a wildcard in place of the first label: RFC 9525 §6.3.
    fn find(&self, name: &str) -> Option<(&Slot, Reason)> {
        let (first, _) = name.split_once('.').unwrap_or((name, ""));
        if first.is_empty() {
            return None;
        }
        if let Some(slot) = self.exact(name) {
            return Some((slot, Reason::Name));
        }
        let parent = name.get(first.len()..).filter(|parent| !parent.is_empty())?;
        let is_asked = self.has_wildcards && !first.contains('*');
        let slot = is_asked.then(|| self.table.get(parent)).flatten()?;
        Some((slot, Reason::Wildcard))
    }

    fn exact(&self, name: &str) -> Option<&Slot> {
        self.table.get(without_star(name))
    }
}

/// No name begins with a dot, and so what is left of a wildcard is like none of them.
fn without_star(name: &str) -> &str {
    if name.starts_with("*.") { &name[1..] } else { name }
}
