//! Where sessions go: a backend with one address or several.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use super::{
    Preset,
    address::{Address, address},
    section::Section,
};
use crate::{
    identity::Identity,
    values::{BackendTls, Balance, Site},
};

/// A backend, for one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// What the configuration calls it.
    pub name: String,
    /// Its addresses: at least one.
    pub members: Vec<Member>,
    /// Which of them a session goes to.
    pub balance: Balance,
    /// How they learn who the client is.
    pub identity: Identity,
    /// What they are, if that was said.
    pub preset: Option<Preset>,
    /// What is wanted of the TLS to it; `None`: it is reached in clear.
    pub tls: Option<BackendTls>,
    /// Whether web requests go there in HTTP/2.
    pub h2c: bool,
}

impl Destination {
    /// What is wanted of the TLS to this address of it: a host's certificate is for the host's name,
    /// unless another one was written.
    #[must_use]
    pub fn tls(&self, site: &Site) -> Option<BackendTls> {
        let mut tls = self.tls.clone()?;
        if let (Site::Host { name, .. }, None) = (site, &tls.name) {
            tls.name = Some(name.clone());
        }
        Some(tls)
    }
}

/// One address of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Where it is.
    pub site: Site,
    /// It gets no new sessions, and keeps those that it has.
    pub drain: bool,
}

/// Where clients go that ask for a name in their handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The name in lower case, exact or with one wildcard in front → the key of its backend. Shared
    /// by all listeners that have the same.
    pub names: Arc<HashMap<Box<str>, usize>>,
    /// The backends that they lead to.
    pub backends: BTreeMap<usize, Destination>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Member { site, drain }) in self.members.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            let draining = if *drain { " (drain)" } else { "" };
            write!(f, "{comma}{site}{draining}")?;
        }
        Ok(())
    }
}

/// The most addresses that a backend can have.
const MOST: usize = crate::values::MOST_MEMBERS;

/// The addresses of a backend, in their order, and which of them take no new sessions.
pub(super) fn members(section: &mut Section<'_>) -> Option<Vec<(Address, bool)>> {
    let has_one = section.value("address").is_some();
    let one: Option<String> = section.take("address");
    let Some(several) = section.items("addresses") else {
        let Some(one) = one else {
            if !has_one {
                section.note("address", "it is missing: where does this backend listen?");
            }
            return None;
        };
        return match address(&one) {
            Ok(address) => Some(vec![(address, false)]),
            Err(why) => {
                section.note("address", why);
                None
            }
        };
    };
    if has_one {
        section.note("address", "there is `addresses` as well: write all of them there");
    }
    let count = several.len();
    let mut members: Vec<(Address, bool)> = Vec::new();
    for (n, (_, value)) in several.into_iter().enumerate() {
        let key = format!("addresses[{n}]");
        let Some((written, drain)) = member(section, &key, value) else { continue };
        match address(&written) {
            Err(why) => section.note(&key, why),
            Ok(address) if members.iter().any(|(other, _)| *other == address) => {
                section.note(&key, format!("{written} is there already"));
            }
            Ok(address) => members.push((address, drain)),
        }
    }
    if count == 0 {
        section.note("addresses", "it is empty: where does this backend listen?");
    } else if count > MOST {
        section.note("addresses", format!("{count} are too many: up to {MOST}"));
    } else if !members.is_empty() && members.iter().all(|(_, drain)| *drain) {
        section.note("addresses", "with drain: true for each of them, nobody would be served");
    }
    (!members.is_empty()).then_some(members)
}

/// `10.0.0.5`, or `{ address: 10.0.0.5, drain: true }`.
fn member(section: &Section<'_>, key: &str, value: &serde_yaml::Value) -> Option<(String, bool)> {
    let path = section.path(key);
    if !value.is_mapping() {
        return Some((section.read(&path, value)?, false));
    }
    let mut member = section.mapping(path, value)?;
    let address: Option<String> = member.take("address");
    if address.is_none() && member.value("address").is_none() {
        member.note("address", "it is missing: where does this member listen?");
    }
    let drain = member.take("drain").unwrap_or_default();
    member.finish();
    Some((address?, drain))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// RFC 6125 §6.2.1: the name to look for is the one that the administrator wrote.
    #[test]
    fn a_hosts_certificate_is_for_its_name() {
        let names = |backend: &str| -> Vec<Option<String>> {
            let text = format!(
                "certificates: [/a]\nhostname: mx.example.org\nstate_dir: /s\nbackends:\n  a: {{ tls: implicit, {backend} }}\n"
            );
            let config = Config::parse(&text).unwrap();
            config.backend_tls().into_iter().map(|tls| tls.name).collect()
        };
        let both = "addresses: [10.0.0.5, mail.internal.example.org]";
        assert_eq!(names(both), [None, Some("mail.internal.example.org".to_owned())]);
        let named = format!("{both}, tls_name: mail.example.org");
        assert_eq!(names(&named), [Some("mail.example.org".to_owned())]);
    }
}
