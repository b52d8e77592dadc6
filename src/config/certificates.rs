//! What the configuration says about names and certificates.

use std::{collections::BTreeMap, net::IpAddr};

use super::section::Section;
use crate::certs::{Action, Code, Policy, Wish};

/// Our own names.
pub(super) struct Names {
    pub hostname: String,
    pub aliases: Vec<String>,
    /// Those that were written down.
    pub wishes: Vec<Wish>,
}

pub(super) fn names(top: &mut Section<'_>) -> Names {
    let written: Option<String> = top.take("hostname");
    let aliases: Vec<String> = top.list("aliases").unwrap_or_default();
    let mut wishes = Vec::new();
    let keys = (0..aliases.len()).map(|n| format!("aliases[{n}]"));
    let all = written.iter().map(|name| ("hostname".to_owned(), name)).chain(keys.zip(&aliases));
    for (key, name) in all {
        if !is_host_name(name) {
            top.note(&key, format!("`{name}` is not a host name"));
        }
        wishes.push(Wish { key, name: name.clone() });
    }
    let hostname = written
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    Names { hostname, aliases, wishes }
}

fn is_host_name(name: &str) -> bool {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    !name.is_empty() && name.len() <= 253 && name.bytes().all(is_fit)
}

pub(super) fn by_address(top: &mut Section<'_>) -> BTreeMap<IpAddr, String> {
    let key = "certificate_by_address";
    let mut certificates = BTreeMap::new();
    for (address, value) in top.entries(key) {
        let path = format!("{key}.{address}");
        match address.parse::<IpAddr>() {
            Ok(address) => certificates.extend(top.read(&path, value).map(|name: String| (address.to_canonical(), name))),
            Err(_) => top.note(&path, format!("`{address}` is not an address: an IPv4 or IPv6 address of this machine is wanted")),
        }
    }
    certificates
}

/// `lint: { V007: refuse }`
pub(super) fn lint(top: &mut Section<'_>) -> Policy {
    let mut policy = Policy::default();
    for (code, value) in top.entries("lint") {
        let path = format!("lint.{code}");
        let Ok(known) = code.parse::<Code>() else {
            top.note(&path, format!("`{code}` is no finding: they are V001 to {}", last()));
            continue;
        };
        let Some(word) = top.read::<String>(&path, value) else { continue };
        let action = match word.as_str() {
            "ignore" => Action::Ignore,
            "refuse" => Action::Refuse,
            "warn" => Action::Warn,
            _ => {
                top.note(&path, format!("`{word}` is none of ignore, warn, refuse"));
                continue;
            }
        };
        if known.is_final() && action != Action::Refuse {
            let text = format!(
                "{known} ({}) can only be refused: there is nothing to serve then",
                known.title()
            );
            top.note(&path, text);
            continue;
        }
        policy.0.insert(known, action);
    }
    policy
}

fn last() -> String {
    Code::all().last().map_or(String::new(), |code| code.to_string())
}
