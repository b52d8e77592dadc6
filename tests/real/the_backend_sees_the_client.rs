//! Dovecot's log has the client's address and knows that the client speaks TLS; strangers it never sees.

use std::net::{Ipv4Addr, SocketAddr};

use crate::{
    clients::{self, Door, How, NAME, Protocol},
    common::front::Front,
    dialogue::log_in,
    dovecot::{Options, Ssl},
    harness::MESSAGE,
    stage::{Backend, DOORS, Identity, Stage, call, call_at, greeting, secure, trust},
};

/// X2, X6, X9, T28: the address and port of both ends, TLS, and the same in the front's own log.
#[test]
fn with_its_address_and_tls_on_every_port() {
    let all = [
        (Ssl::No, Identity::ProxyV2),
        (Ssl::Yes, Identity::ProxyV2),
        // It says nothing of TLS.
        (Ssl::No, Identity::ProxyV1),
        (Ssl::No, Identity::Words),
        (Ssl::Yes, Identity::Words),
    ];
    for (ssl, identity) in all {
        let options =
            Options { ssl, more: "login_trusted_networks = 127.0.0.1/32", ..Options::default() };
        let stage = Stage::before(Backend::with(&options).told_by(identity));
        stage.backend.dovecot.deliver("alice", MESSAGE.as_bytes());
        for (n, door) in stage.doors().iter().enumerate() {
            let (source, from) = (format!("127.0.0.{}", 5 + n), stage.backend.dovecot.mark());
            let mark = stage.front.mark();
            clients::python(door, &source);
            let rip = format!("rip={source},");
            // Its XCLIENT has no word for the address that was called.
            let is_called = identity != Identity::Words || door.protocol == Protocol::Imap;
            let lport = if is_called { format!("lport={},", door.port) } else { String::new() };
            let login = stage
                .backend
                .dovecot
                .logs(from, &["-login: Info: Login: user=<alice>", &rip, &lport]);
            if identity != Identity::ProxyV1 {
                assert!(login.contains("secured=<secured>"), "from {door:?}: {login}");
            }

            let session = stage.front.summary(mark);
            let peer = session["peer"].as_str().unwrap_or_default();
            let rport =
                peer.strip_prefix(&format!("{source}:")).unwrap_or_else(|| panic!("{session}"));
            assert!(
                login.contains(&format!("rport={rport},")),
                "{peer} is who the front saw; {login}"
            );
            let id = session["id"].as_str().unwrap_or_default();
            let is_shared = login.contains(&format!("session=<{id}>"));
            assert_eq!(is_shared, identity == Identity::Words, "{id} from {door:?}: {login}");
            let protocol = format!("{:?}", door.protocol).to_lowercase();
            assert_eq!(
                (&session["protocol"], &session["sni"]),
                (&protocol.into(), &NAME.into()),
                "{session}"
            );
        }
    }
}

/// X2: the address that the client called, where the front has several.
#[test]
fn and_the_address_that_it_called() {
    let backend = Backend::new(Ssl::Yes);
    backend.leaf.certbot(&backend.live().join(NAME));
    let mut config = backend.as_yaml();
    config.push_str("listeners:\n  - { bind: \"0.0.0.0:0\", protocol: imap, tls: implicit, backend: dovecot }\n");
    let front = Front::start(&config);
    let (mark, port) = (backend.dovecot.mark(), front.port(0));
    let called = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
    let mut inside = secure(call_at(called, Ipv4Addr::new(127, 0, 0, 5)), trust(&backend.root));
    greeting(&mut inside, Protocol::Imap);
    log_in(&mut inside, Protocol::Imap);
    let lip = format!("lip=127.0.0.2, lport={port},");
    backend.dovecot.logs(mark, &["Login: user=<alice>", "rip=127.0.0.5,", &lip]);
}

/// X9's other half: what is answered before the login costs the backend no connection.
#[test]
fn but_not_one_who_never_upgrades() {
    let stage = Stage::set(Ssl::Yes);
    let mark = stage.backend.dovecot.mark();
    for (protocol, how) in DOORS.into_iter().filter(|&(_, how)| how == How::Starttls) {
        let mut stranger = call(stage.door(protocol, how).port, Ipv4Addr::new(127, 0, 0, 66));
        greeting(&mut stranger, protocol);
        stranger.send(match protocol {
            Protocol::Imap => "a NOOP\r\nb CAPABILITY\r\nc LOGIN alice secret\r\nd LOGOUT\r\n",
            Protocol::Pop3 => "CAPA\r\nUSER alice\r\nQUIT\r\n",
            Protocol::Sieve => "CAPABILITY\r\nNOOP\r\nLISTSCRIPTS\r\nLOGOUT\r\n",
        });
        stranger.rest();
    }
    // After those, somebody who is seen: by then the log would have the stranger.
    clients::python(&stage.door(Protocol::Sieve, How::Implicit), "127.0.0.5");
    stage.backend.dovecot.logs(mark, &["Login: user=<alice>", "rip=127.0.0.5,"]);
    let log = stage.backend.dovecot.log();
    assert!(!log.contains("127.0.0.66"), "{log}");
}

/// The control: with `identity: none` Dovecot takes the front for the client, so the tests above can fail.
#[test]
fn only_because_the_front_says_so() {
    let backend = Backend::new(Ssl::No);
    backend.leaf.certbot(&backend.live().join(NAME));
    let plain = backend.direct(Protocol::Imap).port;
    backend.dovecot.deliver("alice", MESSAGE.as_bytes());
    let front = Front::start(&format!(
        "hostname: {NAME}
certificates: [{}]
backends:
  dovecot: {{ address: 127.0.0.1, identity: none, ports: {{ imap: {plain} }} }}
listeners:
  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: implicit, backend: dovecot }}
",
        backend.live().display()
    ));
    let mark = backend.dovecot.mark();
    let door = Door {
        protocol: Protocol::Imap,
        how: How::Implicit,
        port: front.port(0),
        root: &backend.root,
    };
    clients::python(&door, "127.0.0.5");
    backend.dovecot.logs(mark, &["Login: user=<alice>", "rip=127.0.0.1,"]);
}
