//! STARTTLS: what is said to it, what it forgets, and what must not come with it.

use std::io::Read as _;

use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

use crate::{
    clients::NAME,
    common::peer::{Bytes, Peer},
    mailroom::{Mailroom, Slot, Way, enter, upgrade},
    scripted::{Booth, OFFER},
    smtp::{CLIENT, ask, ehlo, envelope, expect, log_in, message, reply, say},
    stage::{call, secure, trust},
};

/// S1, S2, S6, S10: one answer each; inside, no greeting and nothing remembered: the first answer is Postfix's own
/// to the first command, as it answers somebody who has said nothing before.
#[test]
fn and_everything_before_is_forgotten() {
    let room = Mailroom::set();
    for slot in [room.mx(Way::Starttls), room.submission(Way::Starttls)] {
        let mut peer = call(slot.port, CLIENT);
        expect(&mut peer, "220 backend.example.org", "the connection");
        say(&mut peer, "EHLO forgotten.example.net", "250");
        say(&mut peer, "STARTTLS now", "501");
        say(&mut peer, "sTaRtTlS", "220");
        let mut inside = secure(peer, trust(slot.root));
        if slot.login {
            ehlo(&mut inside);
            log_in(&mut inside);
        } else {
            // Postfix without smtpd_helo_required takes MAIL first.
            let mut direct = enter(&room.servers.direct(Way::Clear, false), CLIENT);
            let own = ask(&mut direct, "MAIL FROM:<sender@example.net>");
            assert_eq!(ask(&mut inside, "MAIL FROM:<sender@example.net>"), own);
            say(&mut inside, "RSET", "250");
        }
        let mark = room.servers.postfix.mark();
        envelope(&mut inside);
        inside.send(message("forgetful"));
        expect(&mut inside, "250", "the message");
        say(&mut inside, "QUIT", "221");
        room.servers.postfix.delivers(mark, 1);
    }
    let mail = room.servers.mail().concat();
    assert!(!mail.contains("forgotten.example.net"), "{mail}");
    let log = room.servers.postfix.log();
    assert!(!log.contains("forgotten.example.net"), "{log}");
}

/// S9: inside TLS there is no more of it, and the session goes on.
#[test]
fn and_only_once() {
    let room = Mailroom::set();
    for slot in room.secure_slots() {
        let mut peer = enter(&slot, CLIENT);
        for line in ["STARTTLS", "starttls", "STARTTLS now"] {
            let answer = ask(&mut peer, line);
            assert!(answer.starts_with("50"), "{answer:?} to {line:?}");
        }
        ehlo(&mut peer);
        say(&mut peer, "NOOP", "250");
        say(&mut peer, "STARTTLS", "503");
        say(&mut peer, "QUIT", "221");
    }
}

/// S7: whatever comes glued to it in clear is never obeyed; cut in four ways.
#[test]
fn and_nothing_comes_along() {
    let room = Mailroom::set();
    let mark = room.servers.postfix.mark();
    for slot in [room.mx(Way::Starttls), room.submission(Way::Starttls)] {
        for pieces in [
            &["STARTTLS\r\nMAIL FROM:<injected@example.net>\r\n"][..],
            &["STARTTLS\r", "\nMAIL FROM:<injected@example.net>\r\n"],
            &["START", "TLS\r\nM"],
            &["EHLO x\r\nSTARTTLS\r\nEHLO injected.example.net\r\n"],
        ] {
            let mut peer = call(slot.port, CLIENT);
            expect(&mut peer, "220", "the connection");
            for piece in pieces {
                peer.send(piece);
            }
            let heard = peer.rest();
            assert!(!heard.contains("250 2.1.0"), "{heard:?} to {pieces:?}");
            let last = heard.lines().last().unwrap_or_default();
            assert!(
                last.starts_with("220 ") || last.starts_with("421 "),
                "{heard:?} to {pieces:?}"
            );
        }
    }
    crate::smtp::send(&mut enter(&room.mx(Way::Starttls), CLIENT), "honest");
    room.servers.postfix.delivers(mark, 1);
    assert!(!room.servers.postfix.log().contains("injected"), "{}", room.servers.postfix.log());
}

/// S25: last in a group, both are answered in order, and TLS begins.
#[test]
fn also_as_the_last_of_a_group() {
    let room = Mailroom::set();
    for slot in [room.mx(Way::Starttls), room.submission(Way::Starttls)] {
        let mut peer = call(slot.port, CLIENT);
        expect(&mut peer, "220", "the connection");
        peer.send("EHLO client.example.net\r\nNOOP\r\nSTARTTLS\r\n");
        for code in ["250", "250", "220"] {
            expect(&mut peer, code, "a command in the group");
        }
        let mut inside = secure(peer, trust(slot.root));
        ehlo(&mut inside);
        say(&mut inside, "QUIT", "221");
    }
}

/// S26, §4: after mail in clear it is still on offer, but not inside a transaction; and then Postfix meets somebody
/// new, whose TLS the first session knows nothing of.
#[test]
fn also_after_mail_in_clear() {
    let room = Mailroom::set();
    let slot = room.mx(Way::Clear);
    let mark = room.servers.postfix.mark();
    let mut peer = enter(&slot, CLIENT);
    say(&mut peer, "EHLO forgotten.example.net", "250");
    say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    say(&mut peer, "STARTTLS", "503");
    say(&mut peer, "RCPT TO:<alice@example.org>", "250");
    say(&mut peer, "STARTTLS", "503");
    say(&mut peer, "DATA", "354");
    peer.send(message("in clear"));
    expect(&mut peer, "250", "the message");
    say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    say(&mut peer, "RSET", "250");
    say(&mut peer, "STARTTLS now", "501");
    say(&mut peer, "STARTTLS", "220");
    let mut inside = unboxed(peer, &slot);
    // The first session is over, politely.
    room.servers.postfix.logs(mark, &["disconnect from unknown[127.0.0.5]", "quit=1"]);
    let between = room.servers.postfix.mark();
    crate::smtp::send(&mut inside, "in TLS");
    room.servers.postfix.delivers(mark, 2);
    room.servers.postfix.logs(between, &["client=unknown[127.0.0.5]"]);
    let mail = room.servers.mail();
    assert!(
        mail.iter()
            .any(|message| message.contains("Subject: in TLS") && !message.contains("forgotten.")),
        "{mail:?}"
    );
}

/// Begins TLS on what was a session in clear.
fn unboxed(mut peer: Peer<Box<dyn Bytes>>, slot: &Slot<'_>) -> Peer<impl Bytes> {
    let name = ServerName::try_from(NAME).expect("a name");
    let mut tls = ClientConnection::new(trust(slot.root), name).expect("a client");
    while tls.is_handshaking() {
        tls.complete_io(&mut peer.0).expect("the handshake succeeds");
    }
    Peer(StreamOwned::new(tls, peer.0))
}

/// S5: on 587 there is nothing else before it, for good and bad commands alike.
#[test]
fn where_nothing_else_is_allowed() {
    let room = Mailroom::set();
    let mark = room.servers.postfix.mark();
    let mut peer = call(room.submission(Way::Starttls).port, CLIENT);
    expect(&mut peer, "220", "the connection");
    for line in [
        "MAIL FROM:<sender@example.net>",
        "RCPT TO:<alice@example.org>",
        "DATA",
        "BDAT 5",
        "VRFY alice",
        "EXPN alice",
        "ETRN x",
        "AUTH PLAIN AGFsaWNlAHNlY3JldA==",
        "AUTH PLAIN AGFsaWNlAHdyb25n",
        "AUTH LOGIN",
        "NONSENSE",
    ] {
        let answer = ask(&mut peer, line);
        assert_eq!(answer, "530 5.7.0 Must issue a STARTTLS command first\r\n", "to {line:?}");
    }
    for (line, code) in [
        ("EHLO client.example.net", "250"),
        ("HELO client.example.net", "250"),
        ("NOOP", "250"),
        ("NOOP with words", "250"),
        ("RSET", "250"),
        ("HELP", "214"),
        ("QUIT", "221"),
    ] {
        say(&mut peer, line, code);
    }
    assert_eq!(peer.rest(), "");
    // Postfix has not heard of it.
    crate::smtp::send(&mut enter(&room.mx(Way::Clear), CLIENT), "later");
    room.servers.postfix.delivers(mark, 1);
    let log = room.servers.postfix.log();
    assert!(
        !log.contains("submission/smtpd")
            || !log.contains("submission: connect from unknown[127.0.0.5]"),
        "{log}"
    );
}

/// S34: QUIT is answered by the backend, and the end is announced as such.
#[test]
fn and_it_ends_as_it_should() {
    let room = Mailroom::set();
    for slot in [room.mx(Way::Starttls), room.submission(Way::Implicit)] {
        let mut inside = if slot.way == Way::Implicit {
            let mut inside = secure(call(slot.port, CLIENT), trust(slot.root));
            expect(&mut inside, "220", "the handshake");
            inside
        } else {
            upgrade(call(slot.port, CLIENT), &slot)
        };
        ehlo(&mut inside);
        assert_eq!(ask(&mut inside, "QUIT"), "221 2.0.0 Bye\r\n");
        let mut rest = Vec::new();
        let end = inside.0.read_to_end(&mut rest);
        assert!(end.is_ok() && rest.is_empty(), "{end:?}: no close_notify");
    }
}

/// S36, X1, X6, X9, X4: the PROXY header comes first, in one piece with who the client is; it speaks of TLS where there
/// is TLS, and never of SMTP's ALPN.
#[test]
fn and_the_backend_is_told_first() {
    let booth = Booth::set(|mut arrived| {
        // Not a word until the front has said who is there.
        arrived.begin(OFFER);
        arrived.end();
        arrived.header
    });
    for way in [Way::Clear, Way::Starttls, Way::Implicit] {
        let mut peer = enter(&booth.slot(way), CLIENT);
        ehlo(&mut peer);
        if way == Way::Clear {
            // Until now nobody had to be asked.
            booth.told_nothing();
        }
        peer.send("QUIT\r\n");
        expect(&mut peer, "221", "QUIT");
        if way == Way::Clear {
            continue;
        }
        let header = booth.told();
        assert_eq!(header[12..14], [0x21, 0x11], "PROXY, TCP over IPv4");
        assert_eq!(header[16..20], CLIENT.octets());
        let has_tls = header.windows(7).any(|part| part == b"TLSv1.3");
        assert!(has_tls, "{header:?}");
        assert!(!header.windows(4).any(|part| part == b"smtp"), "{header:?}");
    }
}

/// T22: who speaks TLS where it has not begun, or HTTP, is not kept waiting.
#[test]
fn and_not_for_who_cannot_wait() {
    let room = Mailroom::set();
    for port in [room.mx(Way::Clear).port, room.submission(Way::Starttls).port] {
        for foreign in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b>\r\n",
            b"POST / HTTP/1.1\r\n\r\nEHLO x\r\n",
        ] {
            let mut peer = call(port, CLIENT);
            reply(&mut peer);
            peer.send(foreign);
            let heard = peer.rest();
            assert!(!heard.contains("250"), "{heard:?} to {foreign:?}");
        }
    }
}
