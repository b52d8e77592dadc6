//! Revocation lists: RFC 5280 §5.

use rustls::pki_types::CertificateRevocationListDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// A revocation list, read.
#[derive(Debug)]
pub(in crate::certs) struct ParsedList {
    /// Who keeps it.
    pub issuer: String,
    /// Seconds since 1970.
    pub this_update: i64,
    /// When the next one is due; without it, this one never ends.
    pub next_update: Option<i64>,
}

impl ParsedList {
    pub(in crate::certs) fn new(der: &CertificateRevocationListDer<'_>) -> Result<Self, String> {
        let (_, list) = CertificateRevocationList::from_der(der)
            .map_err(|e| format!("a revocation list cannot be read: {e}"))?;
        Ok(Self {
            issuer: list.issuer().to_string(),
            this_update: list.last_update().timestamp(),
            next_update: list.next_update().map(|time| time.timestamp()),
        })
    }
}
