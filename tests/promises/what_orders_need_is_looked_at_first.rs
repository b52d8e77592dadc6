//! The files that `acme` names are looked at before anything is ordered: by `check`, and at a start.

use std::fs;

use crate::{
    common::{
        commands::vestibule,
        front::Front,
        mailhost::{Host, Talk},
        tls::NAME,
    },
    stage::Stage,
};

/// Where nobody is asked for a certificate.
const ACME: &str = "acme:\n  directory: https://127.0.0.1:1/dir\n  domains: mail.example.org\n";

#[test]
fn each_is_named() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let folder = stage.folder.path();
    let hook = stage.folder.program("hook", "#!/bin/sh\n");
    let text = stage.folder.write("text", "not base64url!\n");
    let root = stage.ca.write_root(folder);
    let (hook, text, root) = (hook.display(), text.display(), root.display());
    let external = |file: &str| format!("  external_account: {{ key_id: a, key_file: {file} }}\n");
    let dns = |hook: &str| format!("  challenge: dns-01\n  hook: {hook}\n");
    let top = folder.display();
    let with = |lines: &str| {
        let text = stage.config(&[("imap", "implicit", host.backend.address)], "");
        format!("{text}state_dir: {top}/state\n{ACME}{lines}")
    };
    let check = |lines: &str| {
        stage.folder.write("c.yaml", with(lines));
        vestibule(folder, &["check", "c.yaml"])
    };
    let tls = "  challenge: tls-alpn-01\n";
    let fine = check(&format!("{}  trust: {root}\n", dns(&hook.to_string())));
    assert_eq!(fine.code, 0, "{}{}", fine.out, fine.err);
    fs::write(folder.join("empty"), "\n").unwrap();
    let cases = [
        (dns(&format!("{top}/none")), format!("{top}/none: V004: acme.hook: it cannot be run")),
        (dns(&text.to_string()), format!("{text}: V004: acme.hook: it cannot be run by anybody")),
        (dns(&top.to_string()), format!("{top}: V004: acme.hook: it is no file")),
        (tls.to_owned() + &external(&format!("{top}/none")), format!("{top}/none: V004: acme.ext")),
        (tls.to_owned() + &external(&format!("{top}/empty")), "there is no HMAC key".to_owned()),
        (tls.to_owned() + &external(&text.to_string()), "the HMAC key is not base64url".to_owned()),
        (format!("{tls}  trust: {top}/none\n"), format!("{top}/none: V004: acme.trust: it cannot")),
        (format!("{tls}  trust: {text}\n"), format!("{text}: V021: acme.trust")),
    ];
    for (lines, words) in &cases {
        let said = check(lines);
        assert_eq!(said.code, 2, "{lines}: {}{}", said.out, said.err);
        assert!(said.out.contains(words), "{words}: {}", said.out);
        // What is there is served, all the same.
        let front = Front::start(&with(lines));
        front.wait("it is said", 0, |line| {
            line["level"] == "ERROR" && line["message"].as_str().unwrap().contains(words)
        });
        stage.client().enter(front.address(0)).until("* OK");
    }
    // With nothing to serve it is not even begun.
    fs::remove_dir_all(stage.live(NAME)).unwrap();
    for (lines, words) in &cases {
        let text = with(lines).replace("certificates:", "intermediates:");
        stage.folder.write("c.yaml", text);
        let said = vestibule(folder, &["serve", "--config", "c.yaml"]);
        assert_eq!(said.code, 78, "{lines}: {}", said.err);
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}
