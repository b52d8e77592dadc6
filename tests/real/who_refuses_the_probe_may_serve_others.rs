//! A Postfix that refuses the address in whose name it is probed, at once: others are served, and where they are
//! refused, they hear so from Postfix itself. It counts as up, and the operator is told.

use serde_json::Value;

use crate::{
    clients::NAME,
    common::{commands::check_backends, front::Front},
    dovecot::{Options, Ssl},
    postfix::{FOR_DOVECOT, Postfix},
    smtp::{CLIENT, ask, expect, reply, say},
    stage::{Backend, call, secure, trust},
};

const PROXY: &str = "smtpd_upstream_proxy_protocol=haproxy";
const AT_ONCE: &str = "smtpd_delay_reject=no";

/// What Postfix says to whom it refuses: nobody, but for this one client; nobody, but for the front itself; nobody.
const ALL_BUT_ONE: &str =
    "smtpd_client_restrictions=check_client_access,inline:{127.0.0.5=OK},reject";
const ALL_BUT_OURSELVES: &str = "smtpd_client_restrictions=permit_mynetworks,reject";
const ALL: &str = "smtpd_client_restrictions=defer";

fn servers(refuses: &str) -> (Backend, Postfix) {
    let dovecot = Backend::with(&Options { ssl: Ssl::No, more: FOR_DOVECOT, ..Options::default() });
    let service = [PROXY, AT_ONCE, refuses];
    let postfix = Postfix::with(&dovecot.dovecot, Some(&dovecot.leaf), &[&service]);
    dovecot.leaf.certbot(&dovecot.live().join(NAME));
    (dovecot, postfix)
}

fn config(dovecot: &Backend, postfix: &Postfix) -> String {
    let mut text = format!(
        "hostname: {NAME}\ncertificates: [{}]\ntimeouts: {{ probe: 200ms }}\nbackends:\n  b: {{ address: \"127.0.0.1:{}\", identity: proxy-v2 }}\nlisteners:\n",
        dovecot.live().display(),
        postfix.more[0]
    );
    for tls in ["implicit", "starttls", "none"] {
        text.push_str(&format!(
            "  - {{ bind: \"127.0.0.1:0\", protocol: smtp, tls: {tls}, backend: b }}\n"
        ));
    }
    text
}

/// It is found out, and only warned of; whatever is learned is this.
fn checked(dovecot: &Backend, postfix: &Postfix, can: bool) {
    let text = config(dovecot, postfix).replacen("127.0.0.1:0", "127.0.0.1:2525", 1);
    let text = text.replacen("127.0.0.1:0", "127.0.0.1:2526", 1);
    let (exit, seen) = check_backends(&text.replacen("127.0.0.1:0", "127.0.0.1:2527", 1));
    let finding = &seen[0]["findings"][0];
    assert_eq!((exit, &finding["kind"]), (1, &Value::from("turns-away")), "{seen:#?}");
    let text = finding["text"].to_string();
    assert!(text.contains("Client host rejected") && text.contains("192.0.2.1"), "{text}");
    assert_eq!(!seen[0]["capabilities"].as_array().unwrap().is_empty(), can, "{seen:#?}");
}

/// Several looks later, it is not down.
fn is_up(front: &Front, postfix: &Postfix) {
    for _ in 0..4 {
        postfix.logs(postfix.mark(), &["connect from unknown[192.0.2.1]"]);
    }
    front.wait("it is warned of", 0, |line| {
        line["level"] == "WARN" && line["message"].to_string().contains("it counts as up")
    });
    assert!(!front.log().iter().any(|line| line["message"] == "backend is down"));
}

#[test]
fn and_serves_those_whom_it_lets_in() {
    let (dovecot, postfix) = servers(ALL_BUT_ONE);
    checked(&dovecot, &postfix, false);
    let front = Front::start(&config(&dovecot, &postfix));
    let mut clear = call(front.port(1), CLIENT);
    reply(&mut clear);
    let offered = ask(&mut clear, "EHLO client.example.net");
    assert!(offered.contains("STARTTLS"), "{offered}");
    say(&mut clear, "STARTTLS", "220");
    let starttls = secure(clear, trust(&dovecot.root));
    let mut implicit = secure(call(front.port(0), CLIENT), trust(&dovecot.root));
    expect(&mut implicit, "220", "the connection");
    for mut peer in [starttls, implicit] {
        let offered = ask(&mut peer, "EHLO client.example.net");
        assert!(offered.contains("PIPELINING"), "{offered}");
        say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
        say(&mut peer, "RCPT TO:<alice@example.org>", "250");
        say(&mut peer, "QUIT", "221");
    }
    is_up(&front, &postfix);
}

#[test]
fn and_is_asked_by_ourselves() {
    let (dovecot, postfix) = servers(ALL_BUT_OURSELVES);
    checked(&dovecot, &postfix, true);
    let front = Front::start(&config(&dovecot, &postfix));
    let mut clear = call(front.port(1), CLIENT);
    reply(&mut clear);
    let offered = ask(&mut clear, "EHLO client.example.net");
    assert!(offered.contains("PIPELINING") && offered.contains("STARTTLS"), "{offered}");
    is_up(&front, &postfix);
}

#[test]
fn and_says_itself_whom_it_refuses() {
    let (dovecot, postfix) = servers(ALL);
    checked(&dovecot, &postfix, false);
    let front = Front::start(&config(&dovecot, &postfix));
    let words = "450 4.3.2 <unknown[127.0.0.5]>: Client host rejected: Try again later";
    let mut in_clear = call(front.port(2), CLIENT);
    assert_eq!(reply(&mut in_clear).trim_end(), words);
    let mut implicit = secure(call(front.port(0), CLIENT), trust(&dovecot.root));
    assert_eq!(reply(&mut implicit).trim_end(), words);
    is_up(&front, &postfix);
}
