//! Public keys.

use std::fmt;

use x509_parser::{public_key::PublicKey, x509::SubjectPublicKeyInfo};

/// What kind of key a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::certs) enum KeyType {
    /// The curve's name.
    Ecdsa(&'static str),
    Ed25519,
    Ed448,
    /// The modulus' size in bits.
    Rsa(usize),
    /// The algorithm's or the curve's object identifier.
    Other(String),
}

impl KeyType {
    pub(super) fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        let algorithm = key.algorithm.algorithm.to_id_string();
        let curve = || key.algorithm.parameters.as_ref()?.as_oid().ok().map(|o| o.to_id_string());
        match (algorithm.as_str(), key.parsed()) {
            (_, Ok(PublicKey::RSA(rsa))) => Self::Rsa(rsa.key_size()),
            ("1.2.840.10045.2.1", _) => named_curve(curve().unwrap_or(algorithm)),
            ("1.3.101.112", _) => Self::Ed25519,
            ("1.3.101.113", _) => Self::Ed448,
            _ => Self::Other(algorithm),
        }
    }

    /// The size of an RSA key in bits.
    pub(in crate::certs) fn rsa_bits(&self) -> Option<usize> {
        match self {
            Self::Rsa(bits) => Some(*bits),
            _ => None,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ecdsa(curve) => write!(f, "ECDSA {curve}"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Ed448 => f.write_str("Ed448"),
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::Other(id) => f.write_str(id),
        }
    }
}

/// RFC 5480 §2.1.1.1
fn named_curve(id: String) -> KeyType {
    KeyType::Ecdsa(match id.as_str() {
        "1.2.840.10045.3.1.7" => "P-256",
        "1.3.132.0.34" => "P-384",
        "1.3.132.0.35" => "P-521",
        "1.3.132.0.10" => "secp256k1",
        _ => return KeyType::Other(id),
    })
}
