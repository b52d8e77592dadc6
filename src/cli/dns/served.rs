//! What is served, as DNS sees it: hosts, ports, certificates.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use crate::{
    certs::{
        Certificate, Code, Finding, KeyKind, Severity,
        tlsa::{self, NextKey},
    },
    config::Listener,
    daemon::Loaded,
    protocol::Protocol,
    values::TlsMode,
};

/// What is served.
pub(super) struct Served<'a> {
    loaded: &'a Loaded,
    /// Our own name, in lower case.
    pub(super) hostname: String,
    /// Names that clients can ask for, without wildcards.
    pub(super) hosts: BTreeSet<String>,
    /// Wildcards, with the asterisk.
    pub(super) wildcards: BTreeSet<String>,
    /// Where mail is spoken with TLS.
    pub(super) doors: BTreeSet<Door>,
    /// Keys that are to follow, by the file of the certificate.
    next: BTreeMap<PathBuf, NextKey>,
    /// What is wrong with those.
    pub(super) findings: Vec<Finding>,
}

/// A port on which mail is spoken with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Door {
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    pub(super) is_implicit: bool,
}

impl<'a> Served<'a> {
    pub(super) fn new(loaded: &'a Loaded) -> Self {
        let names = loaded.store.certificates.iter().flat_map(|c| c.names()).cloned();
        let (wildcards, mut hosts): (BTreeSet<String>, BTreeSet<String>) =
            names.partition(|name| name.starts_with('*'));
        let hostname = loaded.config.hostname.to_ascii_lowercase();
        if loaded.set.covers(&hostname) {
            hosts.insert(hostname.clone());
        }
        let mut served = Self {
            loaded,
            hostname,
            hosts,
            wildcards,
            doors: loaded.config.listeners.iter().flat_map(doors).collect(),
            next: BTreeMap::new(),
            findings: Vec::new(),
        };
        served.find_next_keys();
        served
    }

    /// The certificates that clients of this name get, one for each kind of key. None: no
    /// certificate covers it.
    pub(super) fn certificates(&self, name: &str) -> Vec<&'a Arc<Certificate>> {
        // Any name below a wildcard gets what all of them get.
        let name = name.replacen('*', "any", 1);
        if !self.loaded.set.covers(&name) {
            return Vec::new();
        }
        let choice = self.loaded.set.choose(Some(&name), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let mut found: Vec<&Arc<Certificate>> = Vec::new();
        for certificate in [KeyKind::Ecdsa, KeyKind::Rsa]
            .into_iter()
            .filter_map(|kind| choice.certificate(kind.schemes()))
        {
            if !found.iter().any(|known| Arc::ptr_eq(known, certificate)) {
                found.push(certificate);
            }
        }
        found
    }

    /// The key that is to follow this certificate's.
    pub(super) fn next(&self, certificate: &Certificate) -> Option<&NextKey> {
        self.next.get(certificate.file())
    }

    fn find_next_keys(&mut self) {
        let mut claims: BTreeMap<PathBuf, BTreeSet<&[String]>> = BTreeMap::new();
        for certificate in &self.loaded.store.certificates {
            match tlsa::next_key(certificate.file()) {
                Ok(None) => {}
                Ok(Some(next)) => {
                    claims.entry(next.file.clone()).or_default().insert(certificate.names());
                    self.next.insert(certificate.file().to_owned(), next);
                }
                // What is wrong with it may have been said when it was loaded.
                Err(finding) => {
                    let mut known = self.loaded.store.findings.iter().chain(&self.findings);
                    if known.all(|known| known.file != finding.file) {
                        self.findings.push(Finding { severity: Severity::Warning, ..finding });
                    }
                }
            }
        }
        // One key is not the next of two certificates that have nothing to do with each other.
        for (file, _) in claims.into_iter().filter(|(_, names)| names.len() > 1) {
            self.next.retain(|_, next| next.file != file);
            let text = "it could be the next key of several certificates here: name it NAME.next.key, beside NAME.pem";
            let finding = Finding::new(Code::Unreadable, file, text);
            self.findings.push(Finding { severity: Severity::Warning, ..finding });
        }
    }
}

fn doors(listener: &Listener) -> Vec<Door> {
    let is_mail = !matches!(listener.protocol, Protocol::Http | Protocol::Raw);
    if !is_mail || listener.tls == TlsMode::None {
        return Vec::new();
    }
    let ports = listener.bind.iter().map(std::net::SocketAddr::port).filter(|port| *port != 0);
    let (protocol, is_implicit) = (listener.protocol, listener.tls == TlsMode::Implicit);
    ports.map(|port| Door { port, protocol, is_implicit }).collect()
}
