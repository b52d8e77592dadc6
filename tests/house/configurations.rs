//! Shipped configurations are fine, and wrong ones are explained.

use std::{
    path::Path,
    process::{Command, Output},
};

use super::{files, top};

fn vestibule(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(arguments).arg(file).output().expect("the binary runs")
}

#[test]
fn shipped_configurations_are_fine() {
    for file in files("config", "yaml") {
        let output = vestibule(&["check", "--offline"], &file);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.ends_with(&format!("{}: fine\n", file.display())), "{said}");
    }
}

/// Beside each wrong file lies what has to be said about it, a line for each mistake.
#[test]
fn every_mistake_is_named_with_its_place_and_what_to_do() {
    for file in files("tests/data/bad", "yaml") {
        let expected =
            std::fs::read_to_string(file.with_extension("txt")).expect("the expected messages");
        let output = vestibule(&["check", "--offline"], &file);
        let said = String::from_utf8_lossy(&output.stdout).replace(&file.display().to_string(), "");
        assert_eq!(said, expected, "{}", file.display());
        assert_eq!(output.status.code(), Some(2), "{}", file.display());
    }
}

/// A start fails closed: `EX_CONFIG`, and the same words on standard error.
#[test]
fn a_wrong_configuration_does_not_start() {
    let file = top().join("tests/data/bad/unknown-keys.yaml");
    let expected =
        std::fs::read_to_string(file.with_extension("txt")).expect("the expected messages");
    let output = vestibule(&["serve", "--config"], &file);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).replace(&file.display().to_string(), ""),
        expected
    );
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_missing_file_is_named() {
    let file = top().join("tests/data/bad/there-is-none.yaml");
    let output = vestibule(&["serve", "--config"], &file);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there-is-none.yaml: it cannot be read: No such file"), "{said}");
    assert_eq!(output.status.code(), Some(78));
}

/// The two lines that are enough, with everything that they leave out.
#[test]
fn two_lines_are_the_ten_standard_listeners() {
    let output =
        vestibule(&["check", "--offline", "--explain"], &top().join("config/minimal.yaml"));
    let said = String::from_utf8_lossy(&output.stdout);
    let squeezed: Vec<String> =
        said.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let standard = [
        "0.0.0.0:25 [::]:25 smtp starttls-optional -> 10.0.0.5:25 (proxy-v2)",
        "0.0.0.0:587 [::]:587 submission starttls -> 10.0.0.5:587 (proxy-v2)",
        "0.0.0.0:465 [::]:465 submission implicit -> 10.0.0.5:587 (proxy-v2)",
        "0.0.0.0:143 [::]:143 imap starttls -> 10.0.0.5:143 (proxy-v2)",
        "0.0.0.0:993 [::]:993 imap implicit -> 10.0.0.5:143 (proxy-v2)",
        "0.0.0.0:110 [::]:110 pop3 starttls -> 10.0.0.5:110 (proxy-v2)",
        "0.0.0.0:995 [::]:995 pop3 implicit -> 10.0.0.5:110 (proxy-v2)",
        "0.0.0.0:4190 [::]:4190 sieve starttls -> 10.0.0.5:4190 (proxy-v2)",
        "0.0.0.0:80 [::]:80 http none -> 10.0.0.5:80 (forwarded)",
        "0.0.0.0:443 [::]:443 http implicit -> 10.0.0.5:80 (forwarded)",
    ];
    assert_eq!(squeezed[..standard.len()], standard, "{said}");
}

/// What is wanted of clients' certificates counts wherever there is TLS; and it is no lock on a public MX.
#[test]
fn client_certificates_for_all_are_for_all_with_tls() {
    let file = std::env::temp_dir().join(format!("vestibule-house-{}.yaml", std::process::id()));
    let text = "certificates: [/a]\nbackend: 10.0.0.5\nclient_certificates: { mode: require, trust: /ca }\n";
    std::fs::write(&file, text).expect("a file can be written");
    let output = vestibule(&["check", "--offline", "--explain"], &file);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    std::fs::remove_file(&file).expect("our own file");
    let (with, without): (Vec<&str>, Vec<&str>) = said
        .lines()
        .filter(|line| line.contains(" -> "))
        .partition(|line| line.ends_with(", client certificates: require"));
    assert_eq!((with.len(), without.len()), (9, 1), "{said}");
    assert!(without[0].starts_with("0.0.0.0:80 "), "{said}");
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains(": warning: ")).collect();
    let [warning] = warnings[..] else { panic!("{said}") };
    assert!(warning.contains("client_certificates: require keeps nobody out here"), "{said}");
    assert!(said.ends_with(": it can be served, with what is said above\n"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}

/// Where sessions go is told with all addresses and names, a backend's as well as an address's.
#[test]
fn pools_and_routes_are_explained() {
    let file = std::env::temp_dir().join(format!("vestibule-pools-{}.yaml", std::process::id()));
    let text = "certificates: [/a]\nbackend: main\nbackends:\n  main:\n    addresses: [10.0.0.5, mail.example.org, { address: \"/run/mail\", drain: true }]\n    balance: hash-client\n  b: { address: 10.0.0.6, identity: none }\nroutes: { \"*.b.example\": b, B.example: b }\nlisteners:\n  - bind: \"0.0.0.0:993\"\n  - { bind: \"0.0.0.0:995\", routes: { a.example: main } }\n";
    std::fs::write(&file, text).expect("a file can be written");
    let output = vestibule(&["check", "--offline", "--explain"], &file);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    std::fs::remove_file(&file).expect("our own file");
    let squeezed: Vec<String> =
        said.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let lines = [
        "0.0.0.0:993 imap implicit -> 10.0.0.5:143, mail.example.org:143, unix:/run/mail (drain) (hash-client, proxy-v2)",
        "0.0.0.0:995 pop3 implicit -> 10.0.0.5:110, mail.example.org:110, unix:/run/mail (drain) (hash-client, proxy-v2)",
        "routes of 0.0.0.0:993:",
        "*.b.example -> b",
        "b.example -> b",
        "routes of 0.0.0.0:995:",
        "*.b.example -> b",
        "a.example -> main",
        "b.example -> b",
    ];
    assert_eq!(squeezed[..squeezed.len() - 1], lines, "{said}");
}
