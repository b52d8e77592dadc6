//! Who speaks no mail at all is told so, and let go, long before any deadline.

use crate::{
    common::{
        hello::{Answer, Hello},
        mailhost::{Host, TALKS},
        peer::connect,
        tls::NAME,
    },
    stage::Stage,
};

/// With these a test that waits for a deadline fails.
const ENDLESS: &str = "timeouts: { handshake: 1h, pre_login: 1h, idle: 1h, closing: 1h }";

/// T22, F10: text where a handshake should be gets an alert, and the end.
#[test]
fn text_on_an_implicit_port() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let door = (talk.name(), "implicit", host.backend.address);
        let front = stage.front(&[door], ENDLESS);
        for text in [
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "EHLO x\r\n",
            "a LOGIN alice secret\r\n",
            "SSH-2.0-OpenSSH_9.6\r\n",
            "\0\0\0\0\0\0\0\0",
        ] {
            let mark = front.mark();
            let mut peer = connect(front.address(0));
            peer.send(text);
            assert!(matches!(Answer::read(&mut peer), Answer::Alert(_)), "{text:?}");
            assert_eq!(peer.rest(), "", "{text:?}");
            let end = front.summary(mark)["end"].to_string();
            assert!(end.contains("handshake"), "{end}");
        }
        assert!(host.callers().is_empty());
    }
}

/// T22: a ClientHello where a command should be is not waited on to end in CRLF.
#[test]
fn tls_on_a_cleartext_port() {
    let stage = Stage::set();
    let hello = Hello::default().asking(NAME).record();
    for talk in TALKS {
        let host = Host::polite(talk);
        let door = (talk.name(), "starttls", host.backend.address);
        let front = stage.front(&[door], ENDLESS);
        for part in [&hello[..], &hello[..1]] {
            let mut peer = connect(front.address(0));
            peer.until(talk.greeted());
            peer.send(part);
            let said = peer.rest();
            assert!(said.starts_with(talk.bye()), "{talk:?}: {said:?}");
        }
        assert!(host.callers().is_empty());
    }
}

/// T22, F10: a browser's request is let go at its first line, so that its body is nobody's command.
#[test]
fn http_on_a_cleartext_port() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["starttls", "none"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, ENDLESS);
        for n in 0..doors.len() {
            let (noop, ok) = talk.noop();
            let mut peer = connect(front.address(n));
            peer.until(talk.greeted());
            peer.send(format!("POST / HTTP/1.1\r\nHost: x\r\n\r\n{noop}"));
            let said = peer.rest();
            assert!(!said.contains(ok), "{talk:?}: {said:?}");
        }
        assert_eq!(host.heard(), [""; 0], "{talk:?}");
    }
}

/// F10: garbage of all kinds ends no other session, and no process.
#[test]
fn garbage_on_every_port() {
    let stage = Stage::set();
    let hosts = TALKS.map(Host::polite);
    let mut doors = Vec::new();
    for (talk, host) in TALKS.iter().zip(&hosts) {
        doors.extend(["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address)));
    }
    let front = stage.front(&doors, "timeouts: { handshake: 300ms, pre_login: 300ms }");
    let noise: Vec<u8> = (0..=255u8).cycle().map(|b| b.wrapping_mul(167)).take(70_000).collect();
    for n in 0..doors.len() {
        for garbage in
            [&noise[..], &noise[..3], &[0x16, 3, 1, 0xff, 0xff], &[b'('; 5000], &[0; 40_000]]
        {
            let mark = front.mark();
            let mut peer = connect(front.address(n));
            // The front may have gone before it has read all.
            let _ = std::io::Write::write_all(&mut peer.0, garbage);
            peer.rest();
            drop(peer);
            front.summary(mark);
        }
    }
    for (n, talk) in TALKS.iter().enumerate() {
        let mut peer = stage.client().enter(front.address(n * 2 + 1));
        peer.until(talk.greeted());
        talk.log_in(&mut peer);
    }
    let log = front.log();
    assert!(!log.iter().any(|l| l["level"] == "ERROR"), "strangers cause no errors of ours");
}
