//! `vestibule certs`: what would be served, for people and for scripts, with an exit status.

use serde_json::Value;

use crate::common::{
    ca::{Ca, Kind},
    commands::{Said, shell, vestibule},
    folder::Folder,
    tls::NAME,
};

struct Desk {
    ca: Ca,
    folder: Folder,
}

impl Desk {
    fn new() -> Self {
        Self { ca: Ca::new("Test"), folder: Folder::new() }
    }

    fn lay(&self, names: &[&str], kind: Kind, from: i32, to: i32) {
        let leaf = self.ca.leaf_with(names, kind, |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        });
        leaf.certbot(&self.folder.path().join("live").join(names[0]));
    }

    fn certs(&self, more: &str, arguments: &[&str]) -> Said {
        let folder = self.folder.path();
        let text = format!(
            "hostname: mail.example.org\nstate_dir: {0}/state\ncertificates: [{0}/live]\nbackend: 10.0.0.5\n{more}",
            folder.display()
        );
        self.folder.write("c.yaml", text);
        vestibule(folder, &[&["certs", "--config", "c.yaml"], arguments].concat())
    }
}

#[test]
fn with_all_that_is_known_of_them() {
    let desk = Desk::new();
    desk.lay(&["mail.example.org", "imap.example.org"], Kind::Ecdsa, 2020, 2999);
    desk.lay(&["mail.example.com"], Kind::Rsa, 2020, 3999);
    let more = "certificate_by_address: { 192.0.2.10: mail.example.com }\n";
    let said = desk.certs(more, &["--json"]).with(0);
    let list: Value = serde_json::from_str(&said).expect("JSON");
    let [com, org] = list["certificates"].as_array().expect("a list").as_slice() else {
        panic!("two: {said}")
    };
    assert_eq!(org["names"], serde_json::json!(["mail.example.org", "imap.example.org"]));
    assert_eq!(org["kind"], "private-authority");
    assert_eq!((&org["key"], &org["key_kind"]), (&"ECDSA P-256".into(), &"ecdsa".into()));
    assert_eq!((&com["key"], &com["key_kind"]), (&"RSA 2048".into(), &"rsa".into()));
    assert_eq!((&org["is_default"], &com["is_default"]), (&true.into(), &false.into()));
    assert_eq!(com["addresses"], serde_json::json!(["192.0.2.10"]));
    assert_eq!(org["chain"], serde_json::json!(["CN=Test CA 1"]));
    assert_eq!((&org["issuer"], &org["is_complete"]), (&"CN=Test Root".into(), &true.into()));
    assert_eq!(
        (&org["not_before"], &org["not_after"]),
        (&"2020-01-01".into(), &"2999-01-01".into())
    );
    assert!(org["days_left"].as_i64().is_some_and(|days| days > 300_000));
    assert!(org["file"].as_str().unwrap().ends_with("/live/mail.example.org/cert.pem"));
    assert_eq!(org["findings"][0]["code"], "V009");

    let said = desk.certs(more, &[]).with(0);
    for part in [
        "mail.example.org, imap.example.org  private CA  ECDSA P-256  2999-01-01 (",
        "CN=Test CA 1 (sent) < CN=Test Root",
        "192.0.2.10",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

/// 0, 1 and 2 are fine, warnings and errors.
#[test]
fn with_an_exit_status() {
    let desk = Desk::new();
    desk.lay(&["mail.example.org"], Kind::Ecdsa, 2020, 2999);
    desk.certs("", &[]).with(0);
    desk.lay(&["old.example.org"], Kind::Ecdsa, 2010, 2020);
    let said = desk.certs("", &[]).with(1);
    assert!(said.contains("warning: V011: it has expired on 2020-01-01"), "{said}");
    desk.folder.write("live/broken/cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let said = desk.certs("", &[]).with(2);
    assert!(said.contains("broken/cert.pem: V005: it is cut short"), "{said}");
    // The policy has the last word.
    let said = desk.certs("lint: { V011: ignore }\n", &[]).with(2);
    assert!(!said.contains("V011"), "{said}");
    std::fs::remove_dir_all(desk.folder.path().join("live/broken")).unwrap();
    let said = desk.certs("lint: { V011: refuse }\n", &[]).with(2);
    assert!(said.contains("error: ") && !said.contains("old.example.org  "), "{said}");
}

/// Whatever is wrong with the configuration is said as `check` says it.
#[test]
fn or_why_they_cannot_be() {
    let desk = Desk::new();
    let said = desk.certs("certificate: x\n", &[]).failed();
    assert!(said.contains("c.yaml:5:1: certificate: unknown key"), "{said}");
}

/// Who asked for JSON gets JSON.
#[test]
fn scripts_are_told_in_their_own_language() {
    let desk = Desk::new();
    desk.certs("certificate: x\n", &[]).failed();
    for command in [&["certs"][..], &["dns"], &["explain", "--port", "993"]] {
        let arguments = [command, &["--config", "c.yaml", "--json"]].concat();
        let said = vestibule(desk.folder.path(), &arguments).with(2);
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let first = said["errors"][0].as_str().expect("an error");
        assert!(first.contains("c.yaml:5:1: certificate: unknown key"), "{command:?}: {said}");
    }
}

/// A trust store that cannot be read is not taken for an empty one.
#[test]
fn with_what_cannot_be_read_of_the_trust_store() {
    let desk = Desk::new();
    desk.lay(&[NAME], Kind::Ecdsa, 2020, 2999);
    desk.certs("", &[]).with(0);
    let binary = env!("CARGO_BIN_EXE_vestibule");
    let line =
        format!("SSL_CERT_FILE=/nowhere/roots.pem {binary} certs --config c.yaml; [ $? = 1 ]");
    let said = shell(desk.folder.path(), &line);
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("V004")).collect();
    let [line] = lines[..] else { panic!("once: {said}") };
    assert!(
        line.starts_with("warning: /nowhere/roots.pem: V004: this machine's trust store"),
        "{line}"
    );
}
