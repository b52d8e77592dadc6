//! Where Dovecot believes the front's network, a client still cannot tell it a false address.

use std::{io::Write as _, net::Ipv4Addr};

use crate::{
    clients::{How, Protocol},
    common::peer::{Bytes, Peer},
    dialogue::log_in,
    dovecot::{Options, Ssl},
    stage::{Backend, Identity, Stage, call, enter, greeting},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

/// A Dovecot that trusts whoever comes from this machine, and that is everybody here.
fn trusting() -> Backend {
    Backend::with(&Options {
        ssl: Ssl::No,
        more: "login_trusted_networks = 127.0.0.0/8",
        ..Options::default()
    })
}

/// The front before one, which it tells of its clients by PROXY headers, or in the words that it believes.
fn stages() -> [Stage; 2] {
    [Identity::ProxyV2, Identity::Words].map(|identity| Stage::before(trusting().told_by(identity)))
}

/// Claims to be somebody else in each way that Dovecot knows, then logs in.
fn pretend<S: Bytes>(peer: &mut Peer<S>, protocol: Protocol) {
    match protocol {
        Protocol::Imap => {
            peer.send("i1 ID (\"name\" \"x\" \"x-originating-ip\" \"203.0.113.9\" \"X-Originating-Port\" \"7\")\r\n");
            peer.until("i1 ");
            peer.send("i2 ID ({16+}\r\nx-originating-ip {11+}\r\n203.0.113.9 \"version\" NIL)\r\n");
            peer.until("i2 ");
        }
        Protocol::Pop3 => {
            peer.send("XCLIENT ADDR=203.0.113.9 PORT=7\r\n");
            peer.line();
        }
        Protocol::Sieve => {
            peer.send("XCLIENT ADDR=203.0.113.9 PORT=7\r\n");
            peer.line();
        }
    }
    log_in(peer, protocol);
}

/// The control: directly it works, or the test below proves nothing.
#[test]
fn though_directly_one_can() {
    let backend = trusting();
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let mark = backend.dovecot.mark();
        let mut clear = call(backend.direct(protocol).port, CLIENT);
        greeting(&mut clear, protocol);
        pretend(&mut clear, protocol);
        backend.dovecot.logs(mark, &["Login: user=<alice>", "rip=203.0.113.9,"]);
    }
}

/// I13, P12, M13: through any port the address stays the real one.
#[test]
fn by_id_or_xclient() {
    for stage in stages() {
        for door in stage.doors() {
            let mark = stage.backend.dovecot.mark();
            pretend(&mut enter(&door, CLIENT).0, door.protocol);
            stage.backend.dovecot.logs(mark, &["Login: user=<alice>", "rip=127.0.0.5,"]);
        }
        let log = stage.backend.dovecot.log();
        assert!(!log.contains("203.0.113.9"), "{log}");
    }
}

/// P12, M13: D. Dovecot tells those it trusts of XCLIENT; the front's clients hear nothing of it.
#[test]
fn nor_is_told_how() {
    let stages = stages();
    for stage in &stages {
        for (protocol, how) in [(Protocol::Pop3, How::Starttls), (Protocol::Sieve, How::Starttls)] {
            let mut clear = call(stage.door(protocol, how).port, CLIENT);
            let before = greeting(&mut clear, protocol);
            let (_, inside) = enter(&stage.door(protocol, How::Implicit), CLIENT);
            assert!(!format!("{before}{inside}").contains("XCLIENT"), "{before}{inside}");
        }
    }
    let mut direct = call(stages[0].backend.direct(Protocol::Pop3).port, CLIENT);
    let told = greeting(&mut direct, Protocol::Pop3);
    assert!(told.contains("[XCLIENT]"), "the control: {told}");
}

/// I13, P12, M13: nor by what the front would take for data and Dovecot for a command, or the other way round.
/// Whether such a session goes on is of no interest; who it says it is, is.
#[test]
fn nor_between_the_lines() {
    stages().iter().for_each(between_the_lines);
}

fn between_the_lines(stage: &Stage) {
    const ID: &str = "ID (\"x-originating-ip\" \"203.0.113.9\")";
    const XCLIENT: &str = "XCLIENT ADDR=203.0.113.9 PORT=7";
    let mut believed: Vec<String> = Vec::new();
    for (protocol, attempts) in [
        (
            Protocol::Imap,
            &[
                "a LOGIN alice wrong {LENGTH+}\r\nLINE\r\n",
                "a LOGIN alice wrong{LENGTH+}\r\nLINE\r\n",
                "a LOGIN alice {5+}\r\nwrong {LENGTH+}\r\nLINE\r\n",
                "a AUTHENTICATE {LENGTH+}\r\nLINE\r\n",
                "a AUTHENTICATE PLAIN {LENGTH+}\r\nLINE\r\n",
                "a AUTHENTICATE PLAIN = {LENGTH+}\r\nLINE\r\n",
                "a FOO {LENGTH+}\r\nLINE\r\n",
                "a NOOP {LENGTH+}\r\nLINE\r\n",
                "a AUTHENTICATE PLAIN\r\n*\r\nLINE\r\n",
                "a AUTHENTICATE PLAIN\r\nLINE\r\n",
                "a\tID (\"x-originating-ip\" \"203.0.113.9\")\r\n",
                "a ID\t(\"x-originating-ip\" \"203.0.113.9\")\r\n",
                "  LINE\r\n",
                "a ID (\"a\" \"b\" \"x-originating-ip\" {13+}\r\n203.0.113.9)\r\n",
                "a ID (\"x-originating-ip\" \"203.0.113.9\"\r\n",
                "a ID (\"x-originating-ip\" \"203.0.113.9\") x\r\n",
                "a ID (\"x-\\originating-ip\" \"203.0.113.9\")\r\n",
            ][..],
        ),
        (
            Protocol::Pop3,
            &[
                " LINE\r\n",
                "XCLIENT\tADDR=203.0.113.9 PORT=7\r\n",
                "AUTH PLAIN\r\n*\r\nLINE\r\n",
                "AUTH PLAIN\r\nLINE\r\n",
                "AUTH \r\nLINE\r\n",
                "NOOP\rLINE\r\n",
                "NOOP\nLINE\r\n",
            ],
        ),
        (
            Protocol::Sieve,
            &[
                "AUTHENTICATE {LENGTH+}\r\nLINE\r\n",
                "AUTHENTICATE \"PLAIN\" {LENGTH+}\r\nLINE\r\n",
                "AUTHENTICATE \"PLAIN\" \"x\" {LENGTH+}\r\nLINE\r\n",
                "AUTHENTICATE \"PLAIN\"{LENGTH+}\r\nLINE\r\n",
                "FOO {LENGTH+}\r\nLINE\r\n",
                "NOOP {LENGTH+}\r\nLINE\r\n",
                "NOOP x {LENGTH+}\r\nLINE\r\n",
                "NOOP \"x\" {LENGTH+}\r\nLINE\r\n",
                "CAPABILITY {LENGTH+}\r\nLINE\r\n",
                "FOO x{LENGTH+}\r\nLINE\r\n",
                "AUTHENTICATE \"PLAIN\"\r\n{LENGTH+}\r\nLINE\r\n",
                "XCLIENT\tADDR=203.0.113.9 PORT=7\r\n",
                " LINE\r\n",
            ],
        ),
    ] {
        let (line, log_in) = match protocol {
            Protocol::Imap => (format!("x {ID}"), "l LOGIN alice secret\r\n"),
            Protocol::Pop3 => (XCLIENT.to_owned(), "USER alice\r\nPASS secret\r\n"),
            Protocol::Sieve => {
                (XCLIENT.to_owned(), "AUTHENTICATE \"PLAIN\" \"AGFsaWNlAHNlY3JldA==\"\r\n")
            }
        };
        for (n, attempt) in attempts.iter().enumerate() {
            // Each attempt has an address of its own, to be told from the others in the log.
            let address = format!("203.0.{}.{}", 100 + protocol as u8, 100 + n);
            let (line, attempt) =
                (line.replace("203.0.113.9", &address), attempt.replace("203.0.113.9", &address));
            let text = attempt.replace("LENGTH", &line.len().to_string()).replace("LINE", &line);
            let (mut peer, _) = enter(&stage.door(protocol, How::Implicit), CLIENT);
            peer.send(format!("{text}{log_in}"));
            // The end of input is the end of the session, however it went.
            peer.0.conn.send_close_notify();
            peer.0.flush().expect("the front reads");
            let said = peer.rest();
            if stage.backend.dovecot.log().contains(&format!("rip={address}")) {
                believed.push(format!("{text:?} was answered {said:?}"));
            }
        }
    }
    assert_eq!(believed, [""; 0], "{}", stage.backend.dovecot.log());
}
