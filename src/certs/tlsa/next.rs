//! A key that waits for its turn.
//!
//! Who changes keys publishes the record of the new one first, and waits until the old records have
//! left all caches (RFC 7671 §8.1). Until then the new key lies beside the certificate, alone, so
//! that nothing of it is served.

use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs::sign::any_supported_type;

use crate::certs::{Code, Finding, files};

/// A key beside a certificate that is to be its next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextKey {
    /// Where it lies.
    pub file: PathBuf,
    /// Its SubjectPublicKeyInfo as DER.
    pub spki: Vec<u8>,
}

/// The next key of the certificate in this file: `next.key` or `next.pem` beside it, or, where many
/// lie in one folder, `NAME.next.key` or `NAME.next.pem` beside `NAME.pem`. `Ok(None)`: there is none.
///
/// The error names the file that is there and cannot be used.
pub fn next_key(certificate: &Path) -> Result<Option<NextKey>, Finding> {
    let folder = certificate.parent().unwrap_or(Path::new("."));
    let stem = certificate.file_stem().unwrap_or_default().to_string_lossy();
    let own = ["key", "pem"].map(|end| format!("{stem}.next.{end}"));
    let shared = ["next.key".to_owned(), "next.pem".to_owned()];
    let mut candidates = own.iter().chain(&shared).map(|name| folder.join(name));
    let Some(file) = candidates.find(|file| file.exists()) else { return Ok(None) };
    let damaged = |why: String| Finding::new(Code::Damaged, &file, why);
    let keys = files::read(&file)?.unwrap_or_default().keys;
    let [key] = keys.as_slice() else {
        return Err(damaged(format!("the next key is wanted, and it holds {} keys", keys.len())));
    };
    let key =
        any_supported_type(key).map_err(|e| damaged(format!("the key cannot be used: {e}")))?;
    let spki = key.public_key();
    let spki = spki.ok_or_else(|| damaged("the key does not tell its public half".to_owned()))?;
    Ok(Some(NextKey { spki: spki.to_vec(), file }))
}
