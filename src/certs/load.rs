//! Files and folders → certificates that can be served.
//!
//! Keys are matched to leafs by the public key, chains are built from all authorities at hand, and
//! what cannot be used as it is now keeps what it had before.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Certificate, Code, Finding, KeyKind, Policy, Severity,
    chain::{Chain, End, Pool},
    files::{File, Key, Known},
    lint::{Reach, lint, validity},
    now, parallel,
    place::{Place, walk},
    tlsa::Records,
    trust::Anchors,
    x509::Parsed,
};

/// Where certificates are looked for, and what is thought of what is wrong with them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files and folders with certificates and keys.
    pub certificates: Vec<PathBuf>,
    /// Files and folders with what completes chains.
    pub intermediates: Vec<PathBuf>,
    /// What is done about findings.
    pub policy: Policy,
    /// What has been published about the certificates.
    pub dane: Records,
}

/// All that was found in the configured files and folders.
#[derive(Debug, Default)]
pub struct Store {
    /// What can be served, in the order in which it was found.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is wrong, the worst included.
    pub findings: Vec<Finding>,
    places: [Vec<Arc<Place>>; 2],
    pool: Pool,
    unproven: Vec<Arc<Certificate>>,
    policy: Policy,
}

/// Up to so many new certificates have their signatures verified before any of them is served; with
/// more, the service begins before that, and each is verified when it is first asked for.
const PROVEN_AT_ONCE: usize = 1000;

/// Loads everything from `sources`.
///
/// Where a place cannot be used as it is now, what `previous` had from there goes on being served:
/// a certificate and its key are two files, and we may look between the two writes.
#[must_use]
pub fn load(sources: &Sources, previous: Option<&Store>) -> Store {
    trusting(&Anchors::system(), sources, previous)
}

/// The same, where these authorities are the trusted ones.
pub(super) fn trusting(anchors: &Anchors, sources: &Sources, previous: Option<&Store>) -> Store {
    let nothing = Store::default();
    let previous = previous.unwrap_or(&nothing);
    let known = Known::of(previous.pool.iter());
    let places = walk(&sources.certificates, &previous.places[0], &known);
    let helpers = walk(&sources.intermediates, &previous.places[1], &known);
    drop(known);
    let remembered = previous.of_unreadable(&places);
    let at_hand = helpers.iter().chain(&places).flat_map(|p| p.certificates()).map(|(_, c)| c);
    let pool = Pool::new(at_hand.chain(remembered));
    let matcher = Matcher {
        keys: places.iter().flat_map(|p| p.keys()).map(|(f, k)| (&*k.spki, (f, k))).collect(),
        pool: &pool,
        anchors,
        previous: previous.by_leaf(),
        reach: Reach::default(),
        dane: &sources.dane,
        now: now(),
    };
    let fresh = parallel::map(&places, |place| matcher.certificates(place));

    let mut store = Store { policy: sources.policy.clone(), ..Store::default() };
    for place in &helpers {
        store.say(place.findings().cloned());
        if place.certificates().next().is_none() {
            store.say(place.asides().cloned());
        }
    }
    let old = previous.by_place();
    for (place, (fresh, findings)) in places.iter().zip(fresh) {
        let old = old.get(place.path.as_os_str()).map_or(&[][..], Vec::as_slice);
        store.take(place, fresh, findings, old);
    }
    store.say_what_is_silent(&sources.certificates);
    store.unproven = store.certificates.iter().filter(|c| !matcher.has(c)).cloned().collect();
    store.places = [places, helpers];
    store.pool = pool;
    let must_be_proven = sources.policy.refuses(Code::SignatureWrong);
    if must_be_proven || store.unproven.len() <= PROVEN_AT_ONCE {
        let findings = store.prove();
        if must_be_proven {
            let lying: HashSet<&Path> = findings.iter().map(|f| f.file.as_path()).collect();
            store.certificates.retain(|c| !lying.contains(c.file()));
        }
        store.findings.extend(findings);
        store.unproven.clear();
    }
    store
}

impl Store {
    /// Verifies the signatures that [`load`] has left for later, and says which are wrong.
    #[must_use]
    pub fn prove(&self) -> Vec<Finding> {
        let proven = parallel::map(&self.unproven, |certificate| certificate.prove());
        let findings = proven.into_iter().flatten();
        findings.filter_map(|finding| self.policy.judge(finding)).collect()
    }

    /// The certificates that have expired since they were loaded, or are about to.
    #[must_use]
    pub fn aging(&self) -> Vec<Finding> {
        let now = now();
        let aging = self.certificates.iter().filter_map(|c| {
            let (code, text) = validity(&c.leaf, now)?;
            self.policy.judge(Finding::new(code, c.file(), text))
        });
        aging.collect()
    }

    /// Whether [`load`] has left nothing to prove.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.unproven.is_empty()
    }

    /// The worst that was found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// What is done about findings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    fn say(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings.into_iter().filter_map(|f| self.policy.judge(f)));
    }

    /// Decides between what a place has now, and what it had before.
    fn take(
        &mut self,
        place: &Place,
        fresh: Vec<Fresh>,
        findings: Vec<Finding>,
        old: &[&Arc<Certificate>],
    ) {
        let before = self.findings.len();
        let mut certificates: Vec<Arc<Certificate>> = Vec::new();
        self.say(place.findings().cloned().chain(findings));
        for Fresh { certificate, findings } in fresh {
            let findings: Vec<Finding> =
                findings.into_iter().filter_map(|f| self.policy.judge(f)).collect();
            // With nothing to serve in its place, refusing a key that DNS does not know would only
            // turn the others away as well.
            let has_other = old.iter().any(|old| is_replaced_by(old, &certificate));
            let is_refused = findings.iter().any(|f| {
                f.severity == Severity::Error && (has_other || f.code != Code::TlsaMismatch)
            });
            self.findings.extend(findings);
            if is_refused {
                continue;
            }
            if certificate.chain.end != End::Missing {
                certificates.push(certificate);
                continue;
            }
            if let Some(old) = old.iter().find(|old| is_step_back(&certificate, old)) {
                let text = format!(
                    "the issuer {} is not at hand, so the certificate before it, whose chain is complete, goes on being served",
                    certificate.chain.last(&certificate.leaf).issuer.1
                );
                self.say([Finding::new(Code::PreviousKept, certificate.file(), text)]);
                certificates.push(Arc::clone(old));
            } else {
                certificates.push(certificate);
            }
        }
        let is_broken = self.findings[before..].iter().any(|f| f.severity == Severity::Error);
        let is_same = |(old, new): (&&Arc<Certificate>, _)| Arc::ptr_eq(old, new);
        if old.len() == certificates.len() && old.iter().zip(&certificates).all(is_same) {
            self.certificates.extend(certificates);
            return;
        }
        let covered: HashSet<(&str, KeyKind)> = certificates
            .iter()
            .flat_map(|c| c.names().iter().map(|name| (name.as_str(), c.kind())))
            .collect();
        let mut kept: Vec<Arc<Certificate>> = Vec::new();
        for old in old {
            if old.names().iter().all(|name| covered.contains(&(name, old.kind()))) {
                continue;
            }
            if is_broken && place.may_have(old.file()) {
                kept.push(Arc::clone(old));
            } else if let Some(key) = lone_key_of(place, old) {
                let text =
                    format!("the certificate for this key, {}, is gone", old.file().display());
                self.say([Finding::new(Code::PreviousKept, &*key.path, text)]);
                kept.push(Arc::clone(old));
            }
            // What was taken away with its key was taken away on purpose.
        }
        self.certificates.extend(certificates);
        self.certificates.extend(kept);
    }

    fn say_what_is_silent(&mut self, sources: &[PathBuf]) {
        let heard = || {
            let files = self.certificates.iter().map(|c| c.file());
            files.chain(self.findings.iter().map(|f| f.file.as_path()))
        };
        let files: HashSet<&OsStr> = heard().map(Path::as_os_str).collect();
        let is_silent = |source: &&PathBuf| {
            !files.contains(source.as_os_str()) && !heard().any(|file| file.starts_with(source))
        };
        let silent: Vec<PathBuf> = sources.iter().filter(is_silent).cloned().collect();
        for source in silent {
            let text = "no certificate with its key is found there";
            self.say([Finding::new(Code::NothingThere, source, text)]);
        }
    }

    /// A place that cannot be read now must not take its authorities from others.
    fn of_unreadable<'a>(
        &'a self,
        places: &'a [Arc<Place>],
    ) -> impl Iterator<Item = &'a Arc<Parsed>> {
        let unreadable: HashSet<&Path> =
            places.iter().filter(|p| !p.is_readable()).map(|p| &*p.path).collect();
        let old = self.certificates.iter().filter(move |c| unreadable.contains(&*c.place));
        old.flat_map(|c| &c.chain.issuers)
    }

    fn by_leaf(&self) -> HashMap<usize, &Arc<Certificate>> {
        self.certificates.iter().map(|c| (address(&c.leaf), c)).collect()
    }

    fn by_place(&self) -> HashMap<&OsStr, Vec<&Arc<Certificate>>> {
        let mut places: HashMap<&OsStr, Vec<&Arc<Certificate>>> = HashMap::new();
        for certificate in &self.certificates {
            places.entry(certificate.place.as_os_str()).or_default().push(certificate);
        }
        places
    }
}

/// A certificate that could be served, and what is wrong with it.
struct Fresh {
    certificate: Arc<Certificate>,
    findings: Vec<Finding>,
}

/// Brings leafs, keys and issuers together.
struct Matcher<'a> {
    /// By public key. Beside the leaf or anywhere: some keep their keys in a folder of its own, and a
    /// key fits one certificate alone.
    keys: HashMap<&'a [u8], (&'a File, &'a Arc<Key>)>,
    pool: &'a Pool,
    anchors: &'a Anchors,
    /// By where the leaf is in memory: what has not changed is where it was.
    previous: HashMap<usize, &'a Arc<Certificate>>,
    reach: Reach,
    dane: &'a Records,
    now: i64,
}

impl Matcher<'_> {
    /// The certificates of a place that could be served, and what is wrong with the rest.
    fn certificates(&self, place: &Place) -> (Vec<Fresh>, Vec<Finding>) {
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let (mut fresh, mut findings) = (Vec::new(), Vec::new());
        for (file, leaf) in place.certificates() {
            if !place.is_served(file) || !seen.insert(tail(&leaf.der)) {
                continue;
            }
            match self.keys.get(leaf.spki.as_slice()) {
                Some((key_file, key)) if !is_authority(leaf, place) => {
                    let chain = Chain::build(leaf, self.pool, self.anchors, self.now);
                    let mut findings = lint((file, leaf), key_file, &chain, &self.reach, self.now);
                    let new = Certificate::new(leaf, key, chain, (&file.path, &place.path));
                    let certificate = self.same_as_before(&new).unwrap_or_else(|| Arc::new(new));
                    findings.extend(self.contradiction(&certificate));
                    fresh.push(Fresh { certificate, findings });
                }
                Some(_) => {}
                // An authority beside its leafs needs no key; and why one is missing where a file
                // cannot be read has been said.
                None if leaf.is_ca || !place.is_readable() => {}
                None => findings.push(no_key(file, leaf, place)),
            }
        }
        if fresh.is_empty() && place.certificates().all(|(_, c)| c.is_ca) {
            findings.extend(place.asides().cloned());
        }
        (fresh, findings)
    }

    /// What DNS says against it.
    fn contradiction(&self, certificate: &Certificate) -> Option<Finding> {
        if self.dane.is_empty() {
            return None;
        }
        let why = self.dane.uncovered(certificate.names(), &certificate.sent_chain())?;
        let text = format!(
            "{why}; mail servers that use DANE would turn away: `vestibule dns` has the record to publish first"
        );
        Some(Finding::new(Code::TlsaMismatch, certificate.file(), text))
    }

    /// A certificate that is what it was keeps what was found out about it.
    fn same_as_before(&self, new: &Certificate) -> Option<Arc<Certificate>> {
        let old = self.previous.get(&address(&new.leaf))?;
        (old.file == new.file && old.is_same(new)).then(|| Arc::clone(old))
    }

    /// Whether this very certificate was there before.
    fn has(&self, certificate: &Arc<Certificate>) -> bool {
        let old = self.previous.get(&address(&certificate.leaf));
        old.is_some_and(|old| Arc::ptr_eq(old, certificate))
    }
}

fn address(leaf: &Arc<Parsed>) -> usize {
    Arc::as_ptr(leaf).addr()
}

/// The last octets of a certificate are of its signature, and so its own. To hash all of it would take
/// as long as everything else that is done with an unchanged one.
fn tail(der: &[u8]) -> &[u8] {
    &der[der.len().saturating_sub(16)..]
}

/// An authority that has issued something here is not there to be served itself.
fn is_authority(certificate: &Parsed, place: &Place) -> bool {
    certificate.is_ca
        && place
            .certificates()
            .any(|(_, c)| certificate.is_named_issuer_of(c) && c.der != certificate.der)
}

fn no_key(file: &File, leaf: &Parsed, place: &Place) -> Finding {
    let name = leaf.label();
    let paired: HashSet<&[u8]> = place.certificates().map(|(_, c)| c.spki.as_slice()).collect();
    let lone: Vec<_> = place.keys().filter(|(_, key)| !paired.contains(&*key.spki)).collect();
    let of_same_name = lone.iter().find(|(key, _)| key.path.file_stem() == file.path.file_stem());
    let (code, text) = match (of_same_name, lone.as_slice()) {
        (Some((key, _)), _) | (None, [(key, _)]) => (
            Code::KeyMismatch,
            format!("the key in {} does not match the certificate for {name}", key.path.display()),
        ),
        (None, []) => (Code::NoKey, format!("there is no private key for {name} beside it")),
        (None, lone) => (
            Code::KeyMismatch,
            format!("none of the {} keys beside it matches the certificate for {name}", lone.len()),
        ),
    };
    Finding::new(code, &*file.path, text)
}

/// The file with this certificate's key, if no certificate goes with it any more.
fn lone_key_of<'a>(place: &'a Place, old: &Certificate) -> Option<&'a File> {
    let (file, key) = place.keys().find(|(_, key)| key.spki == old.key.spki)?;
    let is_lone = place.certificates().all(|(_, leaf)| *leaf.spki != *key.spki);
    is_lone.then_some(file)
}

/// Whether the new one would be served where the old one is.
fn is_replaced_by(old: &Certificate, new: &Certificate) -> bool {
    old.kind() == new.kind() && old.names().iter().any(|name| new.names().contains(name))
}

/// Whether clients could still verify the old one, and cannot verify the new one.
fn is_step_back(new: &Certificate, old: &Certificate) -> bool {
    old.chain.end != End::Missing
        && !old.chain.issuers.is_empty()
        && old.valid().1 > now()
        && is_replaced_by(old, new)
}
