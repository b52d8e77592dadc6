//! What matters of an X.509 certificate. The only user of `x509-parser`.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
    x509::SubjectPublicKeyInfo,
};

/// A certificate, read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub der: CertificateDer<'static>,
    /// DNS names and addresses from the SANs, in lower case; the CN only where there is no SAN.
    pub names: Vec<String>,
    pub has_san: bool,
    /// Distinguished names as DER, to compare, and as text, to show.
    pub subject: (Vec<u8>, String),
    pub issuer: (Vec<u8>, String),
    pub issuer_organization: Option<String>,
    pub subject_key_id: Option<Vec<u8>>,
    pub authority_key_id: Option<Vec<u8>>,
    /// SubjectPublicKeyInfo as DER.
    pub spki: Vec<u8>,
    pub is_ca: bool,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// Where the issuer's certificate can be had: RFC 5280 §4.2.2.1.
    pub ca_issuers: Option<String>,
}

impl Parsed {
    pub(super) fn new(der: &CertificateDer<'static>) -> Result<Self, String> {
        let (rest, cert) = X509Certificate::from_der(der)
            .map_err(|e| format!("a certificate cannot be read: {e}"))?;
        if !rest.is_empty() {
            return Err("a certificate has octets behind its end".to_owned());
        }
        let (names, has_san) = names(&cert);
        let mut parsed = Self {
            names,
            has_san,
            subject: (cert.subject().as_raw().to_vec(), cert.subject().to_string()),
            issuer: (cert.issuer().as_raw().to_vec(), cert.issuer().to_string()),
            issuer_organization: cert
                .issuer()
                .iter_organization()
                .next()
                .and_then(|o| o.as_str().ok())
                .map(str::to_owned),
            subject_key_id: None,
            authority_key_id: None,
            spki: cert.public_key().raw.to_vec(),
            is_ca: cert.is_ca(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            ca_issuers: None,
            der: der.clone(),
        };
        for extension in cert.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => {
                    parsed.subject_key_id = Some(id.0.to_vec());
                }
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    parsed.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    parsed.ca_issuers = access.iter().find_map(|a| match &a.access_location {
                        GeneralName::URI(uri) if a.access_method.to_id_string() == CA_ISSUERS => {
                            Some((*uri).to_owned())
                        }
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// Whether this certificate could be the other's issuer by its name and key id.
    pub(super) fn is_named_issuer_of(&self, other: &Self) -> bool {
        let ids_agree = match (&self.subject_key_id, &other.authority_key_id) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        };
        self.is_ca && self.subject.0 == other.issuer.0 && ids_agree
    }

    /// Whether this certificate's key made the other's signature.
    pub(super) fn signed(&self, other: &Self) -> bool {
        other.is_signed_by(&self.spki)
    }

    /// Whether the key with this SubjectPublicKeyInfo made its signature.
    pub(super) fn is_signed_by(&self, spki: &[u8]) -> bool {
        let (Ok((_, key)), Ok((_, cert))) =
            (SubjectPublicKeyInfo::from_der(spki), X509Certificate::from_der(&self.der))
        else {
            return false;
        };
        // An algorithm that is not known here may well be known to clients: name and key id decide.
        match cert.verify_signature(Some(&key)) {
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => true,
            Err(_) => false,
        }
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject.0 == self.issuer.0
    }
}

/// id-ad-caIssuers
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

fn names(cert: &X509Certificate<'_>) -> (Vec<String>, bool) {
    if let Ok(Some(san)) = cert.subject_alternative_name() {
        let names = san.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => dns_name(name),
            _ => None,
        });
        return (names.collect(), true);
    }
    let common_name =
        cert.subject().iter_common_name().next().and_then(|cn| cn.as_str().ok()).and_then(dns_name);
    (common_name.into_iter().collect(), false)
}

/// A name that a client could ask for, or a wildcard in the one form that RFC 9525 §6.3 knows.
fn dns_name(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let host = name.strip_prefix("*.").unwrap_or(&name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    (host.len() <= 253 && host.split('.').all(is_label)).then_some(name)
}
