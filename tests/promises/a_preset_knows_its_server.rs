//! `preset`: how a mail server learns who the client is, and what it does not speak; and
//! `vestibule backend-config`: what its own side needs.

use serde_json::Value;

use crate::common::{commands::vestibule, folder::Folder};

const PRESETS: [&str; 12] = [
    "communigate",
    "courier",
    "cyrus",
    "dovecot",
    "exchange",
    "exim",
    "icewarp",
    "kerio",
    "opensmtpd",
    "postfix",
    "sendmail",
    "stalwart",
];

/// The listeners that a configuration with this one backend has, as `check --explain` writes them, and its
/// warnings.
fn explained(backend: &str) -> (Vec<String>, Vec<String>) {
    let folder = Folder::new();
    let text = format!("certificates: [/a]\nbackends: {{ only: {{ {backend} }} }}\n");
    folder.write("c.yaml", text);
    let said = vestibule(folder.path(), &["check", "--offline", "--explain", "c.yaml"]);
    let code = i32::from(said.out.contains(": warning: "));
    let said = said.with(code);
    let squeezed = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = said.lines().map(squeezed);
    let (listeners, rest): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains(" -> "));
    (listeners, rest.into_iter().filter(|line| line.contains("warning")).collect())
}

#[test]
fn and_how_it_learns_who_calls() {
    for (preset, listeners, told) in [
        ("postfix", 3, true),
        ("exim", 3, true),
        ("opensmtpd", 3, true),
        ("sendmail", 3, false),
        ("dovecot", 7, true),
        ("courier", 7, false),
        ("exchange", 9, false),
        ("kerio", 10, false),
        ("stalwart", 10, true),
    ] {
        let (found, warnings) = explained(&format!("address: 10.0.0.5, preset: {preset}"));
        assert_eq!(found.len(), listeners, "{preset}: {found:#?}");
        let ending = if told { "(proxy-v2)" } else { "(none)" };
        let is_told = |line: &String| {
            let is_web = line.contains(" http ") && !told;
            line.ends_with(if is_web { "(forwarded)" } else { ending })
        };
        assert!(found.iter().all(is_told), "{preset}: {found:#?}");
        // Whoever learns nothing is warned about as for `identity: none`: on 25, 465 and 587.
        assert_eq!(warnings.len(), if told { 0 } else { 3 }, "{preset}: {warnings:#?}");
    }
    let (_, warnings) = explained("address: 10.0.0.5, preset: cyrus");
    assert!(warnings.is_empty(), "nobody relays over IMAP: {warnings:#?}");
}

#[test]
fn and_what_is_written_wins() {
    let (found, warnings) = explained("address: 10.0.0.5, preset: postfix, identity: none");
    assert!(found.iter().all(|line| line.ends_with("(none)")), "{found:#?}");
    assert_eq!(warnings.len(), 3);
    let (found, _) = explained("address: 10.0.0.5, preset: kerio, identity: proxy-v2");
    let mail = || found.iter().filter(|line| !line.contains(" http "));
    assert!(mail().count() > 3 && mail().all(|line| line.ends_with("(proxy-v2)")), "{found:#?}");
}

/// Each has something to say, as text and as JSON; who cannot be told who calls is a warning.
#[test]
fn and_what_its_own_side_needs() {
    let folder = Folder::new();
    for preset in PRESETS {
        let told = ["dovecot", "exim", "opensmtpd", "postfix", "stalwart"].contains(&preset);
        let code = if told { 0 } else { 1 };
        let text = vestibule(folder.path(), &["backend-config", preset]).with(code);
        assert!(!told || text.contains("FRONT") || text.contains("BACKEND"), "{text}");
        let json = vestibule(folder.path(), &["backend-config", preset, "--json"]).with(code);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["preset"], &json["is_told"]), (&preset.into(), &told.into()));
        assert!(!json["notes"].as_array().unwrap().is_empty(), "{json}");
        for section in json["sections"].as_array().unwrap() {
            assert!(text.contains(section["lines"].as_str().unwrap().trim_end()), "{text}");
        }
    }
    let said = vestibule(folder.path(), &["backend-config", "qmail"]).failed();
    assert!(said.contains("there is no preset `qmail`; there are communigate, courier"), "{said}");
}

/// With the addresses of a configuration: the backend's, and the one that the front calls from.
#[test]
fn with_the_addresses_of_this_front() {
    let folder = Folder::new();
    folder.write(
        "c.yaml",
        "certificates: [/a]
backends:
  mta: { address: 127.0.0.1, preset: exim, ports: { smtp: 10025 } }
  store: { address: \"::1\", preset: dovecot, identity: none, ports: { imap: 10143 } }
  other: { address: 127.0.0.1, preset: stalwart }
listeners:
  - { bind: \"127.0.0.2:25\", backend: mta }
  - { bind: \"127.0.0.2:143\", backend: store }
  - { bind: \"127.0.0.2:993\", backend: store }
  - { bind: \"127.0.0.2:110\", backend: other }
",
    );
    let run = |preset| vestibule(folder.path(), &["backend-config", preset, "--config", "c.yaml"]);
    let exim = run("exim").with(0);
    assert!(exim.contains("hosts_proxy = <; 127.0.0.1\ndaemon_smtp_ports = 10025\n"), "{exim}");
    let stalwart = run("stalwart").with(0);
    assert!(stalwart.contains("trusted-networks = [\"127.0.0.1\"]"), "{stalwart}");
    let dovecot = run("dovecot").with(1);
    assert_eq!(dovecot.matches("inet_listener").count(), 1, "{dovecot}");
    assert!(dovecot.contains("address = ::1\n    port = 10143\n  }"), "{dovecot}");
    let said = run("postfix").failed();
    assert!(said.contains("no listener goes to a backend with `preset: postfix`"), "{said}");
}
