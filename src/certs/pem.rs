//! PEM: octets → certificates and keys, and back. The only user of `rustls-pemfile` and `pem`.

use std::{borrow::Cow, path::Path};

use ::pem::{EncodeConfig, LineEnding, Pem, encode_config};
use memchr::memmem;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls_pemfile::Item;

use super::{Code, Finding, foreign};

/// More blocks than any file of ours has: the bundles of all public authorities have 150.
const MOST_BLOCKS: usize = 4096;

/// Names that promise PEM. A file that breaks the promise is a finding; another file is not.
const EXTENSIONS: [&str; 6] = ["pem", "crt", "cer", "cert", "key", "chain"];

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub certificates: Vec<CertificateDer<'static>>,
    pub keys: Vec<PrivateKeyDer<'static>>,
    pub revocation_lists: Vec<CertificateRevocationListDer<'static>>,
}

/// Whether a file's name says that it is PEM.
pub(super) fn is_promised(path: &Path) -> bool {
    path.extension().is_some_and(|e| EXTENSIONS.iter().any(|p| e.eq_ignore_ascii_case(p)))
}

/// Understands a file's octets. `Ok(None)`: it is no PEM, and its name does not say that it is.
pub(super) fn parse(path: &Path, octets: &[u8]) -> Result<Option<Content>, Finding> {
    if memmem::find(octets, b"-----BEGIN ").is_none() {
        return if is_promised(path) { Err(foreign::not_pem(path, octets)) } else { Ok(None) };
    }
    if let Some(finding) = foreign::block(path, octets) {
        return Err(finding);
    }
    let mended = mended(octets);
    let mut content = Content::default();
    let mut rest: &[u8] = &mended;
    loop {
        match rustls_pemfile::read_one_from_slice(rest) {
            Ok(None) => return Ok(Some(content)),
            Ok(Some((item, tail))) => {
                rest = tail;
                match item {
                    Item::X509Certificate(der) => content.certificates.push(der),
                    Item::Pkcs1Key(key) => content.keys.push(key.into()),
                    Item::Pkcs8Key(key) => content.keys.push(key.into()),
                    Item::Sec1Key(key) => content.keys.push(key.into()),
                    Item::Crl(der) => content.revocation_lists.push(der),
                    // Requests and bare public keys lie beside certificates and are none.
                    _ => {}
                }
            }
            Err(error) => return Err(Finding::new(Code::Damaged, path, describe(&error))),
        }
        if content.certificates.len() + content.keys.len() > MOST_BLOCKS {
            let text = format!(
                "it holds more than {MOST_BLOCKS} certificates and keys: give each certificate a file"
            );
            return Err(Finding::new(Code::Damaged, path, text));
        }
    }
}

/// A certificate as PEM.
pub(super) fn encode_certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// A private key as PEM, in the form that it has.
pub(super) fn encode_key(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    encode(label, key.secret_der())
}

fn encode(label: &str, der: &[u8]) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    encode_config(&Pem::new(label, der), lines)
}

/// Two accidents that people have with files: a byte order mark before the first block, which some
/// editors write, and blocks that were joined without a line end between them.
fn mended(octets: &[u8]) -> Cow<'_, [u8]> {
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    let joint = b"----------BEGIN ";
    if memmem::find(octets, joint).is_none() {
        return Cow::Borrowed(octets);
    }
    let mut mended = Vec::with_capacity(octets.len() + 64);
    let mut from = 0;
    for at in memmem::find_iter(octets, joint) {
        mended.extend_from_slice(&octets[from..at + 5]);
        mended.push(b'\n');
        from = at + 5;
    }
    mended.extend_from_slice(&octets[from..]);
    Cow::Owned(mended)
}

fn describe(error: &rustls_pemfile::Error) -> String {
    use rustls_pemfile::Error::{Base64Decode, IllegalSectionStart, MissingSectionEnd};
    match error {
        MissingSectionEnd { .. } => "it is cut short: a PEM block has no end".to_owned(),
        IllegalSectionStart { .. } => "a PEM block begins with a malformed line".to_owned(),
        Base64Decode(why) => format!("a PEM block is damaged: {why}"),
    }
}
