//! What the front knows of certificates: where they lie, which key belongs to which, what chain
//! leads from each to its root, and which one a client gets.

use std::time::{SystemTime, UNIX_EPOCH};

mod chain;
mod date;
mod finding;
mod issue;
mod judge;
mod load;
mod pem;
mod set;
mod trust;
mod x509;

pub use finding::{Action, Code, Finding, Policy, Severity};
pub use issue::{Issued, authority_and_leaf};
pub use judge::{
    End, Judgement, NameCheck, Presented, PublicKey, Reference, Remark, Role, Signer, judge,
    public_key,
};
pub use load::{Certificate, KeyKind, Store, load};
pub use set::{CertificateSet, Choice, Reason, Wishes};
pub use trust::Anchors;

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
