//! What an authority has revoked is replaced, however often that fails at first, and is never taken for
//! good meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use serde_json::{Value, json};

use crate::{
    authority::Script,
    common::{front::Front, tls::NAME},
    office::Office,
};

fn problem(kind: &str) -> Value {
    json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "not now" })
}

#[test]
fn although_the_authority_does_not_issue_another_at_once() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let office = Office::new(Script {
        instead: Box::new(move |path| match path {
            "/order" if down.load(SeqCst) => Some((503, "", problem("serverInternal"))),
            // It was revoked when it was asked for the first time.
            "/revoke" if !down.load(SeqCst) => Some((400, "", problem("alreadyRevoked"))),
            _ => None,
        }),
        ..Script::default()
    });
    let config = office.config(NAME);
    let front = Front::start(&config);
    office.told_when(NAME, |told| told["ask"].is_i64());

    is_down.store(true, SeqCst);
    let said = office.command(&config, &["acme", "revoke"]).with(2);
    let revoked = "the certificate that is there is revoked, and no other has come: not now";
    assert!(said.contains(revoked), "{said}");
    assert_eq!(
        (office.authority.asked("/revoke"), office.told(NAME)["revoked"] == true),
        (1, true)
    );
    let list = office.command(&config, &["certs"]).with(1);
    assert!(list.contains(", and the one that is there was revoked: not now"), "{list}");
    let said = office.command(&config, &["acme", "order"]).with(2);
    assert!(said.contains(revoked), "{said}");

    // The front tries on, and does not take it for good.
    let before = office.told(NAME)["failures"].as_u64().unwrap();
    front.reload();
    let told = office.told_when(NAME, |told| told["failures"].as_u64() > Some(before));
    assert_eq!(told["revoked"], true);

    is_down.store(false, SeqCst);
    let said = office.command(&config, &["acme", "revoke"]).with(0);
    assert!(said.contains("a certificate has come"), "{said}");
    assert_eq!(
        (office.authority.asked("/revoke"), office.told(NAME)["revoked"] == true),
        (2, false)
    );
}
