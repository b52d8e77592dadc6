//! With no certificate at all, a self-signed one is made, kept and loudly named; and never in place of
//! one that has failed to load.

use crate::{
    common::{
        commands::{mode, names, openssl, vestibule},
        front::Front,
        mailhost::{Host, Talk},
        tls::{Client, NAME},
    },
    stage::Stage,
};

/// With these lines in place of `certificates`.
fn config(stage: &Stage, host: &Host, certificates: &str) -> String {
    let text = stage.config(&[("imap", "implicit", host.backend.address)], "");
    let own = text.lines().find(|line| line.starts_with("certificates:")).unwrap().to_owned();
    text.replace(&own, certificates)
}

/// The leaf that a client of this name gets, whatever it is worth.
fn shown(front: &Front) -> Vec<u8> {
    Client::credulous().without_tickets().enter(front.address(0)).leaf().to_vec()
}

#[test]
fn it_makes_one_and_keeps_it() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let state = stage.folder.path().join("state");
    let text = config(&stage, &host, "aliases: [imap.example.org]");
    let text = format!("{text}state_dir: {}\n", state.display());
    let front = Front::start(&text);
    let said = front.wait("it says so", 0, |line| {
        line["message"].as_str().unwrap_or("").contains("a self-signed one is served")
    });
    assert_eq!(said["level"], "WARN");
    let first = shown(&front);
    drop(front);

    let file = state.join("self-signed/certificate.pem");
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let text_of = openssl(&state, &["x509", "-in", file.to_str().unwrap(), "-noout", "-text"]);
    assert!(text_of.contains("DNS:mail.example.org, DNS:imap.example.org"), "{text_of}");

    let front = Front::start(&text);
    assert!(shown(&front) == first, "the next start serves the same");

    // Real ones take its place, and it does not come back when they go.
    let real = text.replace(
        "aliases:",
        &format!("certificates: [{}]\naliases:", stage.folder.path().join("live").display()),
    );
    front.configure(&real);
    assert_eq!(front.reload()["message"], "reloaded");
    let mut peer = stage.client().enter(front.address(0));
    peer.until("* OK");
    std::fs::remove_dir_all(stage.live(NAME)).unwrap();
    std::fs::create_dir(stage.live(NAME)).unwrap();
    let said = front.reload();
    assert!(said["message"].as_str().unwrap().contains("reload changed nothing"), "{said}");
    let mut peer = stage.client().enter(front.address(0));
    peer.until("* OK");
}

#[test]
fn it_is_never_made_in_place_of_one_that_cannot_be_loaded() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let live = stage.live(NAME);
    std::fs::write(live.join("privkey.pem"), "").unwrap();
    let state = stage.folder.path().join("state");
    for certificates in [live.display().to_string(), "/nowhere/at/all".to_owned()] {
        let text = config(&stage, &host, &format!("certificates: [{certificates}]"));
        let file = stage.folder.write("c.yaml", format!("{text}state_dir: {}\n", state.display()));
        let said = vestibule(stage.folder.path(), &["serve", "--config", file.to_str().unwrap()]);
        assert_eq!(said.code, 78, "{}", said.err);
        assert!(said.err.contains("certificates: none can be used"), "{}", said.err);
        assert!(!state.exists(), "nothing is made");
    }
}

/// Commands that only look leave nothing behind.
#[test]
fn nothing_is_made_by_looking() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let state = stage.folder.path().join("state");
    let text = config(&stage, &host, "");
    stage.folder.write("c.yaml", format!("{text}state_dir: {}\n", state.display()));
    let said = vestibule(stage.folder.path(), &["certs", "--config", "c.yaml"]).with(1);
    assert!(said.contains("V010: no certificate was found"), "{said}");
    vestibule(stage.folder.path(), &["check", "c.yaml"]).with(1);
    assert!(!state.exists());
}

/// Several that start for the first time, at once and in one place, serve one certificate.
#[test]
fn the_first_of_several_makes_it_for_all() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let state = stage.folder.path().join("state");
    let text = config(&stage, &host, "");
    let text = format!("{text}state_dir: {}\n", state.display());
    let fronts: Vec<Front> = (0..4).map(|_| Front::launch(&text)).collect();
    let shown: Vec<Vec<u8>> = fronts
        .iter()
        .map(|front| {
            front.wait("it is ready", 0, |line| line["message"] == "ready");
            shown(front)
        })
        .collect();
    assert!(shown.iter().all(|leaf| *leaf == shown[0]));
    assert_eq!(names(&state.join("self-signed")), ["certificate.pem"]);
}
