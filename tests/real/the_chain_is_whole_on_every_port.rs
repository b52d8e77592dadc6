//! Who trusts the root alone can verify us on every port: leaf and intermediate are sent, in order, nothing else.

use std::fs;

use crate::{
    clients::{self, Door, How, NAME, Protocol},
    common::front::Front,
    dovecot::Ssl,
    stage::{Backend, Stage},
};

/// The certificates in a text, each as the base64 between its markers.
fn certificates(text: &str) -> Vec<String> {
    text.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .map(|rest| rest.split("-----END").next().unwrap_or_default().split_whitespace().collect())
        .collect()
}

fn is_leaf_and_intermediate(seen: &str, backend: &Backend) {
    let sent = certificates(seen);
    let mut whole = certificates(&backend.leaf.cert);
    whole.extend(certificates(&backend.ca.intermediate.pem()));
    assert_eq!(whole.len(), 2);
    assert_eq!(sent, whole, "{seen}");
    assert!(seen.contains("Verify return code: 0 (ok)"), "{seen}");
}

/// T21.
#[test]
fn in_the_order_in_which_it_is_verified() {
    let stage = Stage::set(Ssl::Yes);
    for door in stage.doors() {
        is_leaf_and_intermediate(
            &clients::showcerts(&door, "127.0.0.1", Some(NAME), &[]),
            &stage.backend,
        );
    }
}

/// T21: the files that people really have: the leaf alone, its issuer in a file beside it, the root among them.
#[test]
fn from_files_that_lie_beside_each_other() {
    let backend = Backend::new(Ssl::No);
    fs::create_dir(backend.live()).unwrap();
    for (name, text) in [
        ("mail.crt", &backend.leaf.cert),
        ("mail.key", &backend.leaf.key),
        ("ca-bundle.crt", &format!("{}{}", backend.ca.root_pem(), backend.leaf.chain)),
    ] {
        fs::write(backend.live().join(name), text).unwrap();
    }
    let mut config = backend.as_yaml();
    config.push_str("listeners:\n  - { bind: \"127.0.0.1:0\", protocol: imap, tls: implicit, backend: dovecot }\n");
    let front = Front::start(&config);
    let door = Door {
        protocol: Protocol::Imap,
        how: How::Implicit,
        port: front.port(0),
        root: &backend.root,
    };
    is_leaf_and_intermediate(&clients::showcerts(&door, "127.0.0.1", Some(NAME), &[]), &backend);
}
