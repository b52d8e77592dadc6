//! From a leaf towards its root: what a client has to be sent so that it can do the same.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    trust::{Anchors, Namesakes},
    x509::Parsed,
};

/// No public chain comes near it.
const LONGEST: usize = 8;

/// Cross-signed authorities can make more paths than anybody wants to walk.
const MOST_STEPS: usize = 256;

/// The authorities at hand, by name.
#[derive(Debug, Default)]
pub(super) struct Pool(HashMap<Vec<u8>, Vec<Arc<Parsed>>>);

impl Pool {
    /// Each of them once, however often it is there.
    pub(super) fn new<'a>(certificates: impl Iterator<Item = &'a Arc<Parsed>>) -> Self {
        let mut pool: HashMap<Vec<u8>, Vec<Arc<Parsed>>> = HashMap::new();
        // Ten thousand leafs come with as many copies, most of which are one in memory.
        let mut seen = HashSet::new();
        let is_new = |c: &&Arc<Parsed>| c.is_ca && seen.insert(Arc::as_ptr(c));
        for certificate in certificates.filter(is_new) {
            let named = match pool.get_mut(&certificate.subject.0) {
                Some(named) => named,
                None => pool.entry(certificate.subject.0.clone()).or_default(),
            };
            if named.iter().all(|known| known.der != certificate.der) {
                named.push(certificate.clone());
            }
        }
        Self(pool)
    }

    /// Whether it holds the very same ones as the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same = |(name, named): (&Vec<u8>, &Vec<Arc<Parsed>>)| {
            other.0.get(name).is_some_and(|others| {
                named.len() == others.len()
                    && named.iter().zip(others).all(|(one, other)| Arc::ptr_eq(one, other))
            })
        };
        self.0.len() == other.0.len() && self.0.iter().all(is_same)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Parsed>> {
        self.0.values().flatten()
    }

    /// Those that could have issued this certificate. Name and key id decide, and the signature where
    /// they leave a choice: it is what takes time. [`Chain::proven`] makes sure of the rest.
    fn issuers_of(&self, certificate: &Parsed) -> Vec<&Arc<Parsed>> {
        let named = self.0.get(&certificate.issuer.0).map_or(&[][..], Vec::as_slice);
        let mut issuers: Vec<_> = named
            .iter()
            .filter(|c| c.is_named_issuer_of(certificate) && c.der != certificate.der)
            .collect();
        let is_certain = issuers
            .iter()
            .all(|c| c.key_ids_agree(certificate) == Some(true) && c.spki == issuers[0].spki);
        if !is_certain {
            // Many of them may be one authority's.
            let mut signers: HashMap<&[u8], bool> = HashMap::new();
            issuers.retain(|c| *signers.entry(&c.spki).or_insert_with(|| c.signed(certificate)));
        }
        issuers
    }
}

/// A chain as it is sent, and how it ends.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// The leaf's issuer, then each one's issuer, without the root: RFC 8446 §4.4.2 lets us leave
    /// it out.
    pub issuers: Vec<Arc<Parsed>>,
    pub end: End,
    root: Root,
}

/// Who is said to have signed the last certificate of a chain, and is not sent.
#[derive(Clone, Debug)]
enum Root {
    /// Nobody who is known.
    Unknown,
    /// One of the trusted.
    Trusted(Arc<Namesakes>),
    /// One that lies among the files.
    AtHand(Arc<Parsed>),
}

/// How far a chain has been found to be what it seems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    /// So many of the issuers have signed what comes before them.
    pub issuers: usize,
    /// Whether the root, where one is known, has signed the last of them.
    pub has_root: bool,
}

/// How a chain ends, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At an authority in the machine's trust store.
    Trusted,
    /// The leaf is its own issuer.
    SelfSigned,
    /// At a root that lies among the files, and in no trust store.
    Private,
    /// At a name that is neither at hand nor in the trust store: most likely a private root.
    Unknown,
    /// Before any authority, or before one that is known to lie elsewhere: a client that was never
    /// sent it by somebody else fails.
    Missing,
}

impl Chain {
    /// The best chain from this leaf.
    pub(super) fn build(leaf: &Arc<Parsed>, pool: &Pool, anchors: &Anchors, now: i64) -> Self {
        if leaf.is_self_signed() {
            return Self::ending(End::SelfSigned);
        }
        let mut search = Search { pool, anchors, now, steps: 0, best: None };
        search.walk(&mut vec![leaf]);
        let Some((_, mut path, end, mut root)) = search.best.take() else {
            return Self::ending(End::Missing);
        };
        if let Some(cross) = search.cross_signed(&path, end) {
            path.push(cross);
            // Its own issuer is another one; without it, the chain ends as well as it did.
            root = Root::Unknown;
        }
        Self { issuers: path.into_iter().skip(1).cloned().collect(), end, root }
    }

    fn ending(end: End) -> Self {
        Self { issuers: Vec::new(), end, root: Root::Unknown }
    }

    /// The certificate whose issuer is not sent.
    pub(super) fn last<'a>(&'a self, leaf: &'a Parsed) -> &'a Parsed {
        self.issuers.last().map_or(leaf, AsRef::as_ref)
    }

    /// Whether there is anything to verify.
    pub(super) fn is_to_be_proven(&self) -> bool {
        !self.issuers.is_empty() || !matches!(self.root, Root::Unknown)
    }

    /// Verifies the signatures.
    pub(super) fn proven(&self, leaf: &Parsed) -> Proof {
        let signed = std::iter::once(leaf).chain(self.issuers.iter().map(AsRef::as_ref));
        let links = signed.zip(&self.issuers);
        let issuers = links.take_while(|(below, issuer)| issuer.signed(below)).count();
        let last = self.last(leaf);
        let has_root = match &self.root {
            _ if issuers < self.issuers.len() => true,
            Root::Unknown => true,
            Root::Trusted(named) => named.have_signed(last),
            Root::AtHand(root) => root.signed(last),
        };
        Proof { issuers, has_root }
    }
}

type Path<'a> = Vec<&'a Arc<Parsed>>;

/// How good a path is, the least the best: no link has expired, it ends well, it is short (or, where
/// it leads nowhere, long), and it lasts.
type Rank = (bool, u8, isize, Reverse<i64>);

struct Search<'a> {
    pool: &'a Pool,
    anchors: &'a Anchors,
    now: i64,
    steps: usize,
    best: Option<(Rank, Path<'a>, End, Root)>,
}

impl<'a> Search<'a> {
    fn walk(&mut self, path: &mut Path<'a>) {
        let Some(&last) = path.last() else { return };
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return;
        }
        let mut is_end = true;
        if let Some(named) = self.anchors.named_issuers_of(last) {
            self.offer(path, End::Trusted, || Root::Trusted(named.clone()));
            is_end = false;
        }
        for issuer in self.pool.issuers_of(last) {
            if issuer.is_self_signed() {
                let end = if self.anchors.has(issuer) { End::Trusted } else { End::Private };
                self.offer(path, end, || Root::AtHand(issuer.clone()));
                is_end = false;
            } else if path.len() < LONGEST && path.iter().all(|p| p.der != issuer.der) {
                path.push(issuer);
                self.walk(path);
                path.pop();
                is_end = false;
            }
        }
        if is_end {
            // An authority that says where its issuer's certificate is does not think that clients
            // have it. Without a trust store there is no telling.
            let is_missing =
                path.len() == 1 || (last.ca_issuers.is_some() && !self.anchors.is_empty());
            let end = if is_missing { End::Missing } else { End::Unknown };
            self.offer(path, end, || Root::Unknown);
        }
    }

    fn offer(&mut self, path: &Path<'a>, end: End, root: impl FnOnce() -> Root) {
        let issuers = path.get(1..).unwrap_or_default();
        let is_expired = issuers.iter().any(|c| !c.is_valid_at(self.now));
        let length = isize::try_from(path.len()).unwrap_or(isize::MAX);
        let (class, length) = match end {
            End::Trusted => (0, length),
            End::SelfSigned | End::Private => (1, length),
            End::Unknown => (2, -length),
            End::Missing => (3, -length),
        };
        let lasts = issuers.iter().map(|c| c.not_after).min().unwrap_or(i64::MAX);
        let rank = (is_expired, class, length, Reverse(lasts));
        if self.best.as_ref().is_none_or(|(best, ..)| rank < *best) {
            self.best = Some((rank, path.clone(), end, root()));
        }
    }

    /// A second certificate of the authority that the path ends at, issued by an older one: with it,
    /// clients that know only the older one can verify the chain as well.
    fn cross_signed(&self, path: &Path<'a>, end: End) -> Option<&'a Arc<Parsed>> {
        let last = path.last()?;
        let leads_on = |cross: &Parsed| match end {
            End::Trusted => self.anchors.has_named_issuer_of(cross),
            End::Private => true,
            _ => false,
        };
        let crosses = self.pool.issuers_of(last).into_iter().filter(|cross| {
            !cross.is_self_signed()
                && cross.is_valid_at(self.now)
                && path.len() < LONGEST
                && path.iter().all(|p| p.der != cross.der)
                && leads_on(cross)
        });
        crosses.max_by_key(|cross| cross.not_after)
    }
}
