//! `tls` of a backend, and what belongs to it.

use std::path::PathBuf;

use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_yaml::Value;

use super::{
    check::{path, paths},
    section::Section,
};
use crate::values::{BackendTls, BackendTlsMode, BackendTrust, Fingerprint};

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Implicit,
    None,
    Starttls,
}

/// What only means something inside TLS.
const KEYS: [&str; 5] = ["tls_name", "tls_ca", "tls_fingerprint", "tls_certificate", "tls_key"];

/// What a backend's section says of TLS. `has_socket`: some address of it
/// is none that a certificate could be for.
pub(super) fn backend_tls(section: &mut Section<'_>, has_socket: bool) -> Option<BackendTls> {
    let is_stated = section.value("tls").is_some();
    let mode: Option<Mode> = section.take("tls");
    let name = name(section);
    let files = paths(section, "tls_ca");
    let pins: Option<Vec<Fingerprint>> = section.list("tls_fingerprint");
    for key in ["tls_ca", "tls_fingerprint"] {
        if section.value(key).and_then(Value::as_sequence).is_some_and(Vec::is_empty) {
            section.note(key, "it is empty, so no certificate would do: leave it out, or write what is to be trusted");
        }
    }
    let certificate = path(section, "tls_certificate");
    let key = path(section, "tls_key");
    let mode = match mode {
        Some(Mode::Implicit) => BackendTlsMode::Implicit,
        Some(Mode::Starttls) => BackendTlsMode::Starttls,
        Some(Mode::None) | None => {
            for key in KEYS {
                if section.value(key).is_some() && (!is_stated || mode.is_some()) {
                    section.note(key, "without TLS to this backend it says nothing: write `tls: implicit` or `tls: starttls`, too");
                }
            }
            return None;
        }
    };
    if files.is_some() && pins.is_some() {
        section.note(
            "tls_ca",
            "a certificate that tls_fingerprint pins needs no authority: leave one of the two out",
        );
    }
    if key.is_some() && certificate.is_none() && section.value("tls_certificate").is_none() {
        section.note("tls_key", "it is the key to no certificate: write tls_certificate, too");
    }
    let is_pinned = section.value("tls_fingerprint").is_some();
    if has_socket && name.is_none() && !is_pinned && section.value("tls_name").is_none() {
        section.note(
            "tls_name",
            "it is missing: a Unix socket has no name that a certificate could be for",
        );
    }
    let trust = match (files, pins) {
        (_, Some(pins)) => BackendTrust::Pinned(pins),
        (Some(files), None) => BackendTrust::Files(files),
        (None, None) => BackendTrust::System,
    };
    // One file may hold both.
    let own: Option<(PathBuf, PathBuf)> =
        certificate.map(|certificate| (certificate.clone(), key.unwrap_or(certificate)));
    Some(BackendTls { mode, name, trust, own })
}

fn name(section: &mut Section<'_>) -> Option<String> {
    let name: String = section.take("tls_name")?;
    if ServerName::try_from(name.as_str()).is_err() {
        let text = format!(
            "`{name}` is neither a name nor an address that a certificate could be for: write mail.example.org"
        );
        section.note("tls_name", text);
    }
    Some(name)
}
