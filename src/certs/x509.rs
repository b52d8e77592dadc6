//! What matters of an X.509 certificate. The only user of `x509-parser`.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::{
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    objects::{oid_registry, oid2sn},
    prelude::{CertificateRevocationList, FromDer, X509Certificate},
    public_key::PublicKey,
    x509::{SubjectPublicKeyInfo, X509Name},
};

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
    pub key: PublicKeyKind,
    pub is_ca: bool,
    /// Whether its signature is made with SHA-1, which clients refuse.
    pub is_sha1: bool,
    /// Seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// Where the issuer's certificate can be had: RFC 5280 §4.2.2.1.
    pub ca_issuers: Option<String>,
}

/// What kind of key a certificate is for, with its size in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublicKeyKind {
    Ecdsa(usize),
    Rsa(usize),
    /// Ed25519, and what is not known here.
    Other,
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
            subject: (cert.subject().as_raw().to_vec(), shown(&cert.subject().to_string())),
            issuer: (cert.issuer().as_raw().to_vec(), shown(&cert.issuer().to_string())),
            issuer_organization: cert
                .issuer()
                .iter_organization()
                .next()
                .and_then(|o| o.as_str().ok())
                .map(str::to_owned),
            subject_key_id: None,
            authority_key_id: None,
            spki: cert.public_key().raw.to_vec(),
            key: match cert.public_key().parsed() {
                Ok(PublicKey::EC(point)) => PublicKeyKind::Ecdsa(point.key_size()),
                Ok(PublicKey::RSA(key)) => PublicKeyKind::Rsa(key.key_size()),
                _ => PublicKeyKind::Other,
            },
            is_ca: cert.is_ca(),
            is_sha1: SHA1.contains(&cert.signature_algorithm.algorithm.to_id_string().as_str()),
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
                            Some(shown(uri))
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

    /// Whether it is valid at this time, in seconds since 1970.
    pub(super) fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// A revocation list: RFC 5280 §5.
#[derive(Debug)]
pub(super) struct ParsedList {
    /// Who keeps it.
    pub issuer: String,
    /// Seconds since 1970.
    pub this_update: i64,
    /// When the next one is due; without it, this one never ends.
    pub next_update: Option<i64>,
}

impl ParsedList {
    pub(super) fn new(der: &CertificateRevocationListDer<'_>) -> Result<Self, String> {
        let (_, list) = CertificateRevocationList::from_der(der)
            .map_err(|e| format!("a revocation list cannot be read: {e}"))?;
        Ok(Self {
            issuer: list.issuer().to_string(),
            this_update: list.last_update().timestamp(),
            next_update: list.next_update().map(|time| time.timestamp()),
        })
    }
}

/// The common name of a certificate's subject, and of its issuer.
pub(super) fn common_names(der: &[u8]) -> (Option<String>, Option<String>) {
    let common_name = |name: &X509Name<'_>| {
        name.iter_common_name().next().and_then(|cn| cn.as_str().ok()).map(str::to_owned)
    };
    let Ok((_, cert)) = X509Certificate::from_der(der) else { return (None, None) };
    (common_name(cert.subject()), common_name(cert.issuer()))
}

/// The size of an RSA key in bits; `None` for other kinds.
pub(super) fn rsa_bits(der: &[u8]) -> Option<usize> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    match cert.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

/// What a certificate says besides, for those who look at one that is not ours.
#[derive(Debug)]
pub(super) struct Details {
    /// The addresses among the SANs.
    pub addresses: Vec<IpAddr>,
    pub key: Key,
    /// The signature's algorithm, as RFCs call it.
    pub signature: String,
    /// Whether it signs an MD5 or SHA-1 hash: RFC 9155 §2.
    pub has_weak_hash: bool,
}

/// A public key.
#[derive(Debug)]
pub(super) struct Key {
    /// `RSA`, `ECDSA P-256`, …
    pub kind: String,
    /// Of an RSA key: what its strength depends on.
    pub rsa_bits: Option<usize>,
    /// What is in SubjectPublicKeyInfo's BIT STRING.
    pub octets: Vec<u8>,
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
    /// Whether the other's key made its signature, and whether that can be told.
    pub(super) fn signature_by(&self, issuer: &Self) -> Signature {
        let (Ok((_, key)), Ok((_, cert))) =
            (SubjectPublicKeyInfo::from_der(&issuer.spki), X509Certificate::from_der(&self.der))
        else {
            return Signature::Wrong;
        };
        match cert.verify_signature(Some(&key)) {
            Ok(()) => Signature::Right,
            Err(X509Error::SignatureUnsupportedAlgorithm) => Signature::Untold,
            Err(_) if Key::new(&key).rsa_bits.is_some_and(|bits| bits < 2048) => Signature::Untold,
            Err(_) => Signature::Wrong,
        }
    }

    pub(super) fn details(&self) -> Result<Details, String> {
        let (_, cert) = X509Certificate::from_der(&self.der)
            .map_err(|e| format!("a certificate cannot be read: {e}"))?;
        let algorithm = &cert.signature_algorithm.algorithm;
        let id = algorithm.to_id_string();
        Ok(Details {
            has_weak_hash: WEAK_HASH.contains(&id.as_str()),
            addresses: addresses(&cert),
            key: Key::new(cert.public_key()),
            signature: match oid2sn(algorithm, oid_registry()) {
                Ok(name) => name.to_owned(),
                // The registry lacks it.
                Err(_) if id == ECDSA_WITH_SHA1 => "ecdsa-with-SHA1".to_owned(),
                Err(_) => id,
            },
        })
    }
}

impl Key {
    fn new(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = key.algorithm.algorithm.to_id_string();
        let curve = || key.algorithm.parameters.as_ref()?.as_oid().ok().map(|o| o.to_id_string());
        let (kind, rsa_bits) = match (key.parsed(), algorithm.as_str()) {
            (Ok(PublicKey::RSA(rsa)), _) => {
                let bits = rsa.key_size();
                (format!("RSA {bits}"), Some(bits))
            }
            (_, "1.2.840.10045.2.1") => (format!("ECDSA {}", named_curve(curve())), None),
            (_, "1.3.101.112") => ("Ed25519".to_owned(), None),
            (_, "1.3.101.113") => ("Ed448".to_owned(), None),
            _ => (algorithm, None),
        };
        Self { kind, rsa_bits, octets: key.subject_public_key.data.to_vec() }
    }
}

/// RSA with MD5 and SHA-1 (that one has two), ECDSA and DSA with SHA-1.
const WEAK_HASH: [&str; 5] = [
    "1.2.840.113549.1.1.4",
    "1.2.840.113549.1.1.5",
    "1.3.14.3.2.29",
    ECDSA_WITH_SHA1,
    "1.2.840.10040.4.3",
];
const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";

/// RFC 5480 §2.1.1.1
fn named_curve(oid: Option<String>) -> String {
    match oid.as_deref() {
        Some("1.2.840.10045.3.1.7") => "P-256".to_owned(),
        Some("1.3.132.0.34") => "P-384".to_owned(),
        Some("1.3.132.0.35") => "P-521".to_owned(),
        Some("1.3.132.0.10") => "secp256k1".to_owned(),
        _ => oid.unwrap_or_else(|| "on a curve of its own".to_owned()),
    }
}

/// RFC 5280 §4.2.1.6: 4 octets or 16.
fn addresses(cert: &X509Certificate<'_>) -> Vec<IpAddr> {
    let address = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .ok(),
        _ => None,
    };
    match cert.subject_alternative_name() {
        Ok(Some(san)) => san.value.general_names.iter().filter_map(address).collect(),
        _ => Vec::new(),
    }
}

/// What stands in certificates is anybody's words: it brings no lines or escapes of its own.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// id-ad-caIssuers
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

/// With RSA, ECDSA and DSA.
const SHA1: [&str; 3] = ["1.2.840.113549.1.1.5", "1.2.840.10045.4.1", "1.2.840.10040.4.3"];

/// The names that a certificate is for.
struct Names {
    usable: Vec<String>,
    others: Vec<String>,
    has_san: bool,
}

impl Names {
    fn of(cert: &X509Certificate<'_>) -> Self {
        let mut names = Self { usable: Vec::new(), others: Vec::new(), has_san: true };
        match cert.subject_alternative_name() {
            Ok(Some(san)) => san.value.general_names.iter().for_each(|name| names.add(name)),
            Err(_) => names.others.push("(subject alternative names that cannot be read)".into()),
            Ok(None) => {
                names.has_san = false;
                let cn = cert.subject().iter_common_name().next().and_then(|cn| cn.as_str().ok());
                names.usable.extend(cn.and_then(dns_name));
            }
        }
        names
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => match dns_name(name) {
                Some(name) => self.usable.push(name),
                // Escaped: what is in there was written by somebody else.
                None => self.others.push(format!("DNS:{}", name.escape_default())),
            },
            GeneralName::IPAddress(octets) => self.others.push(address(octets)),
            // Mail addresses and the like are not for us.
            GeneralName::RFC822Name(_) | GeneralName::URI(_) | GeneralName::OtherName(..) => {}
            other => self.others.push(format!("{other:?}").escape_default().to_string()),
        }
    }
}

fn address(octets: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(octets).map(std::net::IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(std::net::IpAddr::from));
    address.map_or_else(|_| format!("IP:{octets:02x?}"), |address| format!("IP:{address}"))
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
