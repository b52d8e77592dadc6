//! What the front knows of certificates: where they lie, which key belongs to which, what chain
//! leads from each to its root, and which one a client gets.

mod chain;
mod finding;
mod issue;
mod load;
mod pem;
mod set;
mod x509;

pub use finding::{Finding, Severity};
pub use issue::{Issued, authority_and_leaf};
pub use load::{Certificate, KeyKind, Store, load};
pub use set::{CertificateSet, Choice, Reason, Wishes};

#[cfg(test)]
mod tests;
