//! What the dialects of a protocol's own words tell besides the address: names, both ends, IPv6, and what to do where
//! the server does not listen.

use std::net::SocketAddr;

use crate::{
    clients::{Door, How, NAME, Protocol},
    common::{
        front::Front,
        peer::{Bytes, Peer, connect},
    },
    dialogue::log_in,
    dovecot::Options,
    mailroom::{Mailroom, Servers, Way, enter},
    smtp::{self, CLIENT, ask, ehlo, expect, say},
    stage::{Backend, Identity, greeting, secure, trust},
};

/// One listener with TLS and one without, on these addresses.
fn listeners(protocol: &str, backend: &str, bind: &str) -> String {
    ["none", "implicit"].map(|tls| {
        format!("  - {{ bind: \"{bind}:0\", protocol: {protocol}, tls: {tls}, backend: {backend} }}\n")
    })
    .concat()
}

/// S14: ADDR with its prefix, and the name where there is one that leads back: 127.0.0.1 is the one address that has a
/// name on every machine.
#[test]
fn postfix_learns_names_ports_and_ipv6() {
    let servers = Servers::new();
    let port = servers.postfix.ports.plain_xclient;
    let mut config = servers.as_yaml("xclient", port, port);
    config.push_str("listeners:\n");
    config.push_str(&listeners("smtp", "postfix", "127.0.0.1"));
    config.push_str(&listeners("smtp", "postfix", "[::1]"));
    let front = Front::start(&config);
    for n in [0, 1, 2, 3] {
        let mark = servers.postfix.mark();
        let clear = connect(front.address(n));
        let from = clear.0.local_addr().expect("connected");
        if n % 2 == 0 {
            talk(clear);
        } else {
            talk(secure(clear, trust(&servers.dovecot.root)));
        }
        let expected = format!("[{}]:{}", from.ip(), from.port());
        let line = servers.postfix.logs(mark, &["client=", &expected]);
        if n < 2 {
            assert!(line.contains("client=localhost[127.0.0.1]"), "{line}");
        }
    }
}

fn talk<S: Bytes>(mut peer: Peer<S>) {
    expect(&mut peer, "220", "the connection");
    let offered = ehlo(&mut peer);
    assert!(!offered.iter().any(|line| line.starts_with("XCLIENT")), "{offered:?}");
    say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    say(&mut peer, "RCPT TO:<alice@example.org>", "250");
    say(&mut peer, "QUIT", "221");
}

/// The client says EHLO itself, so that its own name is in the trace, and not the front's.
#[test]
fn the_clients_own_ehlo_is_the_one_that_counts() {
    let room = Mailroom::told_by(Servers::new(), Identity::Words);
    for slot in [room.mx(Way::Clear), room.mx(Way::Starttls)] {
        let mut peer = enter(&slot, CLIENT);
        // Nothing of the front's own session is left over: after XCLIENT, EHLO has not been said.
        let mark = room.servers.postfix.mark();
        smtp::send(&mut peer, "trace");
        room.servers.postfix.delivers(mark, 1);
    }
    for message in room.servers.mail() {
        assert!(message.contains("from client.example.net (unknown [127.0.0.5])"), "{message}");
    }
}

/// I13, P12, M13: an IPv6 address, without a prefix in Dovecot's words.
#[test]
fn dovecot_learns_ipv6() {
    let options = Options { more: "login_trusted_networks = 127.0.0.1/32", ..Options::default() };
    let backend = Backend::with(&options).told_by(Identity::Words);
    backend.leaf.certbot(&backend.live().join(NAME));
    let mut config = backend.as_yaml();
    config.push_str("listeners:\n");
    for protocol in ["imap", "pop3", "sieve"] {
        config.push_str(&format!(
            "  - {{ bind: \"[::1]:0\", protocol: {protocol}, tls: implicit, backend: dovecot }}\n"
        ));
    }
    let front = Front::start(&config);
    for (n, protocol) in [Protocol::Imap, Protocol::Pop3, Protocol::Sieve].into_iter().enumerate() {
        let mark = backend.dovecot.mark();
        let door = Door { protocol, how: How::Implicit, port: front.port(n), root: &backend.root };
        let clear = connect(front.address(n));
        let from = clear.0.local_addr().expect("connected");
        assert!(from.is_ipv6());
        let mut inside = secure(clear, trust(door.root));
        greeting(&mut inside, protocol);
        log_in(&mut inside, protocol);
        backend
            .dovecot
            .logs(mark, &["Login: user=<alice>", "rip=::1,", &format!("rport={},", from.port())]);
    }
}

/// Dovecot's submission reads XCLIENT as SMTP has it, with a session's name besides.
#[test]
fn dovecots_submission_learns_it_too() {
    let servers = Servers::new();
    let options = Options {
        more: "login_trusted_networks = 127.0.0.1/32",
        relay: Some(servers.postfix.ports.plain_submission),
        ..Options::default()
    };
    let backend = Backend::with(&options);
    backend.leaf.certbot(&backend.live().join(NAME));
    let front = Front::start(&format!(
        "hostname: {}
certificates: [{}]
backends:
  dovecot: {{ address: 127.0.0.1, identity: xclient, ports: {{ submission: {} }} }}
listeners:
{}{}",
        NAME,
        backend.live().display(),
        backend.dovecot.ports.plain_submission,
        listeners("submission", "dovecot", "127.0.0.1"),
        listeners("submission", "dovecot", "[::1]"),
    ));
    for n in [1, 3] {
        let (mark, from_front) = (backend.dovecot.mark(), front.mark());
        let clear = connect(front.address(n));
        let from: SocketAddr = clear.0.local_addr().expect("connected");
        let mut inside = secure(clear, trust(&backend.root));
        expect(&mut inside, "220", "the handshake");
        let offered = ehlo(&mut inside);
        assert!(!offered.iter().any(|line| line.starts_with("XCLIENT")), "{offered:?}");
        let refused = ask(&mut inside, "XCLIENT ADDR=203.0.113.9");
        assert!(refused.starts_with("502"), "{refused}");
        smtp::log_in(&mut inside);
        let login = backend.dovecot.logs(
            mark,
            &["Login: user=<alice>", &format!("rip={}, rport={},", from.ip(), from.port())],
        );
        say(&mut inside, "QUIT", "221");
        drop(inside);
        let session = front.summary(from_front);
        let id = session["id"].as_str().expect("a name");
        assert!(login.contains(&format!("session=<{id}>")), "{id} in {login}");
    }
}

/// A dialect that the server does not understand: the client comes back later, and the log says which line is missing.
#[test]
fn a_server_that_does_not_listen_is_explained() {
    let servers = Servers::new();
    let (postfix, dovecot) = (servers.postfix.ports, servers.dovecot.dovecot.ports);
    let front = Front::start(&format!(
        "hostname: {}
certificates: [{}]
backends:
  servers:
    address: 127.0.0.1
    identity: {}
    ports: {{ smtp: {}, pop3: {}, sieve: {} }}
listeners:
  - {{ bind: \"127.0.0.1:0\", protocol: smtp, tls: none, backend: servers }}
  - {{ bind: \"127.0.0.1:0\", protocol: pop3, tls: none, backend: servers }}
  - {{ bind: \"127.0.0.1:0\", protocol: sieve, tls: none, backend: servers }}
",
        NAME,
        servers.dovecot.live().display(),
        Identity::Words.as_yaml(),
        postfix.plain_mx,
        dovecot.plain_pop3,
        dovecot.plain_sieve,
    ));
    for (n, refusal, remedy) in [
        (0, "421 4.3.2", "smtpd_authorized_xclient_hosts"),
        (1, "-ERR [SYS/TEMP]", "login_trusted_networks"),
        (2, "BYE (TRYLATER)", "login_trusted_networks"),
    ] {
        let mark = front.mark();
        let mut peer = connect(front.address(n));
        let said = peer.line();
        assert!(said.starts_with(refusal), "{said:?}");
        let summary = front.summary(mark).to_string();
        assert!(summary.contains(remedy) && summary.contains("opening"), "{summary}");
        let name = ["smtp", "pop3", "sieve"][n];
        front.wait("the probe has said so, too", 0, |line| {
            let is_it = line["level"] == "WARN" && line["message"] == "backend is down";
            is_it && line.to_string().contains(remedy) && line.to_string().contains(name)
        });
    }
}
