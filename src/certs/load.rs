//! Files and folders → certificates that can be served.
//!
//! Keys are matched to leafs by the public key, chains are built from all authorities at hand, and
//! what cannot be used as it is now keeps what it had before.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use super::{
    Certificate, Code, Finding, Policy, Severity,
    chain::{Chain, Pool},
    files::{File, Key, Known},
    keep,
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
    anchors: Anchors,
    /// When it was loaded, in seconds since 1970.
    time: i64,
    unproven: Vec<Arc<Certificate>>,
    pub(super) policy: Policy,
    pub(super) kept: Vec<Arc<Certificate>>,
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
    let (anchors, unread) = Anchors::system();
    let mut store = trusting(&anchors, sources, previous);
    store.findings.extend(unread);
    store
}

/// Loads this one file, with no regard to who is trusted: for those who want to know what is in it.
#[must_use]
pub fn load_alone(file: &Path) -> Store {
    let sources = Sources { certificates: vec![file.to_owned()], ..Sources::default() };
    trusting(&Anchors::default(), &sources, None)
}

/// The same, where these authorities are the trusted ones.
pub(super) fn trusting(anchors: &Anchors, sources: &Sources, previous: Option<&Store>) -> Store {
    at(now(), anchors, sources, previous)
}

/// The same at this time, in seconds since 1970.
pub(super) fn at(
    now: i64,
    anchors: &Anchors,
    sources: &Sources,
    previous: Option<&Store>,
) -> Store {
    let nothing = Store::default();
    let previous = previous.unwrap_or(&nothing);
    let known = Known::of(previous.pool.iter());
    let places = walk(&sources.certificates, &previous.places[0], &known);
    let helpers = walk(&sources.intermediates, &previous.places[1], &known);
    drop(known);
    let unreadable = keep::unreadable(&places);
    let remembered = previous.remembered(&places, &unreadable);
    let at_hand = helpers.iter().chain(&places).flat_map(|p| p.certificates()).map(|(_, c)| c);
    let pool = Pool::new(at_hand.chain(remembered));
    let matcher = Matcher {
        places: &places,
        keys: OnceLock::new(),
        pool: &pool,
        anchors,
        previous: previous.by_leaf(),
        is_steady: previous.leads_to_same_chains(&pool, anchors, now),
        reach: Reach::default(),
        dane: &sources.dane,
        now,
    };
    let mut fresh = parallel::map(&places, |place| matcher.certificates(place));
    if sources.policy.refuses(Code::SignatureWrong) {
        let all: Vec<&Fresh> = fresh.iter().flat_map(|(fresh, _)| fresh).collect();
        parallel::map(&all, |fresh| fresh.certificate.prove());
    }
    for Fresh { certificate, findings } in fresh.iter_mut().flat_map(|(fresh, _)| fresh) {
        if certificate.is_proven() {
            findings.extend(certificate.prove());
        }
    }

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
    store.keep_below(&unreadable, &places, previous);
    store.say_what_is_silent(&sources.certificates);
    store.unproven = store.certificates.iter().filter(|c| !c.is_proven()).cloned().collect();
    store.places = [places, helpers];
    store.pool = pool;
    (store.anchors, store.time) = (anchors.clone(), now);
    if store.unproven.len() <= PROVEN_AT_ONCE {
        let findings = store.prove();
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

    /// Those that are only served because what should be in their place cannot be used.
    #[must_use]
    pub fn kept(&self) -> &[Arc<Certificate>] {
        &self.kept
    }

    /// What is done about findings.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Adds to what is wrong, as far as it is worth a word.
    pub fn say(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings.into_iter().filter_map(|f| self.policy.judge(f)));
    }

    fn say_what_is_silent(&mut self, sources: &[PathBuf]) {
        let heard = || {
            let files = self.certificates.iter().map(|c| c.file());
            files.chain(self.findings.iter().map(|f| f.file.as_path()))
        };
        let is_many = sources.len() > FEW;
        let files: HashSet<&OsStr> = heard().filter(|_| is_many).map(Path::as_os_str).collect();
        let is_silent = |source: &&PathBuf| {
            !files.contains(source.as_os_str()) && !heard().any(|file| file.starts_with(source))
        };
        let silent: Vec<PathBuf> = sources.iter().filter(is_silent).cloned().collect();
        for source in silent {
            let text = "no certificate with its key is found there";
            self.say([Finding::new(Code::NothingThere, source, text)]);
        }
    }

    /// Whether chains that are built with these authorities are what they were: nothing else decides.
    fn leads_to_same_chains(&self, pool: &Pool, anchors: &Anchors, now: i64) -> bool {
        self.pool.is_same(pool)
            && self.anchors == *anchors
            && pool.iter().all(|c| c.is_valid_at(self.time) == c.is_valid_at(now))
    }

    fn by_leaf(&self) -> HashMap<usize, &Arc<Certificate>> {
        self.certificates.iter().map(|c| (address(&c.leaf), c)).collect()
    }
}

/// A certificate that could be served, and what is wrong with it.
pub(super) struct Fresh {
    pub certificate: Arc<Certificate>,
    pub findings: Vec<Finding>,
}

/// A key, and where it was found.
type Found<'a> = (&'a File, &'a Arc<Key>);

/// In so few files a key is found sooner than all keys are sorted.
const FEW: usize = 16;

/// Brings leafs, keys and issuers together.
struct Matcher<'a> {
    places: &'a [Arc<Place>],
    /// By public key; made when it is first needed.
    keys: OnceLock<HashMap<&'a [u8], Found<'a>>>,
    pool: &'a Pool,
    anchors: &'a Anchors,
    /// By where the leaf is in memory: what has not changed is where it was.
    previous: HashMap<usize, &'a Arc<Certificate>>,
    /// Whether what the chains were built from is what it was.
    is_steady: bool,
    reach: Reach,
    dane: &'a Records,
    now: i64,
}

impl<'a> Matcher<'a> {
    /// The certificates of a place that could be served, and what is wrong with the rest.
    fn certificates(&self, place: &'a Place) -> (Vec<Fresh>, Vec<Finding>) {
        let mut seen: HashSet<&[u8]> = HashSet::new();
        let (mut fresh, mut findings) = (Vec::new(), Vec::new());
        for (file, leaf) in place.certificates() {
            if !place.is_served(file) || !seen.insert(tail(&leaf.der)) || is_authority(leaf, place)
            {
                continue;
            }
            match self.key_of(leaf, place) {
                Some((key_file, key)) => {
                    let certificate = self.certificate((file, leaf), key, place);
                    let chain = &certificate.chain;
                    let mut findings = lint((file, leaf), key_file, chain, &self.reach, self.now);
                    findings.extend(self.contradiction(&certificate));
                    fresh.push(Fresh { certificate, findings });
                }
                // An authority needs no key; and why one is missing where a file cannot be read has been
                // said.
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

    /// The key of this leaf. Beside it or anywhere: some keep their keys in a folder of its own, and a
    /// key fits one certificate alone.
    fn key_of(&self, leaf: &Parsed, place: &'a Place) -> Option<Found<'a>> {
        let beside = || place.keys().find(|(_, key)| *key.spki == *leaf.spki);
        let anywhere = || {
            let all = || self.places.iter().flat_map(|place| place.keys());
            let keys = || all().map(|(file, key)| (&*key.spki, (file, key))).collect();
            self.keys.get_or_init(keys).get(leaf.spki.as_slice()).copied()
        };
        (place.files.len() <= FEW).then(beside).flatten().or_else(anywhere)
    }

    /// What can be served of this leaf. What is as it was keeps what was found out about it.
    fn certificate(
        &self,
        (file, leaf): (&File, &Arc<Parsed>),
        key: &Arc<Key>,
        place: &Place,
    ) -> Arc<Certificate> {
        let old = self
            .previous
            .get(&address(leaf))
            .filter(|old| Arc::ptr_eq(&old.file, &file.path) || old.file == file.path);
        if let Some(old) = old.filter(|_| self.is_steady) {
            return Arc::clone(old);
        }
        let chain = Chain::build(leaf, self.pool, self.anchors, self.now);
        let new = Certificate::new(leaf, key, chain, (&file.path, &place.path));
        match old.filter(|old| old.is_same(&new)) {
            Some(old) => Arc::clone(old),
            None => Arc::new(new),
        }
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
            format!(
                "the key in {} does not match the certificate for {name}: one of them is from another request or renewal",
                key.path.display()
            ),
        ),
        (None, []) => {
            (Code::NoKey, format!("there is no private key for {name} beside it: put it there"))
        }
        (None, lone) => (
            Code::KeyMismatch,
            format!("none of the {} keys beside it matches the certificate for {name}", lone.len()),
        ),
    };
    Finding::new(code, &*file.path, text)
}
