//! What goes on being served where a place cannot be used as it is now.
//!
//! A certificate and its key are two files, and we may look between the two writes; a folder may be
//! on a disk that is not there for a moment. What was taken away on purpose is forgotten.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    path::Path,
    sync::Arc,
};

use super::{
    Certificate, Code, Finding, KeyKind, Severity, Store, chain::End, files::File, load::Fresh,
    now, place::Place, x509::Parsed,
};

/// The files and folders in these places of which nothing can be read.
pub(super) fn unreadable(places: &[Arc<Place>]) -> HashSet<&Path> {
    places.iter().flat_map(|p| p.findings()).map(|f| f.file.as_path()).collect()
}

impl Store {
    /// Decides between what a place has now, and what it had before.
    pub(super) fn take(
        &mut self,
        place: &Place,
        fresh: Vec<Fresh>,
        findings: Vec<Finding>,
        old: &[&Arc<Certificate>],
    ) {
        let before = self.findings.len();
        self.say(place.findings().cloned().chain(findings));
        let (certificates, refused) = self.choose(fresh, old);
        let is_same = |(old, new): (&&Arc<Certificate>, _)| Arc::ptr_eq(old, new);
        if old.len() == certificates.len() && old.iter().zip(&certificates).all(is_same) {
            self.certificates.extend(certificates);
            return;
        }
        let errors = self.findings[before..].iter().filter(|f| f.severity == Severity::Error);
        let broken: HashSet<&Path> = errors.map(|f| f.file.as_path()).collect();
        let served: HashSet<&Path> = certificates.iter().map(|c| c.file()).collect();
        let covered: HashSet<(&str, KeyKind)> = certificates
            .iter()
            .flat_map(|c| c.names().iter().map(|name| (name.as_str(), c.kind())))
            .collect();
        let mut kept: Vec<Arc<Certificate>> = Vec::new();
        let mut lone = Vec::new();
        for old in old {
            let mut names = old.names().iter().map(|name| (name.as_str(), old.kind())).peekable();
            let is_covered = names.peek().is_some() && names.all(|name| covered.contains(&name));
            // What is wrong elsewhere in the folder is no reason to doubt what a file has now.
            let is_replaced = served.contains(old.file()) && !broken.contains(old.file());
            // It is there as it was, and it is the policy that has changed.
            let is_refused = refused.iter().any(|c| c.leaf.der == old.leaf.der);
            if is_covered || is_replaced || is_refused || !place.wants(old.file()) {
                continue;
            }
            if !broken.is_empty() && place.may_have(old.file()) {
                kept.push(Arc::clone(old));
            } else if let Some(key) = lone_key_of(place, old) {
                let text =
                    format!("the certificate for this key, {}, is gone", old.file().display());
                lone.push(Finding::new(Code::PreviousKept, &*key.path, text));
                kept.push(Arc::clone(old));
            }
            // What was taken away with its key was taken away on purpose.
        }
        self.say(lone);
        self.certificates.extend(certificates);
        self.certificates.extend_from_slice(&kept);
        self.kept.extend(kept);
    }

    /// Those that are served, with the old ones in place of those that are worse than before; and those
    /// that the policy refuses.
    fn choose(
        &mut self,
        fresh: Vec<Fresh>,
        old: &[&Arc<Certificate>],
    ) -> (Vec<Arc<Certificate>>, Vec<Arc<Certificate>>) {
        let (mut certificates, mut refused): (Vec<Arc<Certificate>>, _) = (Vec::new(), Vec::new());
        for Fresh { certificate, findings } in fresh {
            let findings: Vec<Finding> =
                findings.into_iter().filter_map(|f| self.policy.judge(f)).collect();
            // With nothing to serve in its place, refusing a key that DNS does not know would only
            // turn the others away as well.
            let has_other = || old.iter().any(|old| is_replaced_by(old, &certificate));
            let is_refused = findings.iter().any(|f| {
                f.severity == Severity::Error && (f.code != Code::TlsaMismatch || has_other())
            });
            self.findings.extend(findings);
            if is_refused {
                refused.push(certificate);
                continue;
            }
            let is_worse = |old: &&&Arc<Certificate>| is_step_back(&certificate, old);
            let Some(old) = old.iter().find(is_worse) else {
                certificates.push(certificate);
                continue;
            };
            let more = only_in(&certificate, old);
            let mut text = format!(
                "the issuer {} is not at hand, so the certificate before it, whose chain is complete, goes on being served",
                certificate.chain.last(&certificate.leaf).issuer.1
            );
            if let [first, others @ ..] = more.as_slice() {
                let others = match others.len() {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                text.push_str(&format!("; not for {first}{others}, which only the new one has"));
            }
            self.say([Finding::new(Code::PreviousKept, certificate.file(), text)]);
            // Two new ones may have taken its place.
            if certificates.iter().all(|known| !Arc::ptr_eq(known, old)) {
                certificates.push(Arc::clone(old));
                self.kept.push(Arc::clone(old));
            }
            if !more.is_empty() {
                certificates.push(certificate);
            }
        }
        (certificates, refused)
    }

    /// Goes on serving these, which nothing has now, and says why.
    pub fn serve_on(&mut self, old: &[Arc<Certificate>], why: &str) {
        self.say(old.iter().map(|c| Finding::new(Code::OrderPending, c.file(), why)));
        self.certificates.extend_from_slice(old);
        self.kept.extend_from_slice(old);
    }

    /// What was in folders that are not there any more because one above them cannot be read.
    pub(super) fn keep_below(
        &mut self,
        unreadable: &HashSet<&Path>,
        places: &[Arc<Place>],
        previous: &Self,
    ) {
        if unreadable.is_empty() {
            return;
        }
        let there: HashSet<&Path> = places.iter().map(|place| &*place.path).collect();
        let is_lost = |c: &&Arc<Certificate>| !there.contains(&*c.place) && is_below(c, unreadable);
        let lost: Vec<Arc<Certificate>> =
            previous.certificates.iter().filter(is_lost).cloned().collect();
        self.certificates.extend_from_slice(&lost);
        self.kept.extend(lost);
    }

    /// The authorities of places in which something cannot be read now: they must not be taken from
    /// others by that.
    pub(super) fn remembered<'a>(
        &'a self,
        places: &'a [Arc<Place>],
        unreadable: &'a HashSet<&Path>,
    ) -> impl Iterator<Item = &'a Arc<Parsed>> {
        let broken: HashSet<&Path> =
            places.iter().filter(|p| !p.is_readable()).map(|p| &*p.path).collect();
        let all = if unreadable.is_empty() { &[][..] } else { &self.certificates };
        let old = all.iter().filter(move |c| broken.contains(&*c.place) || is_below(c, unreadable));
        old.flat_map(|c| &c.chain.issuers)
    }

    pub(super) fn by_place(&self) -> HashMap<&OsStr, Vec<&Arc<Certificate>>> {
        let mut places: HashMap<&OsStr, Vec<&Arc<Certificate>>> = HashMap::new();
        for certificate in &self.certificates {
            places.entry(certificate.place.as_os_str()).or_default().push(certificate);
        }
        places
    }
}

/// Whether a certificate's folder is at one of these paths or below.
fn is_below(certificate: &Certificate, paths: &HashSet<&Path>) -> bool {
    certificate.place.ancestors().any(|path| paths.contains(path))
}

/// The file with this certificate's key, if no certificate goes with it any more.
fn lone_key_of<'a>(place: &'a Place, old: &Certificate) -> Option<&'a File> {
    let (file, key) = place.keys().find(|(_, key)| key.spki == old.key.spki)?;
    let is_lone = place.certificates().all(|(_, leaf)| *leaf.spki != *key.spki);
    is_lone.then_some(file)
}

/// Whether the new one would be served where the old one is.
fn is_replaced_by(old: &Certificate, new: &Certificate) -> bool {
    old.leaf.der != new.leaf.der
        && old.kind() == new.kind()
        && old.names().iter().any(|name| new.names().contains(name))
}

/// Whether clients could still verify the old one, and cannot verify the new one.
fn is_step_back(new: &Certificate, old: &Certificate) -> bool {
    new.chain.end == End::Missing
        && old.chain.end != End::Missing
        && !old.chain.issuers.is_empty()
        && old.valid().1 > now()
        && is_replaced_by(old, new)
}

/// The names that only the new one has.
fn only_in<'a>(new: &'a Certificate, old: &Certificate) -> Vec<&'a str> {
    new.names().iter().filter(|name| !old.names().contains(name)).map(String::as_str).collect()
}
