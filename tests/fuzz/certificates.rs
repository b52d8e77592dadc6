//! Whatever lies in a folder of certificates, loading it ends well, and the good neighbour is served.
//!
//! `tests/fuzz/run` makes the seeds and runs this; arguments go on to libFuzzer:
//!
//! ```sh
//! tests/fuzz/run -max_total_time=300
//! tests/fuzz/run -runs=0                     # the corpus once
//! tests/fuzz/run target/fuzz/artifacts/crash-…    # what was found, again
//! ```
//!
//! An input is some files, parted by `\xff\n`. The first octet of each says what it is: `C` a
//! certificate in DER and `K` a key in DER, which are made PEM here, because nobody finds a way into
//! base64 by chance; anything else is a file as it is, the first octet being its name.

#![no_main]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;
use vestibule::certs::{CertificateSet, Sources, Wishes, authority_and_leaf, load};

/// The names of files, by the first octet.
const NAMES: [&str; 8] =
    ["all.pem", "fullchain.pem", "m.crt", "m.key", "ca.cer", "notes", "m.pfx", "deep/er/chain.pem"];

/// The certificate that lies beside all this.
const NEIGHBOUR: &str = "neighbour.example.org";

/// A folder in memory, with the neighbour in it.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::var_os("VESTIBULE_FUZZ").expect("tests/fuzz/run sets it");
        let folder = PathBuf::from(folder);
        fs::create_dir_all(folder.join("neighbour")).expect("a folder in memory");
        let issued = authority_and_leaf("Fuzz", &[NEIGHBOUR]).expect("a certificate");
        let all = format!("{}{}", issued.certificate, issued.key);
        fs::write(folder.join("neighbour/all.pem"), all).expect("a file in memory");
        folder
    })
}

/// The files of an input: each one's name, and what is in it.
fn files(mut input: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    while !input.is_empty() {
        let end = input.windows(2).position(|two| two == b"\xff\n").unwrap_or(input.len());
        let piece = &input[..end];
        input = input.get(end + 2..).unwrap_or_default();
        let Some((&first, content)) = piece.split_first() else { continue };
        let (name, content) = match first {
            b'C' => (NAMES[0], pem("CERTIFICATE", content)),
            b'K' => (NAMES[0], pem("PRIVATE KEY", content)),
            _ => (NAMES[usize::from(first) % NAMES.len()], content.to_vec()),
        };
        match files.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(content),
            None => files.push((name, content)),
        }
    }
    files
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
}

fuzz_target!(|input: &[u8]| {
    let folder = folder();
    let fuzzed = folder.join("fuzzed");
    let files = files(input);
    let write = |cut: usize| {
        let _ = fs::remove_dir_all(&fuzzed);
        for (name, content) in &files {
            let path = fuzzed.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in memory");
            fs::write(path, &content[..content.len() / cut]).expect("a file in memory");
        }
    };
    let sources = Sources {
        certificates: vec![folder.join("neighbour"), fuzzed.clone()],
        intermediates: vec![fuzzed.clone()],
        ..Sources::default()
    };
    let check = |store: &vestibule::certs::Store| {
        let (set, findings) = CertificateSet::new(store, &Wishes::default());
        assert!(set.is_some_and(|set| set.covers(NEIGHBOUR)), "the neighbour is served");
        for finding in findings.iter().chain(&store.findings) {
            let _ = finding.to_string();
        }
        for certificate in &store.certificates {
            let sent = certificate.sent_chain();
            assert!((1..=9).contains(&sent.len()), "{} certificates are sent", sent.len());
            let _ = (certificate.key(), certificate.path(), certificate.is_complete());
        }
    };
    write(1);
    let first = load(&sources, None);
    check(&first);
    // Then somebody writes, and is half through.
    write(2);
    check(&load(&sources, Some(&first)));
});
