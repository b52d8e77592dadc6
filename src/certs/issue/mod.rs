//! Makes keys, certificates and requests. The only user of `rcgen`.

mod authority;
mod challenge;
mod der;
mod key;
mod refresh;
mod request;
mod self_signed;

use std::fmt;

use rcgen::{SanType, string::Ia5String};

pub use authority::{Issued, authority_and_leaf};
pub use challenge::challenge;
pub use key::{NewKey, new_key, pkcs8, spki};
pub use refresh::refresh;
pub use request::{KeySource, Requested, Subject, request};
pub use self_signed::self_signed;

use super::{Finding, Name};

/// RFC 5280 Appendix A.1, `ub-common-name`.
const LONGEST_COMMON_NAME: usize = 64;

/// Why something cannot be made.
#[derive(Debug)]
pub struct IssueError(String);

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IssueError {}

impl From<rcgen::Error> for IssueError {
    fn from(error: rcgen::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Finding> for IssueError {
    fn from(finding: Finding) -> Self {
        Self(finding.to_string())
    }
}

impl From<String> for IssueError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// The names as RFC 5280 §4.2.1.6 writes them, each once.
fn alternative_names(names: &[Name]) -> Result<Vec<SanType>, IssueError> {
    let mut written: Vec<SanType> = Vec::new();
    for name in names {
        let name = match name {
            Name::Dns(name) => SanType::DnsName(Ia5String::try_from(name.as_str())?),
            Name::Address(address) => SanType::IpAddress(*address),
        };
        if !written.contains(&name) {
            written.push(name);
        }
    }
    if written.is_empty() {
        return Err("at least one name is wanted".to_owned().into());
    }
    Ok(written)
}

/// The first name that fits into a common name.
fn common_name(names: &[Name]) -> Option<String> {
    names.iter().map(ToString::to_string).find(|name| name.len() <= LONGEST_COMMON_NAME)
}
