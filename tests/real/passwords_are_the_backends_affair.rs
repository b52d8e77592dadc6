//! A wrong password is refused by Dovecot in its words, a right one let in; in clear, neither gets that far.

use std::{
    net::{Ipv4Addr, TcpStream},
    thread,
};

use rustls::{ClientConnection, StreamOwned};

use crate::{
    clients::{Door, How, Protocol},
    common::peer::{Bytes, Peer},
    dialogue::{PLAIN, log_in},
    dovecot::{Options, Ssl},
    stage::{Backend, Stage, call, enter, greeting},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

/// Each way to log in, with a wrong password; what came in answer.
fn wrong_passwords<S: Bytes>(peer: &mut Peer<S>, protocol: Protocol) -> Vec<String> {
    // \0alice\0wrong
    let wrong = "AGFsaWNlAHdyb25n";
    match protocol {
        Protocol::Imap => {
            let mut said = Vec::new();
            peer.send("w1 LOGIN alice wrong\r\n");
            said.push(peer.until("w1 "));
            peer.send(format!("w2 AUTHENTICATE PLAIN {wrong}\r\n"));
            said.push(peer.until("w2 "));
            peer.send("w3 AUTHENTICATE PLAIN\r\n");
            said.push(peer.until("+"));
            peer.send(format!("{wrong}\r\n"));
            said.push(peer.until("w3 "));
            peer.send("w4 AUTHENTICATE PLAIN\r\n");
            said.push(peer.until("+"));
            peer.send("*\r\n");
            said.push(peer.until("w4 "));
            // Literals, with and without waiting for leave.
            peer.send("w5 LOGIN {5}\r\n");
            said.push(peer.until("+"));
            peer.send("alice {5+}\r\nwrong\r\n");
            said.push(peer.until("w5 "));
            said
        }
        Protocol::Pop3 => {
            let mut said = Vec::new();
            peer.send("USER alice\r\n");
            said.push(peer.line());
            peer.send("PASS wrong\r\n");
            said.push(peer.line());
            peer.send(format!("AUTH PLAIN {wrong}\r\n"));
            said.push(peer.line());
            peer.send("AUTH PLAIN\r\n");
            said.push(peer.until("+"));
            peer.send("*\r\n");
            said.push(peer.line());
            // Without an argument it is a question, not a login.
            peer.send("AUTH\r\n");
            said.push(peer.until("."));
            said
        }
        Protocol::Sieve => {
            let mut said = Vec::new();
            // Those without an initial response come first: Dovecot would take the one of the attempt before.
            peer.send("AUTHENTICATE \"PLAIN\"\r\n");
            said.push(peer.line());
            peer.send(format!("\"{wrong}\"\r\n"));
            said.push(peer.line());
            peer.send("AUTHENTICATE \"LOGIN\"\r\n");
            said.push(peer.line());
            peer.send("\"*\"\r\n");
            said.push(peer.line());
            peer.send(format!("AUTHENTICATE \"PLAIN\" \"{wrong}\"\r\n"));
            said.push(peer.line());
            peer.send(format!("AUTHENTICATE \"PLAIN\" {{{}+}}\r\n{wrong}\r\n", wrong.len()));
            said.push(peer.line());
            peer.send("LISTSCRIPTS\r\n");
            said.push(peer.line());
            said
        }
    }
}

/// I21, M9: D. The same words as directly, and then the right password in the same session.
#[test]
fn in_tls_its_words_are_dovecots() {
    let stage = Stage::set(Ssl::Yes);
    let words = |door: Door<'_>, source: Ipv4Addr| {
        let (mut direct, _) = enter(&stage.backend.direct(door.protocol), source);
        let wanted = wrong_passwords(&mut direct, door.protocol);
        let mark = stage.backend.dovecot.mark();
        let (mut through, _) = enter(&door, source);
        assert_eq!(wrong_passwords(&mut through, door.protocol), wanted, "{door:?}");
        let rip = source.to_string();
        stage.backend.dovecot.logs(mark, &["alice", &rip, "Password mismatch"]);
        log_in(&mut through, door.protocol);
        stage.backend.dovecot.logs(mark, &["Login: user=<alice>", &rip, "secured=<secured>"]);
    };
    // Dovecot takes its time over each wrong password: all doors at once.
    thread::scope(|scope| {
        for (n, door) in (10..).zip(stage.doors()) {
            let words = &words;
            scope.spawn(move || words(door, Ipv4Addr::new(127, 0, 0, n)));
        }
    });
}

/// I21: mechanisms that the front has never heard of need several turns; all of them are the backend's.
#[test]
fn in_tls_any_mechanism_passes() {
    let stage = Stage::set(Ssl::Yes);
    for how in [How::Starttls, How::Implicit] {
        let (mut imap, _) = enter(&stage.door(Protocol::Imap, how), CLIENT);
        imap.send("a AUTHENTICATE LOGIN\r\n");
        imap.expect("+ VXNlcm5hbWU6\r\n");
        imap.send("YWxpY2U=\r\n");
        imap.expect("+ UGFzc3dvcmQ6\r\n");
        imap.send("c2VjcmV0\r\n");
        imap.until("a OK");
        let (mut pop3, _) = enter(&stage.door(Protocol::Pop3, how), CLIENT);
        pop3.send("AUTH LOGIN\r\n");
        pop3.expect("+ VXNlcm5hbWU6\r\n");
        pop3.send("YWxpY2U=\r\n");
        pop3.expect("+ UGFzc3dvcmQ6\r\n");
        pop3.send("c2VjcmV0\r\n");
        pop3.until("+OK");
        let (mut sieve, _) = enter(&stage.door(Protocol::Sieve, how), CLIENT);
        sieve.send("AUTHENTICATE \"LOGIN\"\r\n");
        sieve.expect("\"VXNlcm5hbWU6\"\r\n");
        sieve.send("\"YWxpY2U=\"\r\n");
        sieve.expect("\"UGFzc3dvcmQ6\"\r\n");
        sieve.send("\"c2VjcmV0\"\r\n");
        sieve.until("OK");
    }
}

/// A password of so many octets, as the initial response that carries it.
fn long_password(octets: usize) -> (String, String) {
    let password = "p".repeat(octets);
    // "\0alice\0" has seven octets, of which the first six make eight characters; the rest is `\0pp`, `ppp`, …
    assert_eq!(octets % 3, 2);
    let response = format!("AGFsaWNlAHBw{}", "cHBw".repeat((octets - 2) / 3));
    (password, response)
}

/// I21: D. The longest responses that Dovecot takes (8 KiB) are taken through the front as well.
#[test]
fn in_tls_long_responses_pass() {
    for octets in [1_400, 6_110] {
        let (password, response) = long_password(octets);
        let backend = Backend::with(&Options {
            ssl: Ssl::Yes,
            users: &[("alice", &password)],
            ..Options::default()
        });
        let stage = Stage::before(backend);
        for door in stage.doors() {
            for (directly, through) in long_logins(&stage.backend.direct(door.protocol), &response)
                .into_iter()
                .zip(long_logins(&door, &response))
            {
                let (mut directly, mut through) = (directly, through);
                let told = answer(&mut directly);
                assert!(told.contains("OK"), "{octets} octets directly: {told}");
                assert_eq!(answer(&mut through), told, "{octets} octets through {door:?}");
            }
        }
    }
}

/// I21: 12 KiB are too much for Dovecot, and it is Dovecot who says so, not the front.
#[test]
fn in_tls_longer_responses_are_refused_by_dovecot() {
    let (_, response) = long_password(9_200);
    let stage = Stage::set(Ssl::Yes);
    for door in stage.doors() {
        for n in 0..long_logins(&door, "=").len() {
            let mark = stage.backend.dovecot.mark();
            let mut peer = long_logins(&door, &response).remove(n);
            stage.backend.dovecot.logs(
                mark,
                &["Authentication response too large", "rip=127.0.0.5", "secured=<secured>"],
            );
            peer.rest();
        }
    }
}

/// Sessions that have just sent this response: with the command, where that can be, and as a line of its own.
fn long_logins(
    door: &Door<'_>,
    response: &str,
) -> Vec<Peer<StreamOwned<ClientConnection, TcpStream>>> {
    let commands: &[&str] = match door.protocol {
        Protocol::Imap => &["a AUTHENTICATE PLAIN RESPONSE\r\n", "a AUTHENTICATE PLAIN\r\n"],
        Protocol::Pop3 => &["AUTH PLAIN RESPONSE\r\n", "AUTH PLAIN\r\n"],
        Protocol::Sieve => &[
            "AUTHENTICATE \"PLAIN\" {LENGTH+}\r\nRESPONSE\r\n",
            "AUTHENTICATE \"PLAIN\" \"RESPONSE\"\r\n",
        ],
    };
    let log_in = |command: &&str| {
        let (mut peer, _) = enter(door, CLIENT);
        peer.send(
            command.replace("RESPONSE", response).replace("LENGTH", &response.len().to_string()),
        );
        if !command.contains("RESPONSE") {
            peer.until("+");
            peer.send(format!("{response}\r\n"));
        }
        peer
    };
    commands.iter().map(log_in).collect()
}

/// The line that decides.
fn answer<S: Bytes>(peer: &mut Peer<S>) -> String {
    loop {
        let line = peer.line();
        if !line.starts_with("* CAP") {
            return line;
        }
    }
}

/// I9, P7, M5: in clear, good and bad passwords are refused in the same words; then STARTTLS works all the same.
#[test]
fn in_clear_good_and_bad_are_refused_alike() {
    for ssl in [Ssl::No, Ssl::Yes] {
        let stage = Stage::set(ssl);
        let mark = stage.backend.dovecot.mark();
        let clear = |protocol| {
            let mut clear = call(stage.door(protocol, How::Starttls).port, CLIENT);
            greeting(&mut clear, protocol);
            clear
        };
        for (protocol, refusal, attempts) in [
            (
                Protocol::Imap,
                "a NO [PRIVACYREQUIRED] ",
                &[
                    ("a LOGIN alice secret\r\n", "a LOGIN alice wrong\r\n"),
                    (
                        "a LOGIN \"alice\" {6+}\r\nsecret\r\n",
                        "a LOGIN \"nobody\" {5+}\r\nwrong\r\n",
                    ),
                    (
                        "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n",
                        "a AUTHENTICATE PLAIN AGFsaWNlAHdyb25n\r\n",
                    ),
                    ("a AUTHENTICATE PLAIN\r\n", "a AUTHENTICATE SCRAM-SHA-256\r\n"),
                ][..],
            ),
            (
                Protocol::Pop3,
                "-ERR ",
                &[
                    ("USER alice\r\n", "USER nobody\r\n"),
                    ("PASS secret\r\n", "PASS wrong\r\n"),
                    ("APOP alice c4c9334bac560ecc979e58001b3e22fb\r\n", "APOP nobody 0\r\n"),
                    ("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", "AUTH PLAIN AGFsaWNlAHdyb25n\r\n"),
                    ("AUTH PLAIN\r\n", "AUTH SCRAM-SHA-256\r\n"),
                ],
            ),
            (
                Protocol::Sieve,
                "NO ",
                &[
                    (
                        "AUTHENTICATE \"PLAIN\" \"AGFsaWNlAHNlY3JldA==\"\r\n",
                        "AUTHENTICATE \"PLAIN\" \"AGFsaWNlAHdyb25n\"\r\n",
                    ),
                    (
                        "AUTHENTICATE \"PLAIN\" {20+}\r\nAGFsaWNlAHNlY3JldA==\r\n",
                        "AUTHENTICATE \"PLAIN\" {16+}\r\nAGFsaWNlAHdyb25n\r\n",
                    ),
                    ("AUTHENTICATE \"PLAIN\"\r\n", "AUTHENTICATE \"SCRAM-SHA-256\"\r\n"),
                ],
            ),
        ] {
            for &(good, bad) in attempts {
                let (mut with_good, mut with_bad) = (clear(protocol), clear(protocol));
                with_good.send(good);
                with_bad.send(bad);
                let said = with_good.line();
                assert!(said.starts_with(refusal), "{said:?} to {good:?}");
                assert_eq!(
                    with_bad.line(),
                    said,
                    "good and bad must look the same: {good:?} {bad:?}"
                );
                // Neither session is spoilt.
                let upgrade = match protocol {
                    Protocol::Imap => ("b STARTTLS\r\n", "b OK"),
                    Protocol::Pop3 => ("STLS\r\n", "+OK"),
                    Protocol::Sieve => ("STARTTLS\r\n", "OK"),
                };
                with_good.send(upgrade.0);
                let granted = with_good.line();
                assert!(granted.starts_with(upgrade.1), "{granted:?} after {good:?}");
            }
        }
        // Dovecot heard nothing of all that: the first it hears is this.
        let (mut peer, _) = enter(&stage.door(Protocol::Imap, How::Starttls), CLIENT);
        log_in(&mut peer, Protocol::Imap);
        stage.backend.dovecot.logs(mark, &["Login: user=<alice>", "rip=127.0.0.5"]);
        let log = stage.backend.dovecot.log();
        assert!(!log.contains("auth failed") && !log.contains("nobody"), "{log}");
        assert!(!log.contains(PLAIN), "{log}");
    }
}
