//! An account that the authority does not know any more, or whose key is gone, is made anew, whatever is
//! wanted of it.

use std::fs;

use serde_json::{Value, json};

use crate::{
    authority::Script,
    common::{front::Front, tls::NAME},
    office::Office,
};

/// An office with a certificate that has come, and its configuration.
fn settled(script: Script) -> (Office, String, Front) {
    let office = Office::new(script);
    let config = office.config(NAME);
    let front = Front::start(&config);
    office.told_when(NAME, |told| told["ask"].is_i64());
    (office, config, front)
}

fn account(office: &Office, config: &str) -> Value {
    let said = office.command(config, &["acme", "account", "--json"]).with(0);
    serde_json::from_str(&said).expect("JSON")
}

fn number(account: &Value) -> &str {
    account["address"].as_str().unwrap().rsplit('/').next().unwrap()
}

#[test]
fn it_is_asked_what_it_knows() {
    let (office, config, _front) = settled(Script::default());
    let said = office.command(&config, &["acme", "account"]).with(0);
    assert!(said.contains("status     valid\ncontact    mailto:known@example.org\n"), "{said}");
    assert_eq!(office.authority.asked("/account/"), 1, "it is not only read here");
}

#[test]
fn it_is_said_that_an_account_is_over() {
    let (office, config, _front) = settled(Script {
        instead: Box::new(|path| {
            (path == "/account/1").then(|| (200, "", json!({ "status": "deactivated" })))
        }),
        ..Script::default()
    });
    let said = office.command(&config, &["acme", "account"]).failed();
    assert!(said.contains("account/1 is deactivated with the authority: move "), "{said}");
}

#[test]
fn and_revokes_all_the_same() {
    let (office, config, _front) = settled(Script::default());
    office.authority.forget();
    office.command(&config, &["acme", "revoke", "--only"]).with(0);
    assert_eq!(number(&account(&office, &config)), "2");
}

#[test]
fn although_the_contact_has_changed() {
    let (office, config, _front) = settled(Script::default());
    office.authority.forget();
    let config = format!("{config}  contact: hostmaster@example.org\n");
    office.command(&config, &["acme", "renew"]).with(0);
    assert_eq!(number(&account(&office, &config)), "2");
}

#[test]
fn although_the_key_is_gone() {
    let (office, config, _front) = settled(Script::default());
    let place = fs::read_dir(office.folder.path().join("state/acme/accounts")).unwrap().next();
    fs::remove_file(place.unwrap().unwrap().path().join("account.key")).unwrap();
    office.command(&config, &["acme", "renew"]).with(0);
    assert_eq!(number(&account(&office, &config)), "2");
}

/// RFC 8555 §7.6: who has the key of a certificate may have it revoked.
#[test]
fn although_it_was_ordered_by_another_account() {
    let asked = std::sync::atomic::AtomicBool::new(false);
    let (office, config, _front) = settled(Script {
        instead: Box::new(move |path| {
            let is_first =
                path == "/revoke" && !asked.swap(true, std::sync::atomic::Ordering::SeqCst);
            let problem = json!({ "type": "urn:ietf:params:acme:error:unauthorized" });
            is_first.then_some((403, "", problem))
        }),
        ..Script::default()
    });
    office.command(&config, &["acme", "revoke", "--only"]).with(0);
    assert_eq!(office.authority.asked("/revoke"), 2);
}
