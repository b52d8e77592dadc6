//! From a leaf towards its root: what a client has to be sent so that it can do the same.

use std::cmp::Reverse;

use rustls::pki_types::CertificateDer;

use super::{now, x509::Parsed};

/// No public chain comes near it; a loop of cross-signed authorities would go on for ever.
const LONGEST: usize = 8;

/// A chain as it is sent, and how it ends.
#[derive(Debug)]
pub(super) struct Chain {
    /// The leaf, then each one's issuer, without the root: RFC 8446 §4.4.2 lets us leave it out.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Set if the chain ends before an authority: a client that was never sent it elsewhere fails.
    pub missing: Option<Missing>,
}

/// The issuer that is not at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    /// Its name.
    pub issuer: String,
    /// Where it can be had.
    pub url: Option<String>,
}

/// Builds the chain of this leaf from what lies beside it, then from the pool.
pub(super) fn build(leaf: &Parsed, beside: &[&Parsed], pool: &[&Parsed]) -> Chain {
    let mut path: Vec<&Parsed> = vec![leaf];
    let mut reached_root = leaf.is_self_issued();
    while let Some(last) = path.last().copied().filter(|_| !reached_root && path.len() < LONGEST) {
        let is_issuer = |candidate: &&&Parsed| {
            candidate.is_named_issuer_of(last)
                && !path.iter().any(|p| p.der == candidate.der)
                && candidate.signed(last)
        };
        // A root ends the search: of two certificates for one authority, the self-signed one is
        // the shorter way; of two intermediates, the one that clients will accept for longer.
        let mut candidates: Vec<&&Parsed> = beside.iter().chain(pool).filter(is_issuer).collect();
        candidates
            .sort_by_key(|c| (!c.is_self_issued(), c.not_after < now(), Reverse(c.not_after)));
        let Some(issuer) = candidates.first() else { break };
        reached_root = issuer.is_self_issued();
        if !reached_root {
            path.push(issuer);
        }
    }
    let last = path.last().copied().unwrap_or(leaf);
    // Where an intermediate is there, its issuer is taken for a root that the client has.
    let missing = (!reached_root && path.len() == 1)
        .then(|| Missing { issuer: last.issuer.1.clone(), url: last.ca_issuers.clone() });
    Chain { certificates: path.iter().map(|p| p.der.clone()).collect(), missing }
}
