//! An authority for a moment, and a leaf of its.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, Error, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

/// A certificate with its key and its issuer, all as PEM.
pub struct Issued {
    /// The authority: what clients are told to trust.
    pub authority: String,
    /// The leaf.
    pub certificate: String,
    /// The leaf's private key, PKCS #8.
    pub key: String,
}

impl fmt::Debug for Issued {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Makes a fresh authority, and a leaf of its for these names. The authority's key is thrown away.
pub fn authority_and_leaf(authority: &str, names: &[&str]) -> Result<Issued, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root =
        CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)?;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params =
        CertificateParams::new(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = common_name(names.first().copied().unwrap_or(authority));
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&key, &root)?;
    Ok(Issued { authority: root.pem(), certificate: leaf.pem(), key: key.serialize_pem() })
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
