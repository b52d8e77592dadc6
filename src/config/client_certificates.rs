//! What is wanted of clients' certificates: everywhere, on one listener, or by name.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{check::paths, section::Section};
use crate::values::{ClientMode, ClientRule};

/// The key, at the top level and in listeners.
pub(super) const KEY: &str = "client_certificates";

const BY_NAME: &str = "client_certificates_by_name";

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    None,
    Request,
    Require,
}

/// The rule of a section, if it has one: `Some(None)` is that nothing is wanted.
pub(super) fn rule_in(section: &mut Section<'_>) -> Option<Option<ClientRule>> {
    section.section(KEY).map(rule)
}

/// The rules for single names, exact or with a wildcard.
pub(super) fn by_name(top: &mut Section<'_>) -> BTreeMap<String, Option<ClientRule>> {
    let mut rules = BTreeMap::new();
    for (name, section) in top.named_sections(BY_NAME) {
        let host = name.strip_prefix("*.").unwrap_or(&name);
        let is_host = host.len() <= 253
            && host.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            });
        if !is_host {
            top.note(&format!("{BY_NAME}.{name}"), format!("`{name}` is not a name that a client could ask for: write mail.example.org, or *.example.org"));
        }
        rules.insert(name.to_ascii_lowercase(), rule(section));
    }
    rules
}

fn rule(mut section: Section<'_>) -> Option<ClientRule> {
    let is_stated = section.value("mode").is_some();
    let mode: Option<Mode> = section.take("mode");
    if !is_stated {
        section.note("mode", "it is missing: request (a client without a certificate is served, too), require, or none");
    }
    let trust = paths(&mut section, "trust");
    let crl = paths(&mut section, "crl").unwrap_or_default();
    let hints = section.take("hints").unwrap_or_default();
    let mode = match mode {
        Some(Mode::Request) => Some(ClientMode::Request),
        Some(Mode::Require) => Some(ClientMode::Require),
        Some(Mode::None) | None => None,
    };
    let is_trust_missing = trust.as_ref().is_none_or(Vec::is_empty);
    if mode.is_some() && is_trust_missing {
        section.note("trust", "it is missing: files or folders with the certificates of the authorities that clients' certificates come from");
    }
    section.finish();
    Some(ClientRule { mode: mode?, trust: trust.unwrap_or_default(), crl, hints })
}
