//! The authorities that clients trust, as far as this machine knows: its own trust store.
//!
//! A front does not need one to serve. It tells a chain that ends where clients can go on from one
//! that ends in the dark.

use std::{collections::HashMap, path::Path};

use rustls::pki_types::CertificateDer;

use super::{Code, Finding, files, x509::Parsed};

/// The certificates of this machine's trust store. Blocks.
///
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` move it, as they do for other programs.
#[must_use]
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// Self-signed authorities, by their names.
#[derive(Debug, Default)]
pub struct Anchors(HashMap<Vec<u8>, Vec<Anchor>>);

/// What is kept of one: the rest of its certificate is of no use to us.
#[derive(Debug)]
struct Anchor {
    subject_key_id: Option<Vec<u8>>,
    /// SubjectPublicKeyInfo as DER.
    spki: Vec<u8>,
}

impl Anchors {
    /// This machine's trust store. Empty where there is none: then every authority is a private one.
    ///
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` move it, as they do for other programs.
    #[must_use]
    pub fn system() -> Self {
        let mut anchors = Self::default();
        for der in system_roots() {
            // One that we cannot read is one that we cannot go by.
            if let Ok(authority) = Parsed::new(&der) {
                anchors.add(&authority);
            }
        }
        anchors
    }

    /// Adds the roots of a PEM file, and says how many other certificates are in it: an authority
    /// that is not self-signed is no root, and whoever took it for one would not see that it is not sent.
    pub fn read(&mut self, file: &Path) -> Result<usize, Finding> {
        let no_pem = || Finding::new(Code::NotPem, file, "it holds no PEM block (-----BEGIN …)");
        let (mut roots, mut others) = (0, 0);
        for der in files::read(file)?.ok_or_else(no_pem)?.certificates {
            let authority = Parsed::new(&der).map_err(|e| Finding::new(Code::Damaged, file, e))?;
            if authority.is_self_signed() {
                self.add(&authority);
                roots += 1;
            } else {
                others += 1;
            }
        }
        if roots == 0 {
            let text = "it holds no root: no certificate in it is self-signed";
            return Err(Finding::new(Code::NothingThere, file, text));
        }
        Ok(others)
    }

    pub(super) fn add(&mut self, authority: &Parsed) {
        let anchors = self.0.entry(authority.subject.0.clone()).or_default();
        if anchors.iter().all(|known| known.spki != authority.spki) {
            anchors.push(Anchor {
                subject_key_id: authority.subject_key_id.clone(),
                spki: authority.spki.clone(),
            });
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them bears the name and the key id of this certificate's issuer.
    pub(super) fn has_named_issuer_of(&self, certificate: &Parsed) -> bool {
        self.named_issuers(certificate).next().is_some()
    }

    /// Whether one of them has signed this certificate.
    pub(super) fn has_signed(&self, certificate: &Parsed) -> bool {
        self.named_issuers(certificate).any(|anchor| certificate.is_signed_by(&anchor.spki))
    }

    /// Whether this certificate is one of them, or has the name and key of one.
    pub(super) fn has(&self, authority: &Parsed) -> bool {
        let named = self.0.get(&authority.subject.0).map_or(&[][..], Vec::as_slice);
        named.iter().any(|anchor| anchor.spki == authority.spki)
    }

    fn named_issuers(&self, certificate: &Parsed) -> impl Iterator<Item = &Anchor> {
        let named = self.0.get(&certificate.issuer.0).map_or(&[][..], Vec::as_slice);
        named.iter().filter(|anchor| {
            match (&anchor.subject_key_id, &certificate.authority_key_id) {
                (Some(mine), Some(theirs)) => mine == theirs,
                _ => true,
            }
        })
    }
}
