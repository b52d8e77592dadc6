//! The authorities that clients trust, as far as this machine knows: its own trust store.
//!
//! A front does not need one to serve. It tells a chain that ends where clients can go on from one
//! that ends in the dark.

use std::{collections::HashMap, path::Path, sync::Arc};

use rustls::pki_types::CertificateDer;

use super::{Code, Finding, Severity, files, x509::Parsed};

/// The certificates of this machine's trust store, and what of it cannot be read. Blocks.
///
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` move it, as they do for other programs.
#[must_use]
pub fn system_roots() -> (Vec<CertificateDer<'static>>, Option<Finding>) {
    let native = rustls_native_certs::load_native_certs();
    (native.certs, unread(&native.errors))
}

/// Self-signed authorities, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anchors(HashMap<Vec<u8>, Arc<Namesakes>>);

/// Authorities of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Namesakes(Vec<Anchor>);

/// What is kept of one: the rest of its certificate is of no use to us.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Anchor {
    subject_key_id: Option<Vec<u8>>,
    /// SubjectPublicKeyInfo as DER.
    spki: Vec<u8>,
}

impl Anchors {
    /// This machine's trust store. Empty where there is none: then every authority is a private one.
    /// The finding says what of it cannot be read.
    ///
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` move it, as they do for other programs.
    #[must_use]
    pub fn system() -> (Self, Option<Finding>) {
        let mut anchors = Self::default();
        let (roots, unread) = system_roots();
        for der in roots {
            // One that we cannot read is one that we cannot go by.
            if let Ok(authority) = Parsed::new(&der) {
                anchors.add(&authority);
            }
        }
        (anchors, unread)
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
        let anchors = &mut Arc::make_mut(self.0.entry(authority.subject.0.clone()).or_default()).0;
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
        self.0.values().map(|named| named.0.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that bear the name and the key id of this certificate's issuer.
    pub(super) fn named_issuers_of(&self, certificate: &Parsed) -> Option<&Arc<Namesakes>> {
        let named = self.0.get(&certificate.issuer.0)?;
        named.of(certificate).next().is_some().then_some(named)
    }

    /// Whether one of them bears the name and the key id of this certificate's issuer.
    pub(super) fn has_named_issuer_of(&self, certificate: &Parsed) -> bool {
        self.named_issuers_of(certificate).is_some()
    }

    /// Whether one of them has signed this certificate.
    pub(super) fn has_signed(&self, certificate: &Parsed) -> bool {
        self.named_issuers_of(certificate).is_some_and(|named| named.have_signed(certificate))
    }

    /// Whether this certificate is one of them, or has the name and key of one.
    pub(super) fn has(&self, authority: &Parsed) -> bool {
        let named = self.0.get(&authority.subject.0);
        named.is_some_and(|named| named.0.iter().any(|anchor| anchor.spki == authority.spki))
    }
}

impl Namesakes {
    /// Whether one of them has signed this certificate, which bears their name as its issuer's.
    pub(super) fn have_signed(&self, certificate: &Parsed) -> bool {
        self.of(certificate).any(|anchor| certificate.is_signed_by(&anchor.spki))
    }

    fn of(&self, certificate: &Parsed) -> impl Iterator<Item = &Anchor> {
        self.0.iter().filter(|anchor| {
            match (&anchor.subject_key_id, &certificate.authority_key_id) {
                (Some(mine), Some(theirs)) => mine == theirs,
                _ => true,
            }
        })
    }
}

/// An empty trust store looks as if all authorities were private ones: why it is that has to be said.
fn unread(errors: &[rustls_native_certs::Error]) -> Option<Finding> {
    let (first, others) = errors.split_first()?;
    let (file, why) = match &first.kind {
        rustls_native_certs::ErrorKind::Io { inner, path } => (path.as_path(), inner.to_string()),
        _ => (Path::new("(trust store)"), first.to_string()),
    };
    let more = match others.len() {
        0 => String::new(),
        n => format!(" (and {n} more like this)"),
    };
    let text = format!(
        "this machine's trust store cannot be read: {why}{more}; what is missing of it is taken for private authorities (SSL_CERT_FILE and SSL_CERT_DIR say where it is)"
    );
    // What is served does not depend on it.
    Some(Finding { severity: Severity::Warning, ..Finding::new(Code::Unreadable, file, text) })
}
