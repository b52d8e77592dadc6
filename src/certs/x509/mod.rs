//! What matters of an X.509 certificate. The only user of `x509-parser`.

mod details;
mod dn;
mod key;
mod list;
mod names;

use std::{net::IpAddr, sync::OnceLock};

use rustls::pki_types::CertificateDer;
use x509_parser::{
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
    x509::{SubjectPublicKeyInfo, X509Name},
};

pub(super) use details::Details;
pub(super) use dn::subject_and_issuer;
pub(super) use key::KeyType;
pub(super) use list::ParsedList;

use names::Names;

/// A certificate, read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub der: CertificateDer<'static>,
    /// DNS names from the SANs, in lower case; the CN only where there is no SAN.
    pub names: Vec<String>,
    /// What the SANs hold besides, and no client can ask for by SNI.
    pub others: Vec<String>,
    pub has_san: bool,
    /// Distinguished names as DER, to compare, and as text, to show.
    pub subject: (Vec<u8>, String),
    pub issuer: (Vec<u8>, String),
    pub issuer_organization: Option<String>,
    pub subject_key_id: Option<Vec<u8>>,
    pub authority_key_id: Option<Vec<u8>>,
    /// SubjectPublicKeyInfo as DER.
    pub spki: Vec<u8>,
    pub key: KeyType,
    pub is_ca: bool,
    /// Whether it signs an MD5 or SHA-1 hash, which clients refuse: RFC 9155 §2.
    pub has_weak_hash: bool,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// Where the issuer's certificate can be had: RFC 5280 §4.2.2.1.
    pub ca_issuers: Option<String>,
    /// Of an authority: the key that has been found to have made its signature. Thousands of chains
    /// lead over the same one.
    signer: OnceLock<Box<[u8]>>,
}

/// What can be said of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// This key made it.
    Right,
    /// Its algorithm, or a key so small, is not known here.
    Untold,
    /// Another key made it, or it is damaged.
    Wrong,
}

impl Parsed {
    /// The error says in words why it cannot be read.
    pub(super) fn new(der: &CertificateDer<'static>) -> Result<Self, String> {
        let (rest, cert) = X509Certificate::from_der(der)
            .map_err(|e| format!("a certificate cannot be read: {e}"))?;
        if !rest.is_empty() {
            return Err("a certificate has octets behind its end".to_owned());
        }
        let names = Names::of(&cert);
        let mut parsed = Self {
            names: names.usable,
            others: names.others,
            has_san: names.has_san,
            subject: distinguished(cert.subject()),
            issuer: distinguished(cert.issuer()),
            issuer_organization: cert
                .issuer()
                .iter_organization()
                .next()
                .and_then(|o| o.as_str().ok())
                .map(str::to_owned),
            subject_key_id: None,
            authority_key_id: None,
            spki: cert.public_key().raw.to_vec(),
            key: KeyType::of(cert.public_key()),
            is_ca: cert.is_ca(),
            has_weak_hash: WEAK_HASH
                .contains(&cert.signature_algorithm.algorithm.to_id_string().as_str()),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            ca_issuers: None,
            signer: OnceLock::new(),
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
                            Some(printable(uri.chars()))
                        }
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        Ok(parsed)
    }

    /// The name that it goes by in messages.
    pub(super) fn label(&self) -> &str {
        self.names.first().unwrap_or(&self.subject.1)
    }

    /// Whether this address is among its SANs.
    pub(super) fn is_for(&self, address: IpAddr) -> bool {
        self.addresses().any(|known| known == address)
    }

    /// The addresses among its SANs.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.others.iter().filter_map(|other| names::to_address(other))
    }

    /// Whether this certificate could be the other's issuer by its name and key id.
    pub(super) fn is_named_issuer_of(&self, other: &Self) -> bool {
        self.is_ca && self.subject.0 == other.issuer.0 && self.key_ids_agree(other) != Some(false)
    }

    /// Whether the other names this key as its issuer's; `None` where one of them has no key id.
    pub(super) fn key_ids_agree(&self, other: &Self) -> Option<bool> {
        Some(self.subject_key_id.as_ref()? == other.authority_key_id.as_ref()?)
    }

    /// Whether this certificate's key made the other's signature.
    pub(super) fn signed(&self, other: &Self) -> bool {
        other.is_signed_by(&self.spki)
    }

    /// Whether the key with this SubjectPublicKeyInfo made its signature. One that cannot be told here
    /// may well be told by clients: name and key id decide then.
    pub(super) fn is_signed_by(&self, spki: &[u8]) -> bool {
        self.signature(spki) != Signature::Wrong
    }

    /// Whether the other's key made its signature, and whether that can be told.
    pub(super) fn signature_by(&self, issuer: &Self) -> Signature {
        self.signature(&issuer.spki)
    }

    fn signature(&self, spki: &[u8]) -> Signature {
        if self.signer.get().is_some_and(|known| **known == *spki) {
            return Signature::Right;
        }
        let signature = self.verified(spki);
        if self.is_ca && signature == Signature::Right {
            // The first one that is found is kept.
            let _ = self.signer.set(spki.into());
        }
        signature
    }

    fn verified(&self, spki: &[u8]) -> Signature {
        let (Ok((_, key)), Ok((_, cert))) =
            (SubjectPublicKeyInfo::from_der(spki), X509Certificate::from_der(&self.der))
        else {
            return Signature::Wrong;
        };
        match cert.verify_signature(Some(&key)) {
            Ok(()) => Signature::Right,
            Err(X509Error::SignatureUnsupportedAlgorithm) => Signature::Untold,
            Err(_) if KeyType::of(&key).rsa_bits().is_some_and(|bits| bits < SHORTEST_RSA) => {
                Signature::Untold
            }
            Err(_) => Signature::Wrong,
        }
    }

    /// Whether it is its own issuer. Having its issuer's name is not enough: an authority that changes
    /// its key signs the new one with the old one (RFC 5280 §3.2, self-issued certificates).
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject.0 == self.issuer.0
            && self.key_ids_agree(self).unwrap_or_else(|| self.signed(self))
    }

    /// Whether it is valid at this time, in seconds since 1970.
    pub(super) fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// The common name of a certificate's subject, and of its issuer.
pub(super) fn common_names(der: &[u8]) -> (Option<String>, Option<String>) {
    let common_name = |name: &X509Name<'_>| {
        let name = name.iter_common_name().next().and_then(|cn| cn.as_str().ok());
        name.map(|name| printable(name.chars()))
    };
    let Ok((_, cert)) = X509Certificate::from_der(der) else { return (None, None) };
    (common_name(cert.subject()), common_name(cert.issuer()))
}

/// The shortest RSA key that clients accept, in bits: the CA/Browser Forum's Baseline Requirements
/// §6.1.5. Our library verifies with no shorter one.
pub(super) const SHORTEST_RSA: usize = 2048;

/// id-ad-caIssuers
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

/// RSA with MD5 and SHA-1 (that one has two), ECDSA and DSA with SHA-1.
const WEAK_HASH: [&str; 5] = [
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.3.14.3.2.29",
    ECDSA_WITH_SHA1,
    "1.2.840.10040.4.3",
];
const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";

/// As DER and as text.
fn distinguished(name: &X509Name<'_>) -> (Vec<u8>, String) {
    (name.as_raw().to_vec(), printable(name.to_string().chars()))
}

/// What somebody else has written, so that it can be shown in a line of a log: nothing in it ends the
/// line, moves the cursor or turns the direction of writing.
fn printable(chars: impl IntoIterator<Item = char>) -> String {
    let mut text = String::new();
    for c in chars {
        match c {
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => {
                text.extend(c.escape_unicode());
            }
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text
}
