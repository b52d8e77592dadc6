//! Which name an authority goes by in CAA records (RFC 8659 §4.2).
//!
//! The name is not in the certificate: an authority states it in its own policy. So there is a table,
//! of those that we know for certain, by the organization in the issuer's name.

use rustls::pki_types::CertificateDer;

use super::x509::Parsed;

/// Organization → issuer domain name, in order of the alphabet.
const KNOWN: [(&str, &str); 13] = [
    ("Actalis S.p.A.", "actalis.it"),
    ("Amazon", "amazon.com"),
    ("DigiCert Inc", "digicert.com"),
    ("DigiCert, Inc.", "digicert.com"),
    ("GlobalSign nv-sa", "globalsign.com"),
    ("GoDaddy.com, Inc.", "godaddy.com"),
    ("Google Trust Services", "pki.goog"),
    ("Google Trust Services LLC", "pki.goog"),
    ("Let's Encrypt", "letsencrypt.org"),
    ("SSL Corporation", "ssl.com"),
    ("Sectigo Limited", "sectigo.com"),
    ("Starfield Technologies, Inc.", "starfieldtech.com"),
    ("SwissSign AG", "swisssign.com"),
];

/// Who issued a certificate, as CAA sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Issuer {
    /// Nobody: it is self-signed, and no CAA record is about it.
    Itself,
    /// An authority with this name in CAA records.
    Known(&'static str),
    /// An authority whose name in CAA records we do not know, with its own name.
    Unknown(String),
}

/// Who issued this certificate. One that cannot be read has an unknown issuer.
#[must_use]
pub fn issuer(leaf: &CertificateDer<'_>) -> Issuer {
    let Ok(leaf) = Parsed::new(&leaf.clone().into_owned()) else {
        return Issuer::Unknown("(cannot be read)".to_owned());
    };
    if leaf.is_self_signed() {
        return Issuer::Itself;
    }
    let organization = leaf.issuer_organization.unwrap_or_default();
    match KNOWN.into_iter().find(|(name, _)| *name == organization) {
        Some((_, domain)) => Issuer::Known(domain),
        None => Issuer::Unknown(leaf.issuer.1),
    }
}
