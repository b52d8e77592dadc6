//! PEM files. The only user of `rustls-pemfile` and `pem`.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use ::pem::{EncodeConfig, LineEnding, Pem, encode_config};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_pemfile::Item;

use super::{Code, Finding};

/// The largest file that is looked into: 10,000 certificates fit.
const LARGEST: u64 = 16 << 20;

/// Names that promise PEM. A file that breaks the promise is a finding; another file is not.
const EXTENSIONS: [&str; 6] = ["pem", "crt", "cer", "cert", "key", "chain"];

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub certificates: Vec<CertificateDer<'static>>,
    pub keys: Vec<PrivateKeyDer<'static>>,
}

/// Reads a file. `Ok(None)`: it is no PEM file, and its name does not say that it is.
pub(super) fn read(path: &Path) -> Result<Option<Content>, Finding> {
    // A pipe or a device would be read for ever.
    let is_file = fs::metadata(path).map_err(|e| unreadable(path, &e))?.is_file();
    if !is_file {
        return Ok(None);
    }
    let bytes = bytes(path)?;
    let promised =
        path.extension().is_some_and(|e| EXTENSIONS.iter().any(|p| e.eq_ignore_ascii_case(p)));
    if memchr::memmem::find(&bytes, b"-----BEGIN ").is_none() {
        return if promised { Err(no_pem(path, &bytes)) } else { Ok(None) };
    }
    parse(path, &bytes).map(Some)
}

/// Reads the text of a file.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Content, Finding> {
    if is_encrypted(bytes) {
        let text = format!(
            "the key is encrypted, and nobody is there to type its passphrase: openssl pkey -in {} -out {0}.plain",
            path.display()
        );
        return Err(Finding::new(Code::KeyEncrypted, path, text));
    }
    let mut content = Content::default();
    let mut rest = bytes;
    loop {
        match rustls_pemfile::read_one_from_slice(rest) {
            Ok(None) => return Ok(content),
            Ok(Some((item, tail))) => {
                rest = tail;
                match item {
                    Item::X509Certificate(der) => content.certificates.push(der),
                    Item::Pkcs1Key(key) => content.keys.push(key.into()),
                    Item::Pkcs8Key(key) => content.keys.push(key.into()),
                    Item::Sec1Key(key) => content.keys.push(key.into()),
                    // Requests, lists and bare public keys lie beside certificates and are none.
                    _ => {}
                }
            }
            Err(error) => return Err(Finding::new(Code::Damaged, path, describe(&error))),
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

fn bytes(path: &Path) -> Result<Vec<u8>, Finding> {
    let failed = |e| unreadable(path, &e);
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Finding::new(
            Code::NotPem,
            path,
            "it is longer than 16 MiB, which no PEM file is",
        ));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Finding {
    Finding::new(Code::Unreadable, path, format!("it cannot be read: {error}"))
}

fn no_pem(path: &Path, bytes: &[u8]) -> Finding {
    let text = match bytes {
        [] => "it is empty".to_owned(),
        // An ASN.1 SEQUENCE: DER, or PKCS #12.
        [0x30, ..] => format!(
            "it is binary, not PEM: try openssl x509 -inform der -in {0} -out {0}.pem, or openssl pkcs12 -nodes -in {0} -out {0}.pem",
            path.display()
        ),
        _ => "it holds no PEM block (-----BEGIN …)".to_owned(),
    };
    Finding::new(Code::NotPem, path, text)
}

/// RFC 1421 headers, or PKCS #8's own way.
fn is_encrypted(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"Proc-Type: 4,ENCRYPTED").is_some()
        || memchr::memmem::find(bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY-----").is_some()
}

fn describe(error: &rustls_pemfile::Error) -> String {
    use rustls_pemfile::Error::{Base64Decode, IllegalSectionStart, MissingSectionEnd};
    match error {
        MissingSectionEnd { .. } => "it is cut short: a PEM block has no end".to_owned(),
        IllegalSectionStart { .. } => "a PEM block begins with a malformed line".to_owned(),
        Base64Decode(why) => format!("a PEM block is damaged: {why}"),
    }
}

/// A certificate and where it was found.
pub(super) type Found<T> = (PathBuf, T);
