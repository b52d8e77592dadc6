//! `acme`: certificates that come by themselves.

use std::{collections::BTreeSet, path::Path, time};

use serde::Deserialize;

use super::{
    Listener, Problem, check,
    section::{Notebook, Section},
};
use crate::{
    certs::Name,
    protocol::Protocol,
    values::{Acme, Challenge, Duration, ExternalAccount, NextKey, OrderedKey, TlsMode},
};

const KEY: &str = "acme";

/// Let's Encrypt, and where its orders are tried out.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The most names of one certificate: what Let's Encrypt takes.
const MOST: usize = 100;

/// How long a hook may take.
const HOOK: time::Duration = time::Duration::from_secs(5 * 60);

#[derive(Clone, Copy, Deserialize)]
enum How {
    #[serde(rename = "http-01")]
    Http01,
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    #[serde(rename = "dns-01")]
    Dns01,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Keys {
    Ecdsa,
    Rsa2048,
    Both,
}

/// The settings, if certificates are to come by themselves. They are kept below `state_dir`.
pub(super) fn acme(top: &mut Section<'_>, state_dir: &Path) -> Option<Acme> {
    let mut section = top.section(KEY)?;
    let directory: Option<String> = section.take("directory");
    let staging: Option<String> = section.take("staging");
    for (key, address) in [("directory", &directory), ("staging", &staging)] {
        if let Some(address) = address {
            check_address(&section, key, address);
        }
    }
    let agree_to_terms = section.take("agree_to_terms").unwrap_or(false);
    if directory.is_none() && !agree_to_terms {
        section.note("agree_to_terms", "it is missing: without `directory`, the authority is Let's Encrypt; read its terms at https://letsencrypt.org/repository/ and write `agree_to_terms: true`");
    }
    let contact = contact(&mut section);
    let external_account = external_account(&mut section);
    let challenge = challenge(&mut section);
    let domains = domains(&mut section, challenge.as_ref());
    let keys = match section.take("key").unwrap_or(Keys::Ecdsa) {
        Keys::Ecdsa => vec![OrderedKey::Ecdsa],
        Keys::Rsa2048 => vec![OrderedKey::Rsa2048],
        Keys::Both => vec![OrderedKey::Ecdsa, OrderedKey::Rsa2048],
    };
    let reuse: bool = section.take("reuse_key").unwrap_or(false);
    let stage: bool = section.take("stage_key").unwrap_or(false);
    let next_key = match (reuse, stage) {
        (true, true) => {
            section.note(
                "stage_key",
                "with `reuse_key` there is no next key that could be staged: write one of them",
            );
            NextKey::Same
        }
        (true, false) => NextKey::Same,
        (false, true) => NextKey::Staged,
        (false, false) => NextKey::New,
    };
    let trust = check::path(&mut section, "trust");
    let profile = section.take("profile");
    section.finish();
    let is_default = directory.is_none();
    Some(Acme {
        directory: directory.unwrap_or_else(|| DIRECTORY.to_owned()),
        staging: staging.or_else(|| is_default.then(|| STAGING.to_owned())),
        trust,
        contact,
        agree_to_terms,
        external_account,
        profile,
        challenge: challenge?,
        domains: domains
            .into_iter()
            .map(|names| names.iter().map(Name::to_string).collect())
            .collect(),
        keys,
        next_key,
        folder: state_dir.join(KEY),
    })
}

/// What is worth a word: nobody listens where the authority looks.
pub(super) fn warning(acme: &Acme, listeners: &[Listener], notebook: &Notebook) -> Option<Problem> {
    let (port, is_there): (u16, fn(&Listener) -> bool) = match acme.challenge {
        Challenge::Http01 => (80, |listener| listener.protocol == Protocol::Http),
        Challenge::TlsAlpn01 => (443, |listener| listener.tls == TlsMode::Implicit),
        Challenge::Dns01 { .. } => return None,
    };
    let mut all = listeners.iter().filter(|listener| is_there(listener));
    if all.any(|listener| listener.bind.iter().any(|address| address.port() == port)) {
        return None;
    }
    let text = format!(
        "for {} the authority looks at port {port}, and no listener here is bound to it: see that the port leads to one of them",
        acme.challenge.name()
    );
    Some(notebook.problem(&format!("{KEY}.challenge"), text))
}

fn check_address(section: &Section<'_>, key: &str, address: &str) {
    let is_address = address.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(|b| b.is_ascii_graphic())
    });
    if !is_address {
        section.note(
            key,
            format!(
                "`{address}` is no address of a directory: one is wanted that begins with https://"
            ),
        );
    }
}

fn contact(section: &mut Section<'_>) -> Vec<String> {
    let written: Vec<String> = section.list("contact").unwrap_or_default();
    let mut contact = Vec::new();
    for (n, address) in written.iter().enumerate() {
        let mail = address.strip_prefix("mailto:").unwrap_or(address);
        let is_mail =
            mail.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
                && mail.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b'?'));
        if is_mail {
            contact.push(format!("mailto:{mail}"));
        } else {
            let key =
                if written.len() == 1 { "contact".to_owned() } else { format!("contact[{n}]") };
            section.note(
                &key,
                format!("`{address}` is no mail address, such as postmaster@example.org"),
            );
        }
    }
    contact
}

fn external_account(section: &mut Section<'_>) -> Option<ExternalAccount> {
    let mut account = section.section("external_account")?;
    let key_id: Option<String> = account.take("key_id");
    let key_file = check::path(&mut account, "key_file");
    if key_id.is_none() {
        account.note("key_id", "it is missing: the name that the authority gives, beside the key");
    }
    if key_file.is_none() {
        account.note(
            "key_file",
            "it is missing: a file with the HMAC key that the authority gives, and nothing else",
        );
    }
    account.finish();
    Some(ExternalAccount { key_id: key_id?, key_file: key_file? })
}

fn challenge(section: &mut Section<'_>) -> Option<Challenge> {
    let is_stated = section.value("challenge").is_some();
    let how: Option<How> = section.take("challenge");
    let hook = check::path(section, "hook");
    let timeout: Option<Duration> = section.take("hook_timeout");
    let is_dns = matches!(how, Some(How::Dns01));
    if is_stated && !is_dns && hook.is_some() {
        section.note("hook", "it is only for `challenge: dns-01`");
    }
    Some(match how {
        None if is_stated => return None,
        None => {
            section.note("challenge", "it is missing: http-01 (port 80), tls-alpn-01 (port 443), or dns-01 (with a `hook`)");
            return None;
        }
        Some(How::Http01) => Challenge::Http01,
        Some(How::TlsAlpn01) => Challenge::TlsAlpn01,
        Some(How::Dns01) => {
            let Some(hook) = hook else {
                section.note(
                    "hook",
                    "it is missing: the program that puts records into DNS for dns-01",
                );
                return None;
            };
            Challenge::Dns01 { hook, timeout: timeout.map_or(HOOK, |Duration(timeout)| timeout) }
        }
    })
}

/// The names of each certificate. A name alone is a certificate of one name.
fn domains(section: &mut Section<'_>, challenge: Option<&Challenge>) -> Vec<Vec<Name>> {
    let Some(items) = section.items("domains") else {
        section.note("domains", "it is missing: the names of each certificate, such as [[mail.example.org, imap.example.org]]");
        return Vec::new();
    };
    if items.is_empty() {
        section.note("domains", "it is empty: nothing would be ordered");
    }
    let mut firsts = BTreeSet::new();
    let mut domains = Vec::new();
    for (path, value) in items {
        let written: Vec<(String, String)> = if value.is_sequence() {
            let names: Vec<String> = section.read(&path, value).unwrap_or_default();
            names.into_iter().enumerate().map(|(n, name)| (format!("{path}[{n}]"), name)).collect()
        } else {
            section.read(&path, value).into_iter().map(|name| (path.clone(), name)).collect()
        };
        let mut names: Vec<Name> = Vec::new();
        for (path, text) in written {
            match text.parse::<Name>() {
                Err(why) => section.note_at(&path, why),
                Ok(Name::Dns(name))
                    if name.starts_with("*.")
                        && !matches!(challenge, Some(Challenge::Dns01 { .. }) | None) =>
                {
                    section.note_at(
                        &path,
                        format!(
                            "`{name}` can only be had with `challenge: dns-01` (RFC 8555 §8.3)"
                        ),
                    );
                }
                Ok(Name::Address(address))
                    if matches!(challenge, Some(Challenge::Dns01 { .. })) =>
                {
                    section.note_at(&path, format!("`{address}` is an address: DNS cannot show that it is ours; choose http-01 or tls-alpn-01 (RFC 8738)"));
                }
                Ok(name) if names.contains(&name) => {
                    section.note_at(&path, format!("`{name}` is there twice"));
                }
                Ok(name) => names.push(name),
            }
        }
        if names.is_empty() && value.as_sequence().is_some_and(Vec::is_empty) {
            section.note_at(&path, "it is empty: a certificate has at least one name");
        }
        if names.len() > MOST {
            section.note_at(
                &path,
                format!("{} names are too many for one certificate: up to {MOST}", names.len()),
            );
        }
        let Some(first) = names.first() else { continue };
        if !firsts.insert(first.to_string()) {
            section.note_at(&path, format!("another certificate begins with {first} as well, which names its file: give them different first names"));
        }
        domains.push(names);
    }
    domains
}
