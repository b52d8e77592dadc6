//! Certificates are renewed before they expire, while sessions are open.

use serde_json::Value;

use crate::{
    common::{commands::openssl, front::Front, tls::NAME},
    ordering::{Town, leaf, served},
    pebble::Manner,
};

/// The most that a certificate's life can be shortened to: it still has to come and go in a test.
fn short() -> Manner {
    Manner { validity: 18, sleeps: None, ..Manner::default() }
}

fn key_of(file: &std::path::Path) -> String {
    let folder = file.parent().unwrap();
    openssl(folder, &["x509", "-in", file.to_str().unwrap(), "-noout", "-pubkey"])
}

#[test]
fn before_they_expire_and_with_no_session_the_worse() {
    let town = Town::new(short());
    let front = Front::start(&town.config("tls-alpn-01", "  domains: mail.example.org\n"));
    served(&front, 0);
    let first = town.shown();
    let mut open = town.client().enter(town.address());
    open.until("* OK");
    let mut before = first;
    for _ in 0..2 {
        let mark = front.mark();
        front.wait("it is renewed", mark, |line| {
            line["message"] == "reloaded" && line["renewed"] == NAME
        });
        // The client verifies that it is valid.
        let now = town.shown();
        assert!(now != before);
        before = now;
        open.send("n NOOP\r\n");
        open.until("n OK");
    }
    let quiet = |line: &Value| line["level"] != "ERROR";
    assert!(front.log().iter().all(quiet));
}

#[test]
fn with_the_key_that_they_have() {
    let town = Town::new(short());
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n  reuse_key: true\n");
    let front = Front::start(&config);
    served(&front, 0);
    let file = town.certificate(NAME);
    let (before, key) = (leaf(&file), key_of(&file));
    town.command(&config, &["acme", "renew"]).with(0);
    assert!(leaf(&file) != before && key_of(&file) == key, "another certificate for the same key");
}

/// The record of the key of a certificate, as its content.
fn record(town: &Town, key: &str) -> String {
    let folder = town.folder.path();
    let (pem, der) = (town.folder.write("key.pem", key), folder.join("key.der"));
    let (pem, der) = (pem.to_str().unwrap(), der.to_str().unwrap());
    openssl(folder, &["pkey", "-pubin", "-in", pem, "-outform", "DER", "-out", der]);
    let digest = openssl(folder, &["dgst", "-sha256", der]);
    format!("3 1 1 {}", digest.trim().rsplit(' ').next().unwrap())
}

/// The next key's record can be published before the key is used.
#[test]
fn with_a_key_that_dns_knows_already() {
    let town = Town::new(Manner::default());
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n  stage_key: true\n");
    let front = Front::start(&config);
    served(&front, 0);
    let file = town.certificate(NAME);
    let before = key_of(&file);
    let dns = town.command(&config, &["dns"]).out;
    assert!(dns.contains(&record(&town, &before)), "{dns}");
    let mark = front.mark();
    town.command(&config, &["acme", "renew"]).with(0);
    served(&front, mark);
    let after = key_of(&file);
    assert!(after != before);
    assert!(dns.contains(&record(&town, &after)), "{} is not in {dns}", record(&town, &after));
    assert!(town.kept("certificates/mail.example.org.ecdsa.next.key").exists(), "and the next one");
}

/// Where it is written down what DNS knows, no key is used before DNS knows it.
#[test]
fn with_the_old_key_until_dns_knows_the_new_one() {
    let town = Town::new(Manner::default());
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n  stage_key: true\n");
    let front = Front::start(&config);
    served(&front, 0);
    let file = town.certificate(NAME);
    let (before, key) = (leaf(&file), key_of(&file));
    let next = town.kept("certificates/mail.example.org.ecdsa.next.key");
    let next = openssl(town.folder.path(), &["pkey", "-in", next.to_str().unwrap(), "-pubout"]);
    let published = |records: &[String]| {
        let lines = records.iter().map(|r| format!("    - _25._tcp.{NAME}. IN TLSA {r}\n"));
        format!("{config}dane:\n  records:\n{}", lines.collect::<String>())
    };
    let now = record(&town, &key);
    town.command(&published(std::slice::from_ref(&now)), &["acme", "renew"]).with(0);
    assert!(leaf(&file) != before && key_of(&file) == key, "it keeps the key");
    town.command(&published(&[now, record(&town, &next)]), &["acme", "renew"]).with(0);
    assert_eq!(key_of(&file), next, "and then changes it");
}
