//! A front that has its certificates from Pebble, and what its clients see of it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    common::{
        commands::{Said, vestibule},
        folder::Folder,
        front::Front,
        mailhost::{Host, Talk},
        tls::{Client, NAME},
    },
    pebble::{Manner, Pebble},
};

/// An authority, a polite IMAP server, and what the front before it keeps.
pub(crate) struct Town {
    pub(crate) pebble: Pebble,
    pub(crate) host: Host,
    pub(crate) folder: Folder,
}

impl Town {
    pub(crate) fn new(manner: Manner) -> Self {
        Self::of(Pebble::start(manner))
    }

    pub(crate) fn of(pebble: Pebble) -> Self {
        Self { pebble, host: Host::polite(Talk::Imap), folder: Folder::new() }
    }

    /// A front at the ports that the authority looks at.
    pub(crate) fn config(&self, challenge: &str, more: &str) -> String {
        format!(
            "hostname: {NAME}\nbackend: {}\nlog: json debug\nstate_dir: {}\nlisteners:\n  - {{ bind: \"{}\", protocol: imap, tls: implicit }}\n  - {{ bind: \"{}:{}\", protocol: http, tls: none }}\n{}",
            self.host.backend.address,
            self.folder.path().join("state").display(),
            self.address(),
            self.pebble.ground.address,
            self.pebble.http,
            self.pebble.as_yaml(challenge, more)
        )
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (self.pebble.ground.address, self.pebble.tls).into()
    }

    /// A file below what the front keeps for the authority.
    pub(crate) fn kept(&self, name: &str) -> PathBuf {
        self.folder.path().join("state/acme").join(name)
    }

    /// Where the certificate that begins with this name lies.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.kept(&format!("certificates/{name}.ecdsa.pem"))
    }

    /// Runs `vestibule` on this configuration.
    pub(crate) fn command(&self, config: &str, arguments: &[&str]) -> Said {
        self.folder.write("command.yaml", config);
        vestibule(self.folder.path(), &[arguments, &["--config", "command.yaml"]].concat())
    }

    /// A client that trusts the authority's root alone.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::credulous();
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.pebble.root().as_bytes()).expect("PEM");
        roots.add(root).expect("a root");
        let provider = client.config.crypto_provider().clone();
        client.config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.without_tickets()
    }

    /// The leaf that a client is shown, which trusts the authority's root alone.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let mut peer = self.client().enter(self.address());
        let leaf = peer.leaf().to_vec();
        peer.until("* OK");
        leaf
    }

    /// The leaf that somebody is shown who asks for this name, whatever it is worth.
    pub(crate) fn seen(&self, name: &str) -> Vec<u8> {
        let client = Client::credulous().asking(name).without_tickets();
        client.enter(self.address()).leaf().to_vec()
    }
}

/// Waits until a certificate that came by itself is served.
pub(crate) fn served(front: &Front, from: usize) {
    front.wait("a certificate has come, and is served", from, |line| line["message"] == "reloaded");
}

/// The leaf in a file, as its first PEM block that is a certificate.
pub(crate) fn leaf(file: &Path) -> Vec<u8> {
    let text = std::fs::read(file).expect("a certificate");
    CertificateDer::from_pem_slice(&text).expect("PEM").to_vec()
}
