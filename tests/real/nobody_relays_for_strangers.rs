//! `vestibule check --backends` tries to send mail for others as a stranger, behind a real Postfix in several moods.

use serde_json::Value;

use crate::{
    clients::NAME,
    common::commands::{check_backends, vestibule},
    dovecot::{Options, Ssl},
    postfix::{FOR_DOVECOT, Postfix},
    stage::Backend,
};

const PROXY: &str = "smtpd_upstream_proxy_protocol=haproxy";

/// Postfix with these services, and the Dovecot that it asks about passwords.
fn postfix(services: &[&[&str]]) -> (Backend, Postfix) {
    let options = Options { ssl: Ssl::No, more: FOR_DOVECOT, ..Options::default() };
    let dovecot = Backend::with(&options);
    let postfix = Postfix::with(&dovecot.dovecot, Some(&dovecot.leaf), services);
    // Dropped from the right: Dovecot waits for those who ask it.
    (dovecot, postfix)
}

/// A configuration with one backend.
fn config(protocol: &str, identity: &str, port: u16) -> String {
    format!(
        "hostname: {NAME}
certificates: [/nowhere]
backends:
  postfix: {{ address: \"127.0.0.1:{port}\", identity: {identity} }}
listeners:
  - {{ bind: [\"127.0.0.1:2525\", \"[::1]:2525\"], protocol: {protocol}, tls: none, backend: postfix }}
"
    )
}

#[track_caller]
fn relay(protocol: &str, identity: &str, port: u16, code: i32) -> Value {
    let (exit, backends) = check_backends(&config(protocol, identity, port));
    let [backend] = &backends[..] else { panic!("{backends:?}") };
    assert_eq!(exit, code, "{backend:#}");
    backend.clone()
}

fn kinds(backend: &Value) -> Vec<&str> {
    let findings = backend["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

/// 5yz: neither 192.0.2.1 nor 2001:db8::1 may, on 25 as on 587; and no message was begun in earnest.
#[test]
fn who_refuses_is_fine() {
    let (_dovecot, postfix) = postfix(&[]);
    for (protocol, identity, port) in [
        ("smtp", "proxy-v2", postfix.ports.mx),
        ("submission", "proxy-v2", postfix.ports.submission),
        ("smtp", "xclient", postfix.ports.plain_xclient),
    ] {
        let mark = postfix.mark();
        let backend = relay(protocol, identity, port, 0);
        let tests = backend["relay"].as_array().unwrap();
        assert_eq!(tests[0]["stranger"], "192.0.2.1");
        assert_eq!(tests[0]["verdict"], "refused", "{backend:#}");
        assert!(tests[0]["said"].as_str().unwrap().starts_with("554 5.7.1 "), "{backend:#}");
        assert_eq!((&tests[1]["stranger"], tests.len()), (&"2001:db8::1".into(), 2));
        assert_eq!(tests[1]["verdict"], "refused", "{backend:#}");
        postfix.logs(mark, &["disconnect from unknown[192.0.2.1]", "rset=1 quit=1"]);
        let log = postfix.log();
        assert!(!log[..].contains("data=1"), "{log}");
    }
}

/// 2yz: whom it trusts is told, and that it is an error.
#[test]
fn who_takes_it_is_an_open_relay() {
    let trusting = [PROXY, "mynetworks=192.0.2.0/24"];
    let (_dovecot, postfix) = postfix(&[&trusting]);
    let backend = relay("smtp", "proxy-v2", postfix.more[0], 2);
    assert!(kinds(&backend).contains(&"open-relay"), "{backend:#}");
    assert_eq!(backend["relay"][0]["verdict"], "open");
}

/// 4yz is not green.
#[test]
fn who_says_later_says_nothing() {
    let unsure = [PROXY, "smtpd_relay_restrictions=permit_mynetworks,defer_unauth_destination"];
    let (_dovecot, postfix) = postfix(&[&unsure]);
    let backend = relay("smtp", "proxy-v2", postfix.more[0], 1);
    assert_eq!(backend["relay"][0]["verdict"], "unknown", "{backend:#}");
    assert!(backend["relay"][0]["said"].as_str().unwrap().starts_with("454 4.7.1"), "{backend:#}");
    assert!(kinds(&backend).contains(&"relay-unknown"));
}

/// identity: none: every client is the front, and the front is in mynetworks.
#[test]
fn who_is_told_nothing_trusts_everybody() {
    let (_dovecot, postfix) = postfix(&[]);
    let backend = relay("smtp", "none", postfix.ports.plain_mx, 2);
    assert_eq!(backend["relay"][0]["taken_for"], "127.0.0.1", "{backend:#}");
    let findings = backend["findings"].to_string();
    assert!(findings.contains("takes them all for 127.0.0.1") && findings.contains("mynetworks"));

    // The same for people: one line for the backend, and what there is to say below.
    let folder = crate::common::folder::Folder::new();
    folder.write("v.yaml", config("smtp", "none", postfix.ports.plain_mx));
    let said = vestibule(folder.path(), &["check", "--backends", "v.yaml"]).with(2);
    let begin: Vec<&str> = said.lines().map(|l| l.split_whitespace().next().unwrap()).collect();
    assert_eq!(begin, ["smtp", "relay", "error"], "{said}");
}

/// 530 before a STARTTLS of the backend's own: nobody could send anything in clear.
#[test]
fn who_wants_starttls_first_is_told_so() {
    let strict = [PROXY, "smtpd_tls_security_level=encrypt"];
    let (dovecot, postfix) = postfix(&[&strict]);
    let backend = relay("smtp", "proxy-v2", postfix.more[0], 2);
    assert_eq!(kinds(&backend)[0], "wants-starttls", "{backend:#}");
    // With it, the same backend refuses as it should.
    let tls = format!(
        "identity: proxy-v2, tls: starttls, tls_name: {NAME}, tls_ca: {}",
        dovecot.root.display()
    );
    let text = config("smtp", "proxy-v2", postfix.more[0])
        .replace("identity: proxy-v2", &tls)
        .replace(", \"[::1]:2525\"", "");
    let (code, backends) = check_backends(&text);
    assert_eq!(code, 0, "{backends:?}");
    assert_eq!(backends[0]["relay"][0]["verdict"], "refused");
}
