//! What the front knows of certificates: where they lie, which key belongs to which, what chain
//! leads from each to its root, and which one a client gets.

use std::time::{SystemTime, UNIX_EPOCH};

mod authorities;
pub mod caa;
mod certificate;
mod chain;
mod challenges;
mod client;
mod date;
mod described;
mod digest;
mod files;
mod finding;
mod foreign;
pub mod import;
pub mod issue;
mod judge;
mod keep;
mod late;
mod lint;
mod listing;
mod load;
mod name;
mod own;
mod parallel;
mod pem;
mod place;
mod set;
mod table;
pub mod tlsa;
mod trust;
mod write;
mod x509;

pub use authorities::{Authorities, authorities};
pub use certificate::{Certificate, Issuance, KeyKind};
pub use challenges::Challenges;
pub use client::{Client, fingerprint};
pub use date::date;
pub use described::Description;
pub use finding::{Action, Code, Finding, Policy, Severity};
pub use issue::{Issued, authority_and_leaf};
pub use judge::{
    End, Judgement, NameCheck, Presented, PublicKey, Reference, Remark, Role, Signer, judge,
    public_key,
};
pub use load::{Sources, Store, load, load_alone};
pub use name::Name;
pub use own::own;
pub use set::{CertificateSet, Choice, Reason, Wish, Wishes};
pub use trust::{Anchors, system_roots};
pub use write::{create, create_folder, create_for_group, replace};

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
