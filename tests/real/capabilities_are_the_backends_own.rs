//! What is on offer through the front is what Dovecot offers, but for what the front must add or hide.

use std::net::Ipv4Addr;

use crate::{
    clients::{How, Protocol},
    common::peer::{Bytes, Peer},
    dialogue::{capabilities, imap_capabilities, log_in, sieve_capabilities},
    dovecot::Ssl,
    stage::{Backend, Stage, call, enter, greeting},
};

/// Not one of Dovecot's own addresses: it takes a client on the same address for secure.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

const MODES: [Ssl; 3] = [Ssl::No, Ssl::Yes, Ssl::Required];

/// What Dovecot offers to a client that may log in, and what it offers after the login.
fn directly(backend: &Backend, ssl: Ssl, protocol: Protocol) -> (Vec<String>, Vec<String>) {
    let door = backend.direct(protocol);
    if ssl == Ssl::No {
        let mut clear = call(door.port, CLIENT);
        greeting(&mut clear, protocol);
        before_and_after_login(&mut clear, protocol)
    } else {
        before_and_after_login(&mut enter(&door, CLIENT).0, protocol)
    }
}

fn before_and_after_login<S: Bytes>(
    peer: &mut Peer<S>,
    protocol: Protocol,
) -> (Vec<String>, Vec<String>) {
    let before = capabilities(peer, protocol);
    log_in(peer, protocol);
    (before, capabilities(peer, protocol))
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// I7: D. In TLS: Dovecot's list, element by element, in each form in which it comes.
#[test]
fn imap_in_tls() {
    for ssl in MODES {
        let stage = Stage::set(ssl);
        let (before, after) = directly(&stage.backend, ssl, Protocol::Imap);
        assert!(
            !before.iter().any(|name| name == "STARTTLS" || name == "LOGINDISABLED"),
            "{before:?}"
        );
        for how in [How::Implicit, How::Starttls] {
            let door = stage.door(Protocol::Imap, how);
            let (mut inside, greeted) = enter(&door, CLIENT);
            if how == How::Implicit {
                assert_eq!(imap_capabilities(&greeted), before, "{greeted}");
                assert!(greeted.ends_with("Backend here.\r\n"), "{greeted}");
            }
            assert_eq!(
                before_and_after_login(&mut inside, Protocol::Imap),
                (before.clone(), after.clone()),
                "{how:?}"
            );
            // A client that never asks gets the list with the login's OK.
            let (mut inside, _) = enter(&door, CLIENT);
            assert_eq!(imap_capabilities(&log_in(&mut inside, Protocol::Imap)), after, "{how:?}");
        }
    }
}

/// I8: D. Before TLS: the same without any AUTH=, with STARTTLS and LOGINDISABLED once each.
#[test]
fn imap_before_tls() {
    for ssl in MODES {
        let stage = Stage::set(ssl);
        let mut want = directly(&stage.backend, ssl, Protocol::Imap).0;
        want.retain(|name| !name.starts_with("AUTH="));
        want.extend(["STARTTLS".to_owned(), "LOGINDISABLED".to_owned()]);
        let mut clear = call(stage.door(Protocol::Imap, How::Starttls).port, CLIENT);
        let greeted = greeting(&mut clear, Protocol::Imap);
        assert!(
            greeted.starts_with("* OK [CAPABILITY ") && greeted.ends_with("Backend here.\r\n"),
            "{greeted}"
        );
        assert_eq!(sorted(imap_capabilities(&greeted)), sorted(want.clone()), "{ssl:?}");
        assert_eq!(sorted(capabilities(&mut clear, Protocol::Imap)), sorted(want), "{ssl:?}");
    }
}

/// P4: D. STLS, USER and SASL each on their own side of the handshake, everything else on both.
#[test]
fn pop3() {
    for ssl in MODES {
        let stage = Stage::set(ssl);
        let (before, after) = directly(&stage.backend, ssl, Protocol::Pop3);
        assert!(
            before.iter().any(|line| line == "USER") && !before.iter().any(|line| line == "STLS"),
            "{before:?}"
        );
        for how in [How::Implicit, How::Starttls] {
            let (mut inside, greeted) = enter(&stage.door(Protocol::Pop3, how), CLIENT);
            assert_eq!(greeted, "+OK Backend here.\r\n");
            assert_eq!(
                before_and_after_login(&mut inside, Protocol::Pop3),
                (before.clone(), after.clone()),
                "{how:?}"
            );
        }
        let mut want = before;
        want.retain(|line| line != "USER" && !line.starts_with("SASL"));
        want.push("STLS".to_owned());
        let mut clear = call(stage.door(Protocol::Pop3, How::Starttls).port, CLIENT);
        greeting(&mut clear, Protocol::Pop3);
        assert_eq!(sorted(capabilities(&mut clear, Protocol::Pop3)), sorted(want), "{ssl:?}");
    }
}

/// M1, M3–M6: D. STARTTLS and an empty SASL list before, Dovecot's own list after, unasked and asked.
#[test]
fn sieve() {
    for ssl in MODES {
        let stage = Stage::set(ssl);
        let (before, after) = directly(&stage.backend, ssl, Protocol::Sieve);
        for how in [How::Implicit, How::Starttls] {
            let (mut inside, unasked) = enter(&stage.door(Protocol::Sieve, how), CLIENT);
            assert_eq!(sieve_capabilities(&unasked), before, "{how:?}");
            assert_eq!(
                before_and_after_login(&mut inside, Protocol::Sieve),
                (before.clone(), after.clone()),
                "{how:?}"
            );
        }
        let mut want = before;
        want.retain(|line| !line.starts_with("\"SASL\""));
        want.extend(["\"SASL\" \"\"".to_owned(), "\"STARTTLS\"".to_owned()]);
        let mut clear = call(stage.door(Protocol::Sieve, How::Starttls).port, CLIENT);
        let greeted = greeting(&mut clear, Protocol::Sieve);
        assert!(greeted.ends_with("OK \"Backend here.\"\r\n"), "{greeted}");
        assert_eq!(sorted(sieve_capabilities(&greeted)), sorted(want.clone()), "{ssl:?}");
        assert_eq!(sorted(capabilities(&mut clear, Protocol::Sieve)), sorted(want), "{ssl:?}");
    }
}

/// I5, P3, M4: whoever asks for TLS in TLS is told no, and goes on.
#[test]
fn and_tls_is_not_offered_twice() {
    let stage = Stage::set(Ssl::Yes);
    for door in stage.doors() {
        let (mut inside, _) = enter(&door, CLIENT);
        let (upgrade, refusal) = match door.protocol {
            Protocol::Imap => ("again STARTTLS\r\n", "again BAD"),
            Protocol::Pop3 => ("STLS\r\n", "-ERR Command not permitted when TLS active"),
            Protocol::Sieve => ("STARTTLS\r\n", "NO"),
        };
        inside.send(upgrade);
        let answer = inside.line();
        assert!(answer.starts_with(refusal), "{answer:?} to {upgrade:?} on {door:?}");
        log_in(&mut inside, door.protocol);
    }
}
