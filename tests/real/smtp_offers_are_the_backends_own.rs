//! What is on offer through the front is what Postfix offers, but for what the front must add or hide.

use crate::{
    mailroom::{Mailroom, Servers, Way, enter},
    scripted::{Booth, GREETING, offered},
    smtp::{CLIENT, ask, ehlo, expect, extensions, log_in, reply, say},
    stage::call,
};

/// What Postfix itself offers to who comes directly, without its own STARTTLS.
fn directly(servers: &Servers, login: bool) -> Vec<String> {
    let mut peer = enter(&servers.direct(Way::Clear, login), CLIENT);
    let mut offer = ehlo(&mut peer);
    offer.retain(|line| line != "STARTTLS");
    offer
}

/// S8, S11, S33: D. In TLS: Postfix's lines in Postfix's order, and no STARTTLS.
#[test]
fn in_tls() {
    for starttls in [true, false] {
        let room = Mailroom::before(Servers::with(starttls), "", "");
        for slot in room.secure_slots() {
            let offer = ehlo(&mut enter(&slot, CLIENT));
            assert_eq!(offer, directly(&room.servers, slot.login), "{slot:?}");
            assert_eq!(offer.iter().any(|line| line.starts_with("AUTH")), slot.login);
        }
    }
}

/// S11, S15, S33: D. In clear: the same without AUTH, with STARTTLS once; before and after the backend is dialled.
#[test]
fn in_clear() {
    for starttls in [true, false] {
        let room = Mailroom::before(Servers::with(starttls), "", "");
        for (port, login) in
            [(room.mx(Way::Clear).port, false), (room.submission(Way::Starttls).port, true)]
        {
            let mut want = directly(&room.servers, login);
            want.retain(|line| !line.starts_with("AUTH"));
            want.push("STARTTLS".to_owned());
            let mut peer = call(port, CLIENT);
            let greeting = reply(&mut peer);
            assert_eq!(greeting, "220 backend.example.org ESMTP Backend here.\r\n");
            let answer = ask(&mut peer, "EHLO client.example.net");
            assert_eq!(answer.lines().next(), Some("250-backend.example.org"));
            assert_eq!(sorted(extensions(&answer)), sorted(want.clone()));
            if !login {
                say(&mut peer, "VRFY somebody", "");
                let live = ask(&mut peer, "EHLO client.example.net");
                assert_eq!(sorted(extensions(&live)), sorted(want), "the live one");
            }
            say(&mut peer, "QUIT", "221");
        }
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// S12: HELO has one line, everywhere.
#[test]
fn but_nothing_to_who_says_helo() {
    let room = Mailroom::set();
    for slot in room.slots() {
        let mut peer = enter(&slot, CLIENT);
        assert_eq!(ask(&mut peer, "HELO client.example.net"), "250 backend.example.org\r\n");
        if slot.way == Way::Clear {
            say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
            say(&mut peer, "RSET", "250");
            assert_eq!(ask(&mut peer, "HELO client.example.net"), "250 backend.example.org\r\n");
        }
        say(&mut peer, "QUIT", "221");
    }
}

/// S14: D. Postfix tells those it trusts of XCLIENT and XFORWARD; the front's clients hear nothing of it.
#[test]
fn and_not_what_is_for_those_it_trusts() {
    let servers = Servers::new();
    let mut direct = call(servers.postfix.ports.plain_trusting, CLIENT);
    expect(&mut direct, "220", "the connection");
    let told = ehlo(&mut direct).join(" ");
    assert!(told.contains("XCLIENT ") && told.contains("XFORWARD "), "the control: {told}");
    let room = Mailroom::before_trusting(servers, "proxy-v2");
    for slot in room.slots() {
        let mut peer = enter(&slot, CLIENT);
        let before = ehlo(&mut peer).join(" ");
        if slot.login {
            log_in(&mut peer);
        }
        say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
        let after = ehlo(&mut peer).join(" ");
        assert!(!format!("{before} {after}").contains("XCLIENT"), "{before}; {after}");
        assert!(!format!("{before} {after}").contains("XFORWARD"), "{before}; {after}");
    }
}

/// S11: whatever the form and the pieces in which the backend's reply comes.
#[test]
fn also_in_pieces_and_in_one_line() {
    const OFFERS: [&[&str]; 4] = [
        &[],
        &["STARTTLS"],
        &["SIZE 100", "XCLIENT ADDR"],
        &["XFORWARD ADDR", "AUTH PLAIN SCRAM-SHA-256-PLUS", "auth=PLAIN", "SIZE 100", "starttls"],
    ];
    let booth = Booth::with(&["SIZE 100"], "", |mut arrived| {
        for byte in GREETING.bytes() {
            arrived.peer.send([byte]);
        }
        for offer in OFFERS {
            let line = arrived.peer.line();
            assert!(line.starts_with("EHLO"), "{line}");
            for byte in offered(offer).bytes() {
                arrived.peer.send([byte]);
            }
        }
        arrived.end();
    });
    let mut peer = enter(&booth.slot(Way::Implicit), CLIENT);
    let said: Vec<String> = OFFERS.map(|_| ask(&mut peer, "EHLO client.example.net")).into();
    assert_eq!(
        said,
        [
            "250 script.example.org\r\n",
            "250 script.example.org\r\n",
            "250-script.example.org\r\n250 SIZE 100\r\n",
            "250-script.example.org\r\n250-AUTH PLAIN\r\n250-AUTH=PLAIN\r\n250 SIZE 100\r\n",
        ]
    );
    say(&mut peer, "QUIT", "221 2.0.0 Bye");
    booth.told();
}
