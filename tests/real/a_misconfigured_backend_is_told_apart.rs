//! What does not fit together between the front and a real Dovecot or Postfix is named, with the key that mends it:
//! by `vestibule check --backends`, and in the log of a front that starts before it, once.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use serde_json::Value;

use crate::{
    clients::NAME,
    common::{commands::check_backends, front::Front},
    dovecot::{Options, Ssl},
    postfix::{FOR_DOVECOT, Postfix},
    stage::Backend,
};

/// A configuration with these backends, each with a protocol and what is written of it.
fn config(backends: &[(&str, String)]) -> String {
    let mut text = format!(
        "hostname: {NAME}\ncertificates: [/nowhere]\ntimeouts: {{ greeting: 8s }}\nbackends:\n"
    );
    for (n, (_, lines)) in backends.iter().enumerate() {
        text.push_str(&format!("  b{n}: {{ {lines} }}\n"));
    }
    text.push_str("listeners:\n");
    for (n, (protocol, _)) in backends.iter().enumerate() {
        text.push_str(&format!(
            "  - {{ bind: \"127.0.0.1:{}\", protocol: {protocol}, tls: none, backend: b{n} }}\n",
            2000 + n
        ));
    }
    text
}

fn at(port: u16, identity: &str) -> String {
    format!("address: \"127.0.0.1:{port}\", identity: {identity}")
}

/// Each of these backends has this kind of trouble, and this is what is said of how to mend it.
#[track_caller]
fn all_are(kind: &str, hints: &[&str], backends: &[(&str, String)]) {
    let (code, seen) = check_backends(&config(backends));
    assert_eq!(seen.len(), backends.len());
    for backend in &seen {
        let finding = &backend["findings"][0];
        assert_eq!(finding["kind"], kind, "{backend:#}");
        let text = finding["text"].as_str().unwrap();
        assert!(hints.iter().all(|hint| text.contains(hint)), "{text}");
    }
    assert_eq!(code, 2, "{seen:?}");
}

fn servers(ssl: Ssl, more: &str, services: &[&[&str]]) -> (Backend, Postfix) {
    let lines = format!("{FOR_DOVECOT}{more}");
    let dovecot = Backend::with(&Options { ssl, more: &lines, ..Options::default() });
    let postfix = Postfix::with(&dovecot.dovecot, Some(&dovecot.leaf), services);
    // Dropped from the right: Dovecot waits for those who ask it.
    (dovecot, postfix)
}

/// A header is sent to those who do not know what that is: all lines of it are answered as commands.
#[test]
fn it_does_not_speak_proxy() {
    let (dovecot, postfix) = servers(Ssl::No, "", &[]);
    let (mail, ports) = (postfix.ports, dovecot.dovecot.ports);
    for version in ["proxy-v1", "proxy-v2"] {
        let backends = [
            ("smtp", at(mail.plain_mx, version)),
            ("submission", at(mail.plain_submission, version)),
            ("imap", at(ports.plain_imap, version)),
            ("pop3", at(ports.plain_pop3, version)),
            ("sieve", at(ports.plain_sieve, version)),
        ];
        all_are("no-proxy", &["PROXY header for commands", "haproxy"], &backends);
    }
}

/// None is sent to those who wait for one: they end the connection after a while.
#[test]
fn it_expects_proxy() {
    let (dovecot, postfix) = servers(Ssl::No, "", &[]);
    let (mail, ports) = (postfix.ports, dovecot.dovecot.ports);
    let backends = [
        ("smtp", at(mail.mx, "none")),
        ("imap", at(ports.imap, "none")),
        ("pop3", at(ports.pop3, "none")),
        ("sieve", at(ports.sieve, "none")),
    ];
    all_are("wants-proxy", &["identity: proxy-v2"], &backends);
}

/// A header is sent to one who does not believe us.
#[test]
fn it_does_not_believe_this_front() {
    let (dovecot, _postfix) = servers(Ssl::No, "haproxy_trusted_networks = 192.0.2.9\n", &[]);
    let ports = dovecot.dovecot.ports;
    let backends = [("imap", at(ports.imap, "proxy-v2")), ("pop3", at(ports.pop3, "proxy-v2"))];
    all_are("silent", &["haproxy_trusted_networks"], &backends);
}

/// No password is taken before a STARTTLS of its own, which nobody says.
#[test]
fn it_wants_starttls_before_any_login() {
    let strict = [
        "smtpd_upstream_proxy_protocol=haproxy",
        "smtpd_sasl_auth_enable=yes",
        "smtpd_tls_auth_only=yes",
    ];
    // Who comes from the address that it came to is this machine, and trusted.
    let (dovecot, postfix) = servers(Ssl::Yes, "listen = 127.0.0.1, 127.0.0.2\n", &[&strict]);
    let ports = dovecot.dovecot.ports;
    let other = |port| at(port, "none").replace("127.0.0.1", "127.0.0.2");
    let backends = [
        ("submission", at(postfix.more[0], "proxy-v2")),
        ("imap", other(ports.plain_imap)),
        ("pop3", other(ports.plain_pop3)),
        ("sieve", other(ports.plain_sieve)),
    ];
    all_are("wants-starttls", &["tls: starttls"], &backends);
    // With it, all is well.
    let secure = format!(", tls: starttls, tls_name: {NAME}, tls_ca: {}", dovecot.root.display());
    let backends = backends.map(|(protocol, lines)| (protocol, lines + &secure));
    let (code, seen) = check_backends(&config(&backends));
    assert_eq!(code, 0, "{seen:?}");
}

/// Another server answers there than the one that is meant.
#[test]
fn it_is_another_port() {
    let (dovecot, postfix) = servers(Ssl::No, "", &[]);
    let (mail, ports) = (postfix.ports, dovecot.dovecot.ports);
    for (identity, [smtp, imap, pop3, sieve]) in [
        ("none", [mail.plain_mx, ports.plain_imap, ports.plain_pop3, ports.plain_sieve]),
        ("proxy-v2", [mail.mx, ports.imap, ports.pop3, ports.sieve]),
    ] {
        for (protocol, port, spoken) in [
            ("imap", smtp, "smtp is spoken there"),
            ("smtp", imap, "imap is spoken there"),
            ("sieve", pop3, "pop3 is spoken there"),
            ("pop3", sieve, "sieve is spoken there"),
        ] {
            let backends = [(protocol, at(port, identity))];
            all_are("wrong-protocol", &[spoken, "ports"], &backends);
        }
    }
}

/// TLS comes first there.
#[test]
fn it_speaks_tls_from_the_start() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = held.local_addr().unwrap().port();
    let lines = format!(
        "service imap-login {{\n  inet_listener wrapped {{\n    port = {port}\n    ssl = yes\n  }}\n}}\n"
    );
    drop(held);
    let wrapped = ["smtpd_tls_wrappermode=yes"];
    let (dovecot, postfix) = servers(Ssl::Yes, &lines, &[&wrapped]);
    let backends = [("imap", at(port, "none")), ("smtp", at(postfix.more[0], "none"))];
    all_are("speaks-tls", &["TLS comes first there", "tls: implicit"], &backends);
    // The other way round: TLS is spoken to one who begins in clear.
    let tls = format!(", tls: implicit, tls_name: {NAME}, tls_ca: {}", dovecot.root.display());
    let backends = [
        ("smtp", at(postfix.ports.plain_mx, "none") + &tls),
        ("imap", at(dovecot.dovecot.ports.plain_imap, "none") + &tls),
    ];
    all_are("insecure", &["tls: none or tls: starttls"], &backends);
    // And one that has no STARTTLS.
    let (bare, _) = servers(Ssl::No, "", &[]);
    let tls = tls.replace("implicit", "starttls");
    let backends = [
        ("imap", at(bare.dovecot.ports.imap, "proxy-v2") + &tls),
        ("pop3", at(bare.dovecot.ports.pop3, "proxy-v2") + &tls),
        ("sieve", at(bare.dovecot.ports.sieve, "proxy-v2") + &tls),
    ];
    all_are("insecure", &["does not offer STARTTLS", "tls: none"], &backends);
}

/// A front that starts says it once, not at each look; again only after it was mended and broken anew.
#[test]
fn a_front_says_so_once() {
    let (dovecot, postfix) = servers(Ssl::No, "", &[]);
    dovecot.leaf.certbot(&dovecot.live().join(NAME));
    let text = config(&[("smtp", at(postfix.ports.plain_mx, "proxy-v2"))])
        .replace("/nowhere", &dovecot.live().display().to_string())
        .replace("127.0.0.1:2000", "127.0.0.1:0")
        .replace("greeting: 8s", "greeting: 8s, probe: 100ms");
    let front = Front::start(&text);
    let is_it = |line: &Value| {
        line["level"] == "WARN" && line["message"].to_string().contains("for commands")
    };
    front.wait("it is said", 0, is_it);
    // By then it has been looked at several times.
    let down = front.wait("it is down", 0, |line| line["message"] == "backend is down");
    assert!(down["why"].to_string().contains("for commands"), "{down}");
    assert_eq!(front.log().iter().filter(|line| is_it(line)).count(), 1);
    // Clients are told to come back.
    let mut peer = crate::stage::call(front.port(0), Ipv4Addr::LOCALHOST);
    peer.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(peer.line().starts_with("421 "));
}
