//! What comes behind STARTTLS is a handshake or nothing: no octet of it is ever a command.

use crate::{
    common::{
        hello::{Answer, Hello},
        mailhost::{Host, TALKS, Talk},
        peer::{Peer, connect},
        tls::{NAME, der},
    },
    stage::Stage,
};

/// What an attacker on the line would like to have executed, in the victim's session inside TLS.
fn injected(talk: Talk) -> &'static str {
    match talk {
        Talk::Imap => "evil NOOP\r\n",
        Talk::Pop3 => "CAPA\r\n",
        Talk::Sieve => "NOOP \"evil\"\r\n",
    }
}

/// I3, P6, M12; RFC 3207 §6: glued to the command, wholly or in part, it ends the session, and no backend
/// has heard of it.
#[test]
fn plaintext_behind_the_command_ends_the_session() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let (command, consent) = talk.upgrade();
        let text = format!("{command}{}", injected(talk));
        // In one segment: with all of the second command, with half of it, with its first octet.
        for end in [text.len(), command.len() + 4, command.len() + 1] {
            let mark = front.mark();
            let mut peer = connect(front.address(0));
            peer.until(talk.greeted());
            peer.send(&text[..end]);
            let said = peer.rest();
            drop(peer);
            assert!(said.starts_with(consent), "{talk:?}: {said}");
            let (_, after) = said.split_once("\r\n").unwrap();
            assert!(after.is_empty() || after.starts_with(talk.bye()), "{talk:?}: {after:?}");
            assert_eq!(front.summary(mark)["tls"], serde_json::Value::Null);
        }
        assert_eq!(host.heard(), [""; 0], "{talk:?}");
        assert!(host.callers().is_empty(), "{talk:?}: no backend was needed");
    }
}

/// A hello that came in one segment with the command and makes no sense is answered with an alert, as it is on
/// its own; a name with a dot at its end is but a name.
#[test]
fn a_hello_glued_to_the_command_is_answered() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let (command, consent) = talk.upgrade();
        let answer = |name: &str| {
            let mut peer = connect(front.address(0));
            peer.until(talk.greeted());
            peer.send([command.as_bytes(), &Hello::default().asking(name).record()].concat());
            assert!(peer.line().starts_with(consent));
            Answer::read(&mut peer)
        };
        assert!(matches!(answer("a..example.org"), Answer::Alert(_)), "{talk:?}");
        assert_eq!(answer(&format!("{NAME}.")).leaf(), &der(&stage.leaf.cert)[..], "{talk:?}");
    }
}

/// I3, P6, M12: in a second segment it is what TLS sees first, and that is no handshake.
#[test]
fn plaintext_instead_of_a_handshake_ends_the_session() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let (command, consent) = talk.upgrade();
        let mut peer = connect(front.address(0));
        peer.until(talk.greeted());
        peer.send(command);
        assert!(peer.line().starts_with(consent));
        peer.send(injected(talk));
        assert!(
            matches!(Answer::read(&mut peer), Answer::Alert(_)),
            "{talk:?}: TLS answers, and nobody else"
        );
        peer.rest();
        assert_eq!(host.heard(), [""; 0], "{talk:?}");
    }
}

/// S7's splits: the command may come in any two pieces, and is the same command.
#[test]
fn the_command_may_be_cut_anywhere() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let (command, consent) = talk.upgrade();
        for cut in 1..command.len() {
            let mut peer = connect(front.address(0));
            peer.until(talk.greeted());
            peer.send(&command[..cut]);
            peer.send(&command[cut..]);
            assert!(peer.line().starts_with(consent), "{talk:?} cut at {cut}");
            let mut inside = stage.client().shake(peer).expect("the handshake succeeds");
            if talk == Talk::Sieve {
                inside.until("OK");
            }
            talk.log_out(&mut inside);
        }
    }
}

/// I4; RFC 9051 §6.2.1: a ClientHello glued to the command goes to TLS, whole or in part.
#[test]
fn a_client_hello_behind_the_command_is_one() {
    let stage = Stage::set();
    let hello = Hello::default().asking(NAME).record();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let (command, consent) = talk.upgrade();
        for glued in [1, 5, hello.len() / 2, hello.len()] {
            let mut peer = connect(front.address(0));
            peer.until(talk.greeted());
            peer.send([command.as_bytes(), &hello[..glued]].concat());
            assert!(peer.line().starts_with(consent));
            peer.send(&hello[glued..]);
            let answer = Answer::read(&mut peer);
            assert_eq!(answer.leaf(), &der(&stage.leaf.cert)[..], "{talk:?}, {glued} octets glued");
        }
    }
}

/// What looks like a handshake for an octet, and is a command after all, is still not one.
#[test]
fn no_command_hides_behind_a_record_header() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let (command, consent) = talk.upgrade();
        let mut peer = connect(front.address(0));
        peer.until(talk.greeted());
        peer.send(format!("{command}\x16{}", injected(talk)));
        assert!(peer.line().starts_with(consent));
        assert!(!matches!(Answer::read(&mut peer), Answer::Flight { .. }));
        peer.rest();
        assert_eq!(host.heard(), [""; 0], "{talk:?}");
    }
}

/// I6, P13, M3, M4: inside TLS the first words are the answer to the client's first command; only
/// ManageSieve lists its capabilities again, unasked, and STARTTLS is not among them.
#[test]
fn inside_tls_a_new_session_begins() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let mut clear = connect(front.address(0));
        clear.until(talk.greeted());
        let (command, consent) = talk.upgrade();
        clear.send(command);
        assert!(clear.line().starts_with(consent));
        let mut inside = stage.client().shake(clear).expect("the handshake succeeds");
        if talk == Talk::Sieve {
            let list = inside.until("OK");
            assert_eq!(list.matches("\"SASL\" \"PLAIN\"\r\n").count(), 1, "{list}");
            assert!(!list.contains("STARTTLS"), "{list}");
        }
        first_answer(talk, &mut inside);
        // Not authenticated: a login is still wanted, and is possible.
        talk.log_in(&mut inside);
        assert_eq!(host.callers().len(), 1, "one backend connection in all");
    }
}

fn first_answer<S: crate::common::peer::Bytes>(talk: Talk, inside: &mut Peer<S>) {
    let (noop, ok) = talk.noop();
    inside.send(noop);
    let said = inside.line();
    assert!(said.starts_with(ok) && !said.contains("ready"), "{talk:?}: {said:?}");
}
