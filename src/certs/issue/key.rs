//! Keys that are made here.

use std::{fmt, path::Path, str::FromStr};

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData, RsaKeySize,
};

use rustls::pki_types::PrivatePkcs8KeyDer;

use super::{IssueError, der, request};
use crate::certs::pem;

/// The kind of key that is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewKey {
    /// ECDSA on P-256: small and fast, and known to all that know TLS 1.2.
    #[default]
    Ecdsa,
    /// ECDSA on P-384.
    Ecdsa384,
    /// Ed25519 (RFC 8410), which few mail programs know.
    Ed25519,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

const NAMES: [(&str, NewKey); 6] = [
    ("ecdsa", NewKey::Ecdsa),
    ("ecdsa384", NewKey::Ecdsa384),
    ("rsa2048", NewKey::Rsa2048),
    ("rsa3072", NewKey::Rsa3072),
    ("rsa4096", NewKey::Rsa4096),
    ("ed25519", NewKey::Ed25519),
];

impl NewKey {
    pub(super) fn generate(self) -> Result<KeyPair, IssueError> {
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size);
        Ok(match self {
            Self::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::Ecdsa384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        }?)
    }
}

/// Makes a key, as PEM in PKCS #8.
pub fn new_key(kind: NewKey) -> Result<String, IssueError> {
    Ok(text(&kind.generate()?))
}

/// The one key in this file, in PKCS #8. Errors: there is none, or more than one, or none that can
/// sign here.
pub fn pkcs8(file: &Path) -> Result<PrivatePkcs8KeyDer<'static>, IssueError> {
    Ok(request::read(file)?.serialize_der().into())
}

/// The SubjectPublicKeyInfo (DER) of the one key in this file. Errors: as for [`pkcs8`].
pub fn spki(file: &Path) -> Result<Vec<u8>, IssueError> {
    Ok(request::read(file)?.subject_public_key_info())
}

/// The key as PEM, in PKCS #8.
///
/// Ed25519 keys are made in its second version (RFC 5958), with the public key in it, which OpenSSL
/// reads from 3.2 on. Everybody reads the first.
pub(super) fn text(key: &KeyPair) -> String {
    let whole = key.serialize_der();
    match der::fields(&whole).as_deref() {
        Some([[.., 1], algorithm, secret, ..]) => {
            let first = [&[2, 1, 0], *algorithm, *secret].concat();
            let first = PrivatePkcs8KeyDer::from(der::wrap(der::SEQUENCE, &first));
            pem::encode_key(&first.into())
        }
        _ => key.serialize_pem(),
    }
}

impl FromStr for NewKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        NAMES.into_iter().find(|(name, _)| *name == text).map(|(_, key)| key).ok_or_else(|| {
            let names: Vec<&str> = NAMES.into_iter().map(|(name, _)| name).collect();
            format!("one of {} is wanted", names.join(", "))
        })
    }
}

impl fmt::Display for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.into_iter().find(|(_, key)| key == self).map(|(name, _)| name);
        f.write_str(name.unwrap_or_default())
    }
}
