//! The way from a leaf to an authority, through what a server has sent.

use std::collections::VecDeque;

use serde::Serialize;

use crate::certs::{
    Anchors,
    x509::{Parsed, Signature},
};

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum End {
    /// In an authority that is trusted here.
    Trusted {
        /// Its name.
        root: String,
    },
    /// In an authority that nobody here has heard of: a private one, as far as can be told.
    Private {
        /// Its name.
        root: String,
        /// Whether its own certificate was sent.
        sent: bool,
        /// Where the certificate can be had.
        url: Option<String>,
    },
    /// The leaf vouches for itself.
    SelfSigned,
    /// In the dark: the issuer of the last certificate was not sent.
    Missing {
        /// The issuer's name.
        issuer: String,
        /// Where its certificate can be had: RFC 5280 §4.2.2.1.
        url: Option<String>,
        /// Whether it is sure that it has to be sent: a private root, say, would not have to.
        certain: bool,
    },
    /// In a signature that its issuer has not made.
    Broken {
        /// The issuer's name.
        issuer: String,
        /// Where among those that were sent the issuer is; otherwise it is in the trust store.
        position: Option<usize>,
    },
    /// The leaf cannot be read.
    Unreadable,
}

/// A way, as positions among the certificates sent, from the leaf on and without the root.
#[derive(Debug)]
pub(super) struct Way {
    pub path: Vec<usize>,
    pub end: End,
    /// Everything that some way leads to.
    pub reached: Vec<usize>,
}

/// What was sent, read; `None` where it cannot be.
pub(super) struct Sent<'a> {
    pub certificates: &'a [Option<Parsed>],
    pub anchors: &'a Anchors,
    /// Seconds since 1970.
    pub now: i64,
    /// Whether the caller has said what else to trust: an authority that is not known then is not
    /// a private one, but one too few.
    pub knows_private: bool,
}

impl Sent<'_> {
    /// The shortest way to an authority that is trusted, rather with certificates that are valid;
    /// else the one that goes on furthest.
    pub(super) fn way(&self) -> Way {
        let paths = self.paths(false);
        let reached = paths.iter().filter_map(|path| path.last().copied()).collect();
        let (path, end) = self.to_the_end(paths);
        Way { path, end, reached }
    }

    fn to_the_end(&self, paths: Vec<Vec<usize>>) -> (Vec<usize>, End) {
        let Some(leaf) = self.at(0) else { return (Vec::new(), End::Unreadable) };
        for paths in [&self.paths(true), &paths] {
            for path in paths {
                if let Some(root) = path.last().and_then(|&n| self.trusted(n)) {
                    return (path.clone(), End::Trusted { root });
                }
            }
        }
        if leaf.is_self_signed() {
            let issuer = leaf.issuer.1.clone();
            return match leaf.signature_by(leaf) {
                Signature::Wrong => (vec![0], End::Broken { issuer, position: Some(0) }),
                _ => (vec![0], End::SelfSigned),
            };
        }
        self.untrusted(paths)
    }

    fn untrusted(&self, paths: Vec<Vec<usize>>) -> (Vec<usize>, End) {
        let is_root = |path: &&Vec<usize>| {
            path.last().and_then(|&n| self.at(n)).is_some_and(Parsed::is_self_signed)
        };
        if let Some(whole) = paths.iter().find(is_root) {
            let (root, path) =
                whole.split_last().map_or((0, &[][..]), |(root, path)| (*root, path));
            let root = self.at(root).map(|r| r.subject.1.clone()).unwrap_or_default();
            return (path.to_vec(), End::Private { root, sent: true, url: None });
        }
        let path = paths.into_iter().next_back().unwrap_or_else(|| vec![0]);
        let end = path.last().and_then(|&n| Some(self.end(n, self.at(n)?, path.len())));
        (path, end.unwrap_or(End::Unreadable))
    }

    /// What it means that nobody who was sent has signed this one.
    fn end(&self, position: usize, last: &Parsed, length: usize) -> End {
        let issuer = last.issuer.1.clone();
        let wrong = (0..self.certificates.len()).find(|&n| {
            n != position
                && self.at(n).is_some_and(|other| {
                    other.is_named_issuer_of(last) && last.signature_by(other) == Signature::Wrong
                })
        });
        if wrong.is_some() || self.anchors.has_named_issuer_of(last) {
            return End::Broken { issuer, position: wrong };
        }
        let url = last.ca_issuers.clone();
        if length > 1 && !self.knows_private {
            return End::Private { root: issuer, sent: false, url };
        }
        // Only a leaf is there, whose issuer may be a private root: those rarely have a URL.
        let certain = self.knows_private || url.is_some() || self.certificates.len() > 1;
        End::Missing { issuer, url, certain }
    }

    /// The trusted authority that this one is, or that has signed it.
    fn trusted(&self, position: usize) -> Option<String> {
        let certificate = self.at(position)?;
        if self.anchors.has(certificate) {
            return Some(certificate.subject.1.clone());
        }
        self.anchors.has_signed(certificate).then(|| certificate.issuer.1.clone())
    }

    /// Ways from the leaf, one to each certificate that can be reached, shortest first.
    fn paths(&self, strict: bool) -> Vec<Vec<usize>> {
        let count = self.certificates.len();
        let mut seen = vec![false; count];
        let mut waiting = VecDeque::from([vec![0]]);
        let mut paths = Vec::new();
        if let Some(leaf) = seen.first_mut() {
            *leaf = true;
        }
        while let Some(path) = waiting.pop_front() {
            let Some(last) = path.last().and_then(|&n| self.at(n)) else { continue };
            for (next, seen) in seen.iter_mut().enumerate().filter(|(_, seen)| !**seen) {
                let fits = self.at(next).is_some_and(|issuer| {
                    issuer.is_named_issuer_of(last)
                        && (!strict || (issuer.not_before..=issuer.not_after).contains(&self.now))
                        && last.signature_by(issuer) != Signature::Wrong
                });
                if fits {
                    *seen = true;
                    waiting.push_back([path.as_slice(), &[next]].concat());
                }
            }
            paths.push(path);
        }
        paths
    }

    fn at(&self, position: usize) -> Option<&Parsed> {
        self.certificates.get(position)?.as_ref()
    }
}
