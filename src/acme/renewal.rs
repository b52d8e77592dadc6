//! What the authority says about the right moment: RFC 9773.

use std::time::{Duration, SystemTime};

use instant_acme::{CertificateIdentifier, RenewalInfo};
use rustls::pki_types::CertificateDer;

use super::{
    Trouble,
    directory::{Directory, understood},
    http::{Web, wait},
};

/// A window that the authority suggests.
pub(super) struct Advice {
    /// From when to when, in seconds since 1970.
    pub(super) window: (i64, i64),
    /// A page that says why.
    pub(super) why: Option<String>,
    /// How long the answer is good for.
    pub(super) good_for: Option<Duration>,
}

/// What the authority suggests for this certificate. `None`: it makes no suggestions.
pub(super) async fn advice(
    web: &Web,
    directory: &Directory,
    certificate: &CertificateDer<'_>,
) -> Result<Option<Advice>, Trouble> {
    let Some(address) = &directory.renewal_info else { return Ok(None) };
    let id = name(certificate)?;
    let answer = web.get(&format!("{}/{id}", address.trim_end_matches('/'))).await?;
    let good_for = wait(answer.headers(), SystemTime::now());
    let told: RenewalInfo = understood(answer).await?;
    let window = &told.suggested_window;
    if window.start >= window.end {
        // RFC 9773 §4.2.
        return Err(Trouble::passing("the authority's window for renewal ends before it begins"));
    }
    Ok(Some(Advice {
        window: (window.start.unix_timestamp(), window.end.unix_timestamp()),
        why: told.explanation_url,
        good_for,
    }))
}

/// What this certificate is called: RFC 9773 §4.1.
pub(super) fn name(certificate: &CertificateDer<'_>) -> Result<String, Trouble> {
    let name = CertificateIdentifier::try_from(certificate).map_err(Trouble::ours)?;
    Ok(name.to_string())
}
