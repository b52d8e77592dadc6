//! Forms of keys and certificates that are not ours, each with the command that makes PEM of it.

use std::path::Path;

use memchr::memmem;

use super::{Code, Finding};

/// Names of binary files. They lie beside PEM files often enough, and are no mistake there.
const BINARY: [&str; 5] = ["der", "p12", "p7b", "p7c", "pfx"];

const BEGIN: &[u8] = b"-----BEGIN ";

/// What we can use as it is.
const PLAIN: [&[u8]; 2] = [b"CERTIFICATE-----", b"PRIVATE KEY-----"];

/// Blocks that hold what we want in a form that we cannot use.
pub(super) fn block(path: &Path, octets: &[u8]) -> Option<Finding> {
    // Nearly all files are of these, and of ten thousand each search takes its time.
    let mut labels = memmem::find_iter(octets, BEGIN).map(|at| &octets[at + BEGIN.len()..]);
    if labels.all(|label| PLAIN.iter().any(|plain| label.starts_with(plain))) {
        return None;
    }
    let has = |what: &str| memmem::find(octets, what.as_bytes()).is_some();
    let file = quoted(path);
    let has_certificates = has("-----BEGIN CERTIFICATE-") || has("-----BEGIN TRUSTED CERT");
    // Beside whatever key there is, where nobody else can read it.
    let everything = || {
        let key = if has("PRIVATE KEY-----") {
            format!("openssl pkey -in {file}; ")
        } else {
            String::new()
        };
        format!(
            "(umask 077; {{ {key}openssl crl2pkcs7 -nocrl -certfile {file} | openssl pkcs7 -print_certs; }} >{file}.plain)"
        )
    };
    // RFC 1421 headers, or PKCS #8's own way.
    let (code, text) = if has("Proc-Type: 4,ENCRYPTED") || has("-----BEGIN ENCRYPTED PRIVATE KEY") {
        let command = if has_certificates {
            everything()
        } else {
            format!("openssl pkey -in {file} -out {file}.plain")
        };
        (Code::KeyEncrypted, format!("{ENCRYPTED}: {command}"))
    } else if has("-----BEGIN TRUSTED CERTIFICATE") {
        let text = format!("it holds a certificate in OpenSSL's own form: {}", everything());
        (Code::NotPem, text)
    } else if has("-----BEGIN PKCS7") {
        let text = format!(
            "it holds its certificates as PKCS #7: openssl pkcs7 -print_certs -in {file} -out {file}.pem"
        );
        (Code::NotPem, text)
    } else if has("-----BEGIN OPENSSH PRIVATE KEY") {
        (Code::NotPem, "it holds a key for SSH, which certificates are not made for".to_owned())
    } else {
        return None;
    };
    Some(Finding::new(code, path, text))
}

const ENCRYPTED: &str = "the key is encrypted, and nobody is there to type its passphrase";

/// Why there is no PEM block in these octets.
pub(super) fn not_pem(path: &Path, octets: &[u8]) -> Finding {
    let file = quoted(path);
    let utf16 = |kind: &str| {
        let text = format!(
            "it is UTF-16, not PEM: (umask 077; iconv -f {kind} -t utf-8 {file} >{file}.pem)"
        );
        (Code::NotPem, text)
    };
    let (code, text) = match octets {
        [] => (Code::NotPem, "it is empty".to_owned()),
        // An ASN.1 SEQUENCE: DER.
        [0x30, ..] => der(&file, octets),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => utf16("utf-16"),
        [b'-', 0, ..] => utf16("utf-16le"),
        [0, b'-', ..] => utf16("utf-16be"),
        _ => (Code::NotPem, "it holds no PEM block (-----BEGIN …)".to_owned()),
    };
    Finding::new(code, path, text)
}

/// What is to be said of a file that does not claim to be PEM, if nothing beside it can be served.
pub(super) fn aside(path: &Path, octets: &[u8]) -> Option<Finding> {
    let is_binary =
        path.extension().is_some_and(|e| BINARY.iter().any(|b| e.eq_ignore_ascii_case(b)));
    (is_binary && octets.starts_with(&[0x30])).then(|| not_pem(path, octets))
}

/// What this is, by what its outermost SEQUENCE begins with.
fn der(file: &str, octets: &[u8]) -> (Code, String) {
    let (code, what, command) = match inside(octets) {
        // PFX: version 3.
        [0x02, 0x01, 0x03, ..] => (
            Code::NotPem,
            "it is PKCS #12 (PFX), not PEM; an old one wants -legacy besides",
            "pkcs12 -nodes",
        ),
        // PKCS #8 and #1: version 0 or 1; SEC 1: 1.
        [0x02, 0x01, 0x00 | 0x01, ..] => {
            (Code::NotPem, "it is a key in DER, not PEM", "pkey -inform der")
        }
        // ContentInfo: an object identifier.
        [0x06, ..] => {
            (Code::NotPem, "it is PKCS #7 in DER, not PEM", "pkcs7 -inform der -print_certs")
        }
        // EncryptedPrivateKeyInfo: an algorithm, which begins with its identifier.
        [0x30, 0x00..=0x7f, 0x06, ..] => (Code::KeyEncrypted, ENCRYPTED, "pkey -inform der"),
        _ => (Code::NotPem, "it is binary (DER), not PEM", "x509 -inform der"),
    };
    (code, format!("{what}: openssl {command} -in {file} -out {file}.pem"))
}

/// What is behind the tag and the length of a DER value.
fn inside(octets: &[u8]) -> &[u8] {
    let header = match octets.get(1) {
        Some(long @ 0x81..=0x84) => 2 + usize::from(long & 0x7f),
        _ => 2,
    };
    octets.get(header..).unwrap_or_default()
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%=:,".contains(c);
    if path.chars().all(is_plain) {
        path.into_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}
