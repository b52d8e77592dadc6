//! The certificate that answers an authority which shakes hands to see whether a name is ours:
//! tls-alpn-01 (RFC 8737).

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName};
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type, pki_types::PrivateKeyDer, sign::CertifiedKey,
};

use super::{IssueError, Name, NewKey, alternative_names};
use crate::certs::digest::sha256;

/// A certificate for this name alone, which holds the digest of the key authorization in a critical
/// extension (RFC 8737 §3). It is shown to nobody else, and forgotten.
pub fn challenge(name: &Name, authorization: &str) -> Result<Arc<CertifiedKey>, IssueError> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = alternative_names(std::slice::from_ref(name))?;
    params.distinguished_name = DistinguishedName::new();
    let digest = sha256(authorization.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let pair = NewKey::default().generate()?;
    let certificate = params.self_signed(&pair)?;
    let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
    let key = any_supported_type(&key).map_err(|e| IssueError::from(e.to_string()))?;
    // Not `from_der`: it knows no critical extension of this kind, and refuses.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}
