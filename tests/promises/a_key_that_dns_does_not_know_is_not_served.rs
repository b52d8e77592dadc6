//! DANE: a reload that would present a key that no declared TLSA record covers keeps the certificate
//! before it, or says so, as the policy wants: it would take the domain off the air (RFC 7671 §8.1).

use crate::{
    common::{
        ca::Kind,
        commands::vestibule,
        front::Front,
        mailhost::{Host, Talk},
        tls::NAME,
    },
    stage::Stage,
};

/// The record for what is served now, as we tell people to publish it.
fn published(stage: &Stage) -> String {
    let text = format!(
        "hostname: {NAME}\ncertificates: [{}]\nbackend: 10.0.0.5\n",
        stage.folder.path().join("live").display()
    );
    stage.folder.write("dns.yaml", text);
    let zone = vestibule(stage.folder.path(), &["dns", "--config", "dns.yaml"]).out;
    let line =
        zone.lines().find(|line| line.starts_with("_25._tcp.mail.example.org")).expect(&zone);
    line.to_owned()
}

fn start(stage: &Stage, host: &Host, more: &str) -> Front {
    let record = published(stage);
    stage.front(
        &[("imap", "implicit", host.backend.address)],
        &format!("dane: {{ records: ['{record}'] }}\n{more}"),
    )
}

fn leaf(stage: &Stage, front: &Front) -> Vec<u8> {
    stage.client().without_tickets().enter(front.address(0)).leaf().to_vec()
}

#[test]
fn at_a_reload_the_one_before_it_stays() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let front = start(&stage, &host, "");
    let before = leaf(&stage, &front);
    let renewed = stage.ca.leaf(&[NAME], Kind::Ecdsa);
    renewed.certbot(&stage.live(NAME));
    let mark = front.mark();
    front.reload();
    assert!(leaf(&stage, &front) == before, "the key that DNS knows is served on");
    let said = front
        .wait("it says why", mark, |line| line["message"].as_str().unwrap_or("").contains("V023"));
    assert_eq!(said["level"], "ERROR");
    let said = said["message"].as_str().unwrap();
    assert!(said.contains("_25._tcp.mail.example.org") && said.contains("TLSA 3 1 1 "), "{said}");

    // Published, it is served.
    let record = published(&stage);
    let config = stage.config(
        &[("imap", "implicit", host.backend.address)],
        &format!("dane: {{ records: ['{record}'] }}"),
    );
    front.configure(&config);
    front.reload();
    assert!(leaf(&stage, &front) != before);
}

#[test]
fn or_it_is_a_warning() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let front = start(&stage, &host, "lint: { V023: warn }");
    let before = leaf(&stage, &front);
    stage.ca.leaf(&[NAME], Kind::Ecdsa).certbot(&stage.live(NAME));
    let mark = front.mark();
    front.reload();
    assert!(leaf(&stage, &front) != before);
    let said = front
        .wait("it says so", mark, |line| line["message"].as_str().unwrap_or("").contains("V023"));
    assert_eq!(said["level"], "WARN");
}

/// With nothing to serve in its place, turning everybody away would help nobody.
#[test]
fn a_start_serves_it_and_says_so() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let record = published(&stage);
    let renewed = stage.ca.leaf(&[NAME], Kind::Ecdsa);
    renewed.certbot(&stage.live(NAME));
    let front = stage.front(
        &[("imap", "implicit", host.backend.address)],
        &format!("dane: {{ records: ['{record}'] }}"),
    );
    let said = front.log();
    let is_said = |line: &serde_json::Value| {
        line["level"] == "ERROR" && line["message"].as_str().unwrap_or("").contains("V023")
    };
    assert!(said.iter().any(is_said), "{said:?}");
    let mut peer = stage.client().enter(front.address(0));
    peer.until("* OK");
}
