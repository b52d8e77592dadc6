//! Where Dovecot believes the front's network, a client still cannot tell it a false address.

use std::net::Ipv4Addr;

use crate::{
    clients::{How, Protocol},
    common::peer::{Bytes, Peer},
    dialogue::log_in,
    dovecot::{Options, Ssl},
    stage::{Backend, Stage, call, enter, greeting},
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
    let stage = Stage::before(trusting());
    for door in stage.doors() {
        let mark = stage.backend.dovecot.mark();
        pretend(&mut enter(&door, CLIENT).0, door.protocol);
        stage.backend.dovecot.logs(mark, &["Login: user=<alice>", "rip=127.0.0.5,"]);
    }
    let log = stage.backend.dovecot.log();
    assert!(!log.contains("203.0.113.9"), "{log}");
}

/// P12, M13: D. Dovecot tells those it trusts of XCLIENT; the front's clients hear nothing of it.
#[test]
fn nor_is_told_how() {
    let stage = Stage::before(trusting());
    for (protocol, how) in [(Protocol::Pop3, How::Starttls), (Protocol::Sieve, How::Starttls)] {
        let mut clear = call(stage.door(protocol, how).port, CLIENT);
        let before = greeting(&mut clear, protocol);
        let (_, inside) = enter(&stage.door(protocol, How::Implicit), CLIENT);
        assert!(!format!("{before}{inside}").contains("XCLIENT"), "{before}{inside}");
    }
    let mut direct = call(stage.backend.direct(Protocol::Pop3).port, CLIENT);
    let told = greeting(&mut direct, Protocol::Pop3);
    assert!(told.contains("[XCLIENT]"), "the control: {told}");
}
