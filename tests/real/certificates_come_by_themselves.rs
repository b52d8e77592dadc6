//! Who has no certificate gets one from an authority.

use std::path::Path;

use crate::{
    common::{
        ca::{Ca, Kind},
        commands::{mode, openssl},
        front::Front,
        peer::connect,
        tls::{Client, NAME},
    },
    knot::Knot,
    ordering::{Town, served},
    pebble::{Manner, Pebble},
};

const DOMAINS: &str = "  domains: [[mail.example.org, imap.example.org]]\n";

fn text(file: &Path) -> String {
    openssl(Path::new("/"), &["x509", "-in", file.to_str().unwrap(), "-noout", "-text"])
}

#[test]
fn by_a_handshake() {
    let town = Town::new(Manner::default());
    let front = Front::start(&town.config("tls-alpn-01", DOMAINS));
    // Until then everybody gets one that is made here.
    Client::credulous().enter(town.address()).until("* OK");
    served(&front, 0);
    town.shown();
    let file = town.certificate(NAME);
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let account = std::fs::read_dir(town.kept("accounts")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(mode(&account.join("account.key")), 0o600);
    let text = text(&file);
    assert!(
        text.contains("DNS:imap.example.org") && text.contains("DNS:mail.example.org"),
        "{text}"
    );
    assert!(!town.kept("certificates/mail.example.org.ecdsa.next.key").exists(), "it is used");
    // It is listed as what it is.
    let said = town.command(&town.config("tls-alpn-01", DOMAINS), &["certs"]);
    assert!(said.out.contains("ACME  ECDSA P-256"), "{}{}", said.out, said.err);
}

#[test]
fn by_a_request_in_clear() {
    let town = Town::new(Manner::default());
    let front = Front::start(&town.config("http-01", DOMAINS));
    served(&front, 0);
    town.shown();
}

/// By hand, the front answers for the command.
#[test]
fn by_a_request_in_clear_for_somebody_else() {
    let town = Town::new(Manner { remembers: 0, ..Manner::default() });
    let config = town.config("http-01", DOMAINS);
    let front = Front::start(&config);
    served(&front, 0);
    town.command(&config, &["acme", "renew"]).with(0);
}

#[test]
fn an_authority_that_was_not_sent_for_gets_no_answer() {
    let town = Town::new(Manner::default());
    let front = Front::start(&town.config("tls-alpn-01", DOMAINS));
    served(&front, 0);
    let mark = front.mark();
    let asking = town.client().alpn(&["acme-tls/1"]);
    let refused = asking.shake(connect(town.address())).map(drop).unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    let summary = front.summary(mark);
    assert!(summary["end"].as_str().unwrap().contains("ACME challenge"), "{summary}");
    // Only who offers nothing else is an authority.
    let mut peer = town.client().alpn(&["acme-tls/1", "imap"]).enter(town.address());
    peer.until("* OK");
}

#[test]
fn by_dns() {
    let town = Town::new(Manner::default());
    // What the hook is told goes to the authority's DNS server; and is written down.
    let hook = town.folder.program(
        "hook",
        format!(
            "#!/bin/sh -e\necho \"$1 $2\" >>{}\ncase $1 in\npresent) curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" http://{1}/set-txt ;;\ncleanup) curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\"}}\" http://{1}/clear-txt ;;\nesac\n",
            town.folder.path().join("heard").display(),
            town.pebble.dns_management()
        ),
    );
    let more = format!("  hook: {}\n  domains: [[\"*.example.org\", {NAME}]]\n", hook.display());
    let front = Front::start(&town.config("dns-01", &more));
    served(&front, 0);
    town.shown();
    assert!(text(&town.certificate("_wildcard.example.org")).contains("DNS:*.example.org"));
    let heard = std::fs::read_to_string(town.folder.path().join("heard")).unwrap();
    let count = |line: &str| heard.lines().filter(|l| *l == line).count();
    for name in ["_acme-challenge.example.org", "_acme-challenge.mail.example.org"] {
        let (given, taken) = (count(&format!("present {name}")), count(&format!("cleanup {name}")));
        assert_eq!((given, taken), (1, 1), "{heard}");
    }
}

/// RFC 2136, with the hook that is shipped: a DNS server takes the record, shows it to the authority, and lets
/// go of it; what the key may not change is refused in its own words.
#[test]
fn by_updates_of_a_zone() {
    let mut pebble = Pebble::down(Manner::default());
    let at = (pebble.ground.address, pebble.ground.port()).into();
    let ours = ["_acme-challenge.example.org", "_acme-challenge.mail.example.org"];
    let dns = Knot::start(at, &ours);
    pebble.asks(dns.address);
    pebble.come();
    let town = Town::of(pebble);
    let hook = dns.hook();
    let more = |domains: &str| format!("  hook: {}\n  domains: {domains}\n", hook.display());
    let first = "[\"*.example.org\", mail.example.org]";
    let front = Front::start(&town.config("dns-01", &more(&format!("[{first}]"))));
    served(&front, 0);
    town.shown();
    for name in ours {
        assert_eq!(dns.records(name), "", "{name}");
    }
    let mark = front.mark();
    front.configure(&town.config("dns-01", &more(&format!("[{first}, pop.example.org]"))));
    front.reload();
    let said =
        front.wait("it is said", mark, |line| line["level"] == "WARN" && line["names"].is_string());
    assert!(said["message"].as_str().unwrap().contains("update failed: NOTAUTH"), "{said}");
}

#[test]
fn with_a_key_for_everybody() {
    let town = Town::new(Manner::default());
    let front =
        Front::start(&town.config("tls-alpn-01", "  domains: mail.example.org\n  key: both\n"));
    let (ecdsa, rsa) =
        (town.certificate(NAME), town.kept("certificates/mail.example.org.rsa2048.pem"));
    served(&front, 0);
    let both = |_: &serde_json::Value| ecdsa.exists() && rsa.exists();
    front.wait("both are there", 0, both);
    assert!(text(&rsa).contains("rsaEncryption") && text(&ecdsa).contains("id-ecPublicKey"));
}

/// RFC 8738: clients that know no name come to an address, and are shown what is for it.
#[test]
fn for_an_address() {
    let town = Town::new(Manner::default());
    let address = town.pebble.ground.address;
    let domains = format!("  domains: [mail.example.org, [{address}, imap.example.org]]\n");
    let config = town.config("tls-alpn-01", &domains);
    let front =
        Front::start(&format!("{config}certificate_by_address: {{ {address}: {address} }}\n"));
    front.wait("it has come", 0, |line| {
        line["message"] == "a certificate has come"
            && line["names"] == format!("{address}, imap.example.org")
    });
    front.wait("it is served", 0, |line| {
        line["message"] == "reloaded"
            && line["added"].as_str().is_some_and(|added| added.contains("imap.example.org"))
    });
    town.client().asking(&address.to_string()).enter(town.address()).until("* OK");
}

/// What is added to the configuration is ordered at once, and what was there is left alone.
#[test]
fn a_new_name_is_ordered_at_once() {
    let town = Town::new(Manner::default());
    let front = Front::start(&town.config("tls-alpn-01", DOMAINS));
    served(&front, 0);
    let before = town.shown();
    let mark = front.mark();
    let more = "  domains: [[mail.example.org, imap.example.org], pop.example.org]\n";
    front.configure(&town.config("tls-alpn-01", more));
    front.reload();
    front.wait("it has come", mark, |line| {
        line["message"] == "a certificate has come" && line["names"] == "pop.example.org"
    });
    front.wait("it is served", mark, |line| {
        line["message"] == "reloaded" && line["added"] == "pop.example.org"
    });
    town.client().asking("pop.example.org").enter(town.address()).until("* OK");
    assert!(town.shown() == before, "nothing else is ordered");
}

#[test]
fn although_the_authority_is_down_at_first() {
    let mut town = Town::of(Pebble::down(Manner::default()));
    let config = town.config("tls-alpn-01", DOMAINS);
    let front = Front::start(&config);
    let said =
        front.wait("it is said", 0, |line| line["level"] == "WARN" && line["names"].is_string());
    assert!(said["message"].as_str().unwrap().contains("it cannot be reached"), "{said}");
    Client::credulous().enter(town.address()).until("* OK");
    let list = town.command(&config, &["certs"]).with(1);
    assert!(
        list.contains("V024: no new certificate for mail.example.org, imap.example.org"),
        "{list}"
    );
    town.pebble.come();
    served(&front, 0);
    town.shown();
}

#[test]
fn although_the_authority_takes_its_time() {
    let town = Town::new(Manner { sleeps: Some(3), ..Manner::default() });
    town.pebble.falls_asleep();
    let config = town.config("tls-alpn-01", DOMAINS);
    let front = Front::start(&config);
    Client::credulous().enter(town.address()).until("* OK");
    let list = town.command(&config, &["certs"]).with(1);
    assert!(list.contains("V025: a certificate for mail.example.org"), "{list}");
    town.pebble.wakes_up();
    served(&front, 0);
    town.shown();
}

/// What is damaged is named, and stays as it is until another is there.
#[test]
fn although_the_one_that_was_there_is_damaged() {
    let town = Town::new(Manner::default());
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n  reuse_key: true\n");
    let file = town.certificate(NAME);
    let front = Front::start(&config);
    served(&front, 0);
    drop(front);
    let whole = std::fs::read_to_string(&file).unwrap();
    let (_, certificates) = whole.split_once("-----END PRIVATE KEY-----\n").unwrap();
    let other = Ca::new("Other").leaf(&[NAME], Kind::Ecdsa).key + certificates;
    for damaged in ["", &whole[..whole.len() / 3], &other] {
        std::fs::write(&file, damaged).unwrap();
        town.pebble.falls_asleep();
        let front = Front::start(&config);
        front.wait("it is named", 0, |line| {
            line["level"] == "ERROR" && line["message"].as_str().unwrap().contains("ecdsa.pem: V0")
        });
        town.seen(NAME);
        let list = town.command(&config, &["certs"]).with(2);
        assert!(list.contains("V025: a certificate for mail.example.org"), "{list}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged);
        town.pebble.wakes_up();
        served(&front, 0);
        town.shown();
    }
}

/// Some authorities know their customers already.
#[test]
fn from_one_that_knows_us_by_another_name() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let external = Some(("kid-1".to_owned(), key.to_owned()));
    let town = Town::new(Manner { external, ..Manner::default() });
    let front = Front::start(&town.config("tls-alpn-01", DOMAINS));
    let said =
        front.wait("it is said", 0, |line| line["level"] == "WARN" && line["names"].is_string());
    assert!(said["message"].as_str().unwrap().contains("`external_account`"), "{said}");
    let file = town.folder.write("hmac", format!("{key}\n"));
    let more =
        format!("{DOMAINS}  external_account: {{ key_id: kid-1, key_file: {} }}\n", file.display());
    front.configure(&town.config("tls-alpn-01", &more));
    let mark = front.mark();
    front.reload();
    front.wait("a certificate has come", mark, |line| line["message"] == "a certificate has come");
}
