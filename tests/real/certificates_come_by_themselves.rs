//! Who has none gets one from an authority, and goes on getting them.

use std::{net::SocketAddr, path::Path};

use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{
    common::{
        commands::{mode, openssl},
        front::Front,
        mailhost::{Host, Talk},
        tls::{Client, NAME},
    },
    pebble::{Manner, Pebble},
};

/// A front on the ports that the authority looks at, before a polite IMAP server.
fn config(pebble: &Pebble, host: &Host, acme: &str) -> String {
    format!(
        "hostname: {NAME}\nbackend: {}\nlisteners:\n  - {{ bind: \"{}:{}\", protocol: imap, tls: implicit }}\n{acme}",
        host.backend.address, pebble.ground.address, pebble.tls
    )
}

fn arrived(front: &Front, from: usize) {
    front.wait("a certificate has come, and is served", from, |line| line["message"] == "reloaded");
}

/// What a client is shown that trusts the authority's root alone.
fn enter(pebble: &Pebble, to: SocketAddr) -> Vec<u8> {
    let mut client = Client::credulous().without_tickets();
    let mut roots = rustls::RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(pebble.root().as_bytes()).expect("PEM");
    roots.add(root).expect("a root");
    client.config =
        rustls::ClientConfig::builder_with_provider(client.config.crypto_provider().clone())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
    let mut peer = client.enter(to);
    let leaf = peer.leaf().to_vec();
    peer.until("* OK");
    leaf
}

fn state(front: &Front) -> std::path::PathBuf {
    front.folder.path().join("state/acme")
}

#[test]
fn by_a_handshake() {
    let pebble = Pebble::start(Manner::default());
    let host = Host::polite(Talk::Imap);
    let acme = pebble.as_yaml("tls-alpn-01", "  domains: [[mail.example.org, imap.example.org]]\n");
    let front = Front::start(&config(&pebble, &host, &acme));
    arrived(&front, 0);
    enter(&pebble, front.address(0));
    let file = state(&front).join("certificates/mail.example.org.ecdsa.pem");
    assert_eq!(mode(&file), 0o600);
    let text = openssl(Path::new("/"), &["x509", "-in", file.to_str().unwrap(), "-noout", "-text"]);
    assert!(
        text.contains("DNS:imap.example.org") && text.contains("DNS:mail.example.org"),
        "{text}"
    );
}
