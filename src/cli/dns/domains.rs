//! The records of each domain: of its hosts, and of its mail.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    mail,
    served::Served,
    zone::{Line, Record, quoted},
};
use crate::certs::{
    caa::{self, Issuer},
    tlsa::{self, Service},
};

/// A domain and what is to be published in it.
#[derive(Debug, Serialize)]
pub(super) struct Domain {
    domain: String,
    /// Whether we took it from the names of hosts.
    guessed: bool,
    lines: Vec<Line>,
}

impl Domain {
    pub(super) fn write(&self, ttl: Option<u32>, text: &mut String) {
        text.push_str("; ");
        text.push_str(&self.domain);
        text.push('\n');
        self.lines.iter().for_each(|line| line.write(ttl, text));
        text.push('\n');
    }
}

/// All domains, in the order of the alphabet. `stated`: those that have their mail here.
pub(super) fn domains(served: &Served<'_>, stated: &[String]) -> Vec<Domain> {
    let mut hosts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for domain in stated {
        hosts.entry(domain.clone()).or_default();
    }
    for name in served.hosts.iter().chain(&served.wildcards) {
        hosts.entry(domain_of(name, stated)).or_default().insert(name);
    }
    let domain = |(domain, names): (String, BTreeSet<&str>)| {
        let guessed = !stated.contains(&domain);
        let mut lines = Vec::new();
        let own: Vec<&str> = names.iter().copied().filter(|n| !n.starts_with('*')).collect();
        // Who has said which domains have their mail here has said that others have not. Of a domain
        // that is only guessed, and has no host, there is nothing to tell.
        let is_guess = stated.is_empty() && !own.is_empty() && domain.contains('.');
        if !guessed || is_guess {
            if guessed {
                lines.push(Line::note(
                    "that mail goes to addresses in this domain is guessed from the names of the hosts; --domain NAME says it",
                ));
            }
            mail::lines(served, &domain, &own, &mut lines);
        }
        for name in names {
            host(served, name, &mut lines);
        }
        Domain { domain, guessed, lines }
    };
    hosts.into_iter().map(domain).collect()
}

/// The domain that a host is in: a stated one, or else the name above its own.
fn domain_of(name: &str, stated: &[String]) -> String {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_in = |domain: &&String| {
        host.strip_suffix(domain.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    if let Some(domain) = stated.iter().filter(is_in).max_by_key(|domain| domain.len()) {
        return domain.clone();
    }
    if host.len() < name.len() {
        return host.to_owned();
    }
    match host.split_once('.') {
        Some((_, parent)) if !is_registry(parent) => parent.to_owned(),
        _ => host.to_owned(),
    }
}

/// Whether names are sold below this one: `org`, `co.uk`. It is a guess, and is said to be one.
fn is_registry(name: &str) -> bool {
    match name.split_once('.') {
        None => true,
        Some((second, top)) => top.len() == 2 && !top.contains('.') && second.len() <= 3,
    }
}

/// TLSA and CAA of a host.
fn host(served: &Served<'_>, name: &str, lines: &mut Vec<Line>) {
    let wildcard = name.strip_prefix("*.");
    let certificates = served.certificates(name);
    let mut keys: Vec<(Vec<u8>, String)> = Vec::new();
    let mut add = |key: Option<Vec<u8>>, what: String| {
        if let Some(key) = key.filter(|key| keys.iter().all(|(known, _)| known != key)) {
            keys.push((key, what));
        }
    };
    for certificate in &certificates {
        let leaf = certificate.leaf();
        add(tlsa::key_of(leaf), format!("the key of {}", certificate.file().display()));
    }
    for next in certificates.iter().filter_map(|c| served.next(c)) {
        add(Some(next.spki.clone()), format!("the next key, {}", next.file.display()));
    }
    if wildcard.is_some() && !keys.is_empty() {
        lines.push(Line::note(format!("which hosts use {name} is not known; for each of them:")));
    }
    let mut ports: Vec<u16> = served.doors.iter().map(|door| door.port).collect();
    ports.dedup();
    for port in ports {
        for (key, what) in &keys {
            let host = wildcard.map_or_else(|| name.to_owned(), |parent| format!("HOST.{parent}"));
            let record = tlsa::Record::of_key(Service { host, port }, key);
            let (owner, data) = (record.service.to_string(), record.content());
            let record = Record::new(owner, "TLSA", data, what);
            lines.push(match wildcard {
                None => Line::Record(record),
                Some(_) => Line::Template(record),
            });
        }
    }
    let leafs = certificates.iter().map(|c| c.leaf());
    authorities(name, wildcard, &leafs.map(caa::issuer).collect(), lines);
}

/// CAA records for the authorities that have issued a name's certificates (RFC 8659). They stand at
/// the host, where they bind nobody else.
fn authorities(
    name: &str,
    wildcard: Option<&str>,
    issuers: &BTreeSet<Issuer>,
    lines: &mut Vec<Line>,
) {
    // One record keeps out all authorities that have none, so all of them are known, or none is said.
    let is_known = issuers.iter().all(|i| !matches!(i, Issuer::Unknown(_)));
    let owner = format!("{}.", wildcard.unwrap_or(name));
    for issuer in issuers {
        let (domain, note) = match issuer {
            Issuer::Itself => continue,
            Issuer::Known(domain) => (*domain, String::new()),
            Issuer::Unknown(issuer) => {
                ("AUTHORITY", format!("{issuer} says in its policy what stands for AUTHORITY"))
            }
        };
        lines.push(match wildcard {
            None if is_known => {
                let data = format!("0 issue {}", quoted(domain));
                Line::Record(Record::new(owner.clone(), "CAA", data, note))
            }
            None => {
                let data = format!("0 issue {}", quoted(domain));
                Line::Template(Record::new(owner.clone(), "CAA", data, note))
            }
            // At the domain it binds all wildcards below.
            Some(_) => {
                let note = if note.is_empty() { format!("for {name}") } else { note };
                let data = format!("0 issuewild {}", quoted(domain));
                Line::Template(Record::new(owner.clone(), "CAA", data, note))
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_domain_is_stated_or_the_name_above() {
        for (name, domain) in [
            ("mail.example.org", "example.org"),
            ("example.org", "example.org"),
            ("*.example.org", "example.org"),
            ("a.mail.example.org", "mail.example.org"),
            ("mail.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(domain_of(name, &[]), domain, "{name}");
        }
        let stated = ["example.org".to_owned(), "b.example.org".to_owned()];
        assert_eq!(domain_of("a.mail.example.org", &stated), "example.org");
        assert_eq!(domain_of("a.b.example.org", &stated), "b.example.org");
        assert_eq!(domain_of("mail.notexample.org", &stated), "notexample.org");
    }
}
