//! What a certificate says besides, for those who look at one that is not ours.

use std::net::IpAddr;

use x509_parser::{
    objects::{oid_registry, oid2sn},
    prelude::{FromDer, X509Certificate},
};

use super::{ECDSA_WITH_SHA1, Parsed, names::addresses};

/// What is only of interest once.
#[derive(Debug)]
pub(in crate::certs) struct Details {
    /// The addresses among the SANs.
    pub addresses: Vec<IpAddr>,
    /// What is in SubjectPublicKeyInfo's BIT STRING.
    pub key_octets: Vec<u8>,
    /// The signature's algorithm, as RFCs call it.
    pub signature: String,
}

impl Parsed {
    pub(in crate::certs) fn details(&self) -> Result<Details, String> {
        let (_, cert) = X509Certificate::from_der(&self.der)
            .map_err(|e| format!("a certificate cannot be read: {e}"))?;
        let algorithm = &cert.signature_algorithm.algorithm;
        let id = algorithm.to_id_string();
        Ok(Details {
            addresses: addresses(&cert),
            key_octets: cert.public_key().subject_public_key.data.to_vec(),
            signature: match oid2sn(algorithm, oid_registry()) {
                Ok(name) => name.to_owned(),
                // The registry lacks it.
                Err(_) if id == ECDSA_WITH_SHA1 => "ecdsa-with-SHA1".to_owned(),
                Err(_) => id,
            },
        })
    }
}
