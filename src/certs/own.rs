//! A certificate that we show to others, where we are the client.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Code, Finding, files};

/// Reads a certificate, with what leads up from it, and its key, which may be in the same file.
/// Blocks. Whether they belong together is found out by who uses them.
pub fn own(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Finding> {
    let no_pem = |file| Finding::new(Code::NotPem, file, "it holds no PEM block (-----BEGIN …)");
    let chain = files::read(certificate)?.ok_or_else(|| no_pem(certificate))?.certificates;
    if chain.is_empty() {
        return Err(Finding::new(Code::NothingThere, certificate, "it holds no certificate"));
    }
    let mut keys = files::read(key)?.ok_or_else(|| no_pem(key))?.keys;
    if keys.is_empty() {
        return Err(Finding::new(Code::NoKey, key, "it holds no private key"));
    }
    Ok((chain, keys.swap_remove(0)))
}
