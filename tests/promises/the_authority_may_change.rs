//! Who configures another authority, or another of its profiles, gets a certificate from there at once;
//! until it is there, the one that was there is served.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use serde_json::json;

use crate::{
    authority::{Authority, Script},
    common::{front::Front, tls::NAME},
    office::Office,
};

fn come(front: &Front, from: usize) {
    front.wait("it has come", from, |line| line["message"] == "a certificate has come");
}

#[test]
fn from_one_authority_to_another() {
    let office = Office::new(Script::default());
    let config = office.config(NAME);
    let front = Front::start(&config);
    come(&front, 0);
    let before = fs::read(office.certificate(NAME)).unwrap();

    let is_up = Arc::new(AtomicBool::new(false));
    let up = is_up.clone();
    let other = Authority::start(
        &office.ca,
        Script {
            instead: Box::new(move |path| {
                (path == "/order" && !up.load(SeqCst)).then(|| (503, "", json!({})))
            }),
            ..Script::default()
        },
    );
    let config = config.replace(&office.authority.directory(), &other.directory());
    let mark = front.mark();
    front.configure(&config);
    front.reload();
    front.wait("it is said", mark, |line| line["level"] == "WARN" && line["names"] == NAME);
    assert!(fs::read(office.certificate(NAME)).unwrap() == before, "it is served until then");
    // It is revoked by the one who has issued it.
    office.command(&config, &["acme", "revoke", "--only"]).with(0);
    assert_eq!((office.authority.asked("/revoke"), other.asked("/revoke")), (1, 0));

    is_up.store(true, SeqCst);
    office.command(&config, &["acme", "order"]).with(0);
    let orders = other.orders();
    let [order] = orders.as_slice() else { panic!("one order: {orders:?}") };
    assert!(order["replaces"].is_null(), "it knows nothing of the other's: {order}");
    let told = office.told(NAME);
    assert_eq!(told["held_from"]["directory"], other.directory(), "{told}");
}

#[test]
fn from_one_profile_to_another() {
    let office = Office::new(Script::default());
    let config = office.config(NAME);
    let front = Front::start(&config);
    come(&front, 0);
    let mark = front.mark();
    front.configure(&format!("{config}  profile: short\n"));
    front.reload();
    come(&front, mark);
    let orders = office.authority.orders();
    let profiles: Vec<&str> =
        orders.iter().map(|order| order["profile"].as_str().unwrap_or("none")).collect();
    assert_eq!(profiles, ["none", "short"]);
    assert!(orders[1]["replaces"].is_string(), "it knows its own: {}", orders[1]);
}
