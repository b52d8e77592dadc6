//! A certificate that is there.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustls::pki_types::CertificateDer;

use crate::certs;

/// What tells a file from another that took its place.
pub(super) type Stamp = Option<(u64, i64, i64, u64)>;

pub(super) fn stamp(file: &Path) -> Stamp {
    let meta = fs::metadata(file).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
}

/// A certificate that is there.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) names: Vec<String>,
    pub(super) valid: (i64, i64),
}

impl Held {
    /// The certificate in this file. `None`: there is none that could be served.
    pub(super) fn read(file: &Path) -> Option<Self> {
        if !file.exists() {
            return None;
        }
        let store = certs::load_alone(file);
        let certificate = store.certificates.first()?;
        Some(Self {
            leaf: certificate.leaf().clone(),
            names: certificate.names().to_vec(),
            valid: certificate.valid(),
        })
    }

    /// A number that is its own: the last octet of its signature.
    pub(super) fn share(&self) -> u8 {
        self.leaf.last().copied().unwrap_or_default()
    }
}
