//! What the front knows of certificates: where they lie, which key belongs to which, what chain
//! leads from each to its root, and which one a client gets.

use std::time::{SystemTime, UNIX_EPOCH};

mod certificate;
mod chain;
mod date;
mod files;
mod finding;
mod foreign;
mod issue;
mod lint;
mod load;
mod parallel;
mod pem;
mod place;
mod set;
mod trust;
mod x509;

pub use certificate::{Certificate, Issuance, KeyKind};
pub use date::date;
pub use finding::{Action, Code, Finding, Policy, Severity};
pub use issue::{Issued, authority_and_leaf};
pub use load::{Sources, Store, load};
pub use set::{CertificateSet, Choice, Reason, Wish, Wishes};
pub use trust::Anchors;

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
