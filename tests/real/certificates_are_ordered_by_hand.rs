//! `vestibule acme`: with a front that answers the authority, and without.

use std::net::TcpListener;

use serde_json::Value;

use crate::{
    common::{front::Front, tls::NAME},
    ordering::{Town, leaf, served},
    pebble::{Manner, Pebble},
};

const DOMAINS: &str = "  domains: [mail.example.org, pop.example.org]\n";

#[test]
fn beside_a_front_that_serves_them_at_once() {
    let town = Town::new(Manner { remembers: 0, ..Manner::default() });
    let config = town.config("tls-alpn-01", DOMAINS);
    let front = Front::start(&config);
    for name in [NAME, "pop.example.org"] {
        front.wait(name, 0, |line| {
            line["message"] == "a certificate has come" && line["names"] == name
        });
    }
    served(&front, 0);
    let said = town.command(&config, &["acme", "order"]).with(0);
    assert_eq!(said.matches("it is there, and not to be renewed yet").count(), 2, "{said}");

    let (mail, pop) = (town.certificate(NAME), town.certificate("pop.example.org"));
    let (before, other) = (leaf(&mail), leaf(&pop));
    let mark = front.mark();
    let said = town.command(&config, &["acme", "renew", NAME, "--json"]).with(0);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said[0]["outcome"], "issued");
    assert_eq!(said[0]["file"], mail.to_str().unwrap());
    front.wait("it is served", mark, |line| {
        line["message"] == "reloaded" && line["renewed"] == NAME
    });
    assert!(leaf(&mail) != before && leaf(&pop) == other);
    assert!(town.shown() == leaf(&mail));

    let before = leaf(&mail);
    let said =
        town.command(&config, &["acme", "revoke", NAME, "--reason", "key-compromise"]).with(0);
    assert!(said.contains("a certificate has come"), "{said}");
    assert!(leaf(&mail) != before, "there is another at once");
    assert!(town.pebble.said().contains("POST /revoke-cert"), "{}", town.pebble.said());

    let account = town.command(&config, &["acme", "account"]).with(0);
    assert!(account.contains("mailto:postmaster@example.org"), "{account}");
    let unknown = town.command(&config, &["acme", "order", "nobody.example.org"]).failed();
    assert!(unknown.contains("there are mail.example.org, pop.example.org"), "{unknown}");
}

#[test]
fn a_revoked_one_stays_so_if_that_is_what_was_said() {
    let town = Town::new(Manner::default());
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n");
    let front = Front::start(&config);
    served(&front, 0);
    town.command(&config, &["acme", "revoke", "--only"]).with(0);
    let list = town.command(&config, &["certs"]).with(1);
    assert!(list.contains("was revoked"), "{list}");
    let said = town.command(&config, &["acme", "order"]).with(0);
    assert!(said.contains("a certificate has come"), "{said}");
    town.command(&config, &["certs"]).with(0);
}

/// A staging authority that looks at the same front, and a configuration that knows both.
fn with_staging(town: &Town, challenge: &str) -> (Pebble, String) {
    let mut staging = Pebble::down(Manner::default());
    (staging.tls, staging.http) = (town.pebble.tls, town.pebble.http);
    staging.looks_at(town.pebble.ground.address);
    staging.come();
    let both = town.folder.write(
        "both.pem",
        [town.pebble.trust(), staging.trust()]
            .map(|f| std::fs::read_to_string(f).unwrap())
            .concat(),
    );
    let config = town.config(challenge, "  domains: mail.example.org\n");
    let trust = format!("trust: {}", town.pebble.trust().display());
    let config = config
        .replace(&trust, &format!("trust: {}\n  staging: {}", both.display(), staging.directory()));
    (staging, config)
}

/// Before anything goes live, and with the authority itself none the wiser.
#[test]
fn a_rehearsal_needs_no_front() {
    let town = Town::new(Manner::default());
    let mut last = String::new();
    for challenge in ["tls-alpn-01", "http-01"] {
        let (staging, config) = with_staging(&town, challenge);
        let said = town.command(&config, &["acme", "order", "--dry-run"]).with(0);
        assert!(said.contains("a certificate has come"), "{said}");
        assert!(staging.said().contains("Issued certificate"), "{}", staging.said());
        assert!(!town.folder.path().join("state").exists(), "it leaves nothing");
        last = config;
    }
    assert!(!town.pebble.said().contains("There are now 1 accounts"), "{}", town.pebble.said());
    let said = town.command(&last, &["acme", "revoke", "--dry-run"]).failed();
    assert!(said.contains("no certificate that could be revoked"), "{said}");
    let _taken = TcpListener::bind((town.pebble.ground.address, town.pebble.http)).unwrap();
    let said = town.command(&last, &["acme", "order", "--dry-run"]).failed();
    assert!(said.contains("cannot listen on") && said.contains("free the port"), "{said}");
}

#[test]
fn a_rehearsal_leaves_nothing_behind() {
    let town = Town::new(Manner::default());
    let (staging, config) = with_staging(&town, "tls-alpn-01");
    town.command(&config, &["acme", "account", "--dry-run"]).with(0);
    assert!(!town.folder.path().join("state").exists(), "not even a folder");
    let front = Front::start(&config);
    served(&front, 0);
    let before = leaf(&town.certificate(NAME));
    let said = town.command(&config, &["acme", "renew", "--dry-run"]).with(0);
    assert!(said.contains("a certificate has come"), "{said}");
    assert!(staging.said().contains("Issued certificate"), "{}", staging.said());
    assert!(leaf(&town.certificate(NAME)) == before);
    let left: Vec<String> = crate::common::commands::names(&town.kept(""));
    assert_eq!(left, ["accounts", "answers.sock", "certificates", "state"]);
    assert_eq!(std::fs::read_dir(town.kept("accounts")).unwrap().count(), 1);
}

#[test]
fn without_a_front_it_is_said_what_is_missing() {
    let town = Town::new(Manner::default());
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n");
    let said = town.command(&config, &["acme", "order"]).with(2);
    assert!(said.contains("start it, and it orders by itself"), "{said}");
}
