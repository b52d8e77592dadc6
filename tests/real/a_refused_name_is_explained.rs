//! An authority that says no is quoted, and those whom it does not mean are served.

use serde_json::Value;

use crate::{
    common::front::Front,
    ordering::{Town, served},
    pebble::Manner,
};

const DOMAINS: &str = "  domains: [mail.example.org, forbidden.example.org, lost.example.org]\n";

#[test]
fn in_the_authoritys_own_words() {
    let refused = vec!["forbidden.example.org".to_owned()];
    let town = Town::new(Manner { refused, ..Manner::default() });
    town.pebble.dns("set-servfail", "{\"host\":\"lost.example.org\"}");
    let config = town.config("tls-alpn-01", DOMAINS);
    let front = Front::start(&config);
    served(&front, 0);
    let failed = |name: &str| {
        front.wait(name, 0, |line| {
            line["names"] == name
                && line["message"].as_str().unwrap_or("").starts_with("no certificate yet")
        })
    };
    let said = failed("forbidden.example.org");
    assert!(said["message"].as_str().unwrap().contains("(rejectedIdentifier)"), "{said}");
    let said = failed("lost.example.org");
    let message = said["message"].as_str().unwrap();
    assert!(
        message.contains("lost.example.org: ") && message.contains("Could not resolve"),
        "{said}"
    );
    town.shown();
    let list = town.command(&config, &["certs"]).with(1);
    for part in [
        "forbidden.example.org: ",
        "(rejectedIdentifier)",
        "Could not resolve",
        "the next attempt is at ",
    ] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let list = town.command(&config, &["certs", "--json"]).with(1);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let codes: Vec<&str> =
        list["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap()).collect();
    assert_eq!(codes.iter().filter(|c| **c == "V024").count(), 2, "{list}");
    assert_eq!(list["certificates"][0]["acme"]["phase"], "fine");
    // Whoever mends it does not have to wait.
    town.pebble.dns("clear-servfail", "{\"host\":\"lost.example.org\"}");
    let mark = front.mark();
    front.reload();
    front.wait("it has come", mark, |line| {
        line["message"] == "a certificate has come" && line["names"] == "lost.example.org"
    });
}
