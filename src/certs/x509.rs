//! What matters of an X.509 certificate. The only user of `x509-parser`.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    asn1_rs::Tag,
    error::X509Error,
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer, X509Certificate},
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
            subject: distinguished(cert.subject()),
            issuer: distinguished(cert.issuer()),
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
        // An algorithm that is not known here may well be known to clients: name and key id decide. The
        // same goes for keys that are refused here for being short, which `lint` says.
        if let Ok(PublicKey::RSA(rsa)) = key.parsed()
            && rsa.key_size() < SHORTEST_RSA
        {
            return true;
        }
        match cert.verify_signature(Some(&key)) {
            Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => true,
            Err(_) => false,
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

/// The shortest RSA key that clients accept, in bits: the CA/Browser Forum's Baseline Requirements
/// §6.1.5. Our library verifies with no shorter one.
pub(super) const SHORTEST_RSA: usize = 2048;

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
                None => self.others.push(format!("DNS:{}", printable(name.chars()))),
            },
            // In no known encoding, so most likely in Latin-1.
            GeneralName::Invalid(Tag(2), octets) => {
                let chars = octets.iter().map(|&octet| char::from(octet));
                self.others.push(format!("DNS:{}", printable(chars)));
            }
            GeneralName::IPAddress(octets) => self.others.push(address(octets)),
            // Mail addresses and the like are not for us.
            GeneralName::RFC822Name(_) | GeneralName::URI(_) | GeneralName::OtherName(..) => {}
            other => self.others.push(format!("{other:?}").escape_default().to_string()),
        }
    }
}

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
