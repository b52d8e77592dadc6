//! STARTTLS and STLS: when they are on offer, how they are answered, when they are refused.

use crate::{
    common::{
        mailhost::{Host, TALKS, Talk},
        peer::connect,
    },
    stage::Stage,
};

/// I1; RFC 9051 §2.2.1: any legal tag, echoed exactly, and a verb in any case.
#[test]
fn imap_echoes_any_tag() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "starttls", host.backend.address)], "");
    for tag in ["a", "A0001", "~!@#$^&-_=[]|;:'<>,.?/`", "x]", "STARTTLS", &"t".repeat(200)] {
        for verb in ["STARTTLS", "starttls", "StartTLS"] {
            let mut peer = connect(front.address(0));
            peer.until("* OK");
            peer.send(format!("{tag} {verb}\r\n"));
            let said = peer.line();
            assert!(said.starts_with(&format!("{tag} OK ")), "{tag} {verb}: {said:?}");
        }
    }
}

/// I2, and the same for the others: with an argument it is an error, and the session goes on.
#[test]
fn arguments_are_an_error() {
    let stage = Stage::set();
    for (talk, wrong, refusal) in [
        (Talk::Imap, "a STARTTLS now\r\n", "a BAD"),
        (Talk::Imap, "a STARTTLS {3+}\r\nnow\r\n", "a BAD"),
        (Talk::Imap, "a STARTTLSX\r\n", "a BAD"),
        (Talk::Pop3, "STLS now\r\n", "-ERR"),
        (Talk::Pop3, "STLSX\r\n", "-ERR"),
        (Talk::Sieve, "STARTTLS \"now\"\r\n", "NO"),
        (Talk::Sieve, "STARTTLSX\r\n", "NO"),
    ] {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let mut peer = connect(front.address(0));
        peer.until(talk.greeted());
        peer.send(wrong);
        let said = peer.line();
        assert!(said.starts_with(refusal), "{said:?} to {wrong:?}");
        let (command, consent) = talk.upgrade();
        peer.send(command);
        assert!(peer.line().starts_with(consent), "after {wrong:?}");
        stage.client().shake(peer).expect("the handshake succeeds");
    }
}

/// I11, M8: the command's name inside a literal or a string is data.
#[test]
fn in_a_literal_it_is_data() {
    let stage = Stage::set();
    for (talk, before) in [
        (Talk::Imap, "a LOGIN {12+}\r\nb STARTTLS\r\n {3+}\r\nxyz\r\n"),
        (Talk::Imap, "a FOO {12+}\r\nb STARTTLS\r\n\r\n"),
        (Talk::Sieve, "FOO {10+}\r\nSTARTTLS\r\n\r\n"),
        (Talk::Sieve, "FOO \"STARTTLS\"\r\n"),
    ] {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let mut peer = connect(front.address(0));
        peer.until(talk.greeted());
        let (noop, ok) = talk.noop();
        peer.send(format!("{before}{noop}"));
        let said = peer.until(ok);
        assert_eq!(said.lines().count(), 2, "one refusal, one answer: {said:?}");
        assert!(said.starts_with("a NO") || said.starts_with("a BAD") || said.starts_with("NO"));
    }
}

/// I5, P3, M4, M7: in TLS, however it came about, there is no second one; nor is it on offer.
#[test]
fn in_tls_it_is_refused() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, "");
        let mut implicit = stage.client().enter(front.address(1));
        let greeting = implicit.until(talk.greeted());
        assert!(!greeting.contains("STARTTLS"), "{greeting}");
        for mut peer in [stage.upgrade(talk, front.address(0)), implicit] {
            let (command, _) = talk.upgrade();
            peer.send(command);
            let refusal = match talk {
                Talk::Imap => "tls BAD",
                Talk::Pop3 => "-ERR Command not permitted when TLS active",
                Talk::Sieve => "NO",
            };
            let said = peer.line();
            assert!(said.starts_with(refusal), "{said:?}");
            let (ask, end) = match talk {
                Talk::Imap => ("c CAPABILITY\r\n", "c OK"),
                Talk::Pop3 => ("CAPA\r\n", "."),
                Talk::Sieve => ("CAPABILITY\r\n", "OK"),
            };
            peer.send(ask);
            let list = peer.until(end);
            assert!(!list.contains("STARTTLS") && !list.contains("STLS"), "{list}");
            talk.log_in(&mut peer);
        }
        let wanted: Vec<String> = host.heard();
        assert!(!wanted.iter().any(|l| l.contains("STARTTLS") || l.contains("STLS")), "{wanted:?}");
    }
}

/// P2; RFC 2595 §4: after USER it is too late. Only a client that may log in in clear gets so far.
#[test]
fn pop3_does_not_grant_it_after_user() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Pop3);
    let door = ("pop3", "starttls-optional", host.backend.address);
    let front = stage.front(&[door], "");
    let mut peer = connect(front.address(0));
    peer.until("+OK");
    peer.send("USER alice\r\n");
    peer.until("+OK");
    peer.send("STLS\r\n");
    assert!(peer.line().starts_with("-ERR"));
    peer.send("PASS secret\r\n");
    peer.until("+OK");
}

/// P8; RFC 1939 §7: a timestamp that was learned from one session is no other session's.
#[test]
fn pop3_shows_no_timestamp_before() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Pop3);
    let front = stage.front(&[("pop3", "starttls", host.backend.address)], "");
    let greeting = connect(front.address(0)).line();
    assert!(greeting.starts_with("+OK") && !greeting.contains('<'), "{greeting:?}");
}

/// I8, I17, M1, M5, M6, P4, P7: before it, it is on offer once, and no login is.
#[test]
fn before_it_is_on_offer_and_no_login_is() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let mut peer = connect(front.address(0));
        let greeting = peer.until(talk.greeted());
        let (ask, end) = match talk {
            Talk::Imap => ("c CAPABILITY\r\n", "c OK"),
            Talk::Pop3 => ("CAPA\r\n", "."),
            Talk::Sieve => ("CAPABILITY\r\n", "OK"),
        };
        peer.send(ask);
        let asked = peer.until(end);
        // POP3's greeting has no list in it.
        let lists = if talk == Talk::Pop3 { vec![asked] } else { vec![greeting, asked] };
        for list in &lists {
            match talk {
                Talk::Imap => {
                    let words: Vec<&str> = list.split([' ', ']', '\r']).collect();
                    for (word, times) in [("STARTTLS", 1), ("LOGINDISABLED", 1), ("AUTH=PLAIN", 0)]
                    {
                        assert_eq!(words.iter().filter(|w| **w == word).count(), times, "{list}");
                    }
                }
                Talk::Pop3 => {
                    assert_eq!(list.matches("\r\nSTLS\r\n").count(), 1, "{list}");
                    assert!(!list.contains("USER") && !list.contains("SASL"), "{list}");
                }
                Talk::Sieve => {
                    for line in [
                        "\"IMPLEMENTATION\"",
                        "\"SIEVE\"",
                        "\"VERSION\"",
                        "\"STARTTLS\"\r\n",
                        "\"SASL\" \"\"\r\n",
                    ] {
                        assert_eq!(list.matches(line).count(), 1, "{line} in {list}");
                    }
                }
            }
        }
        assert!(host.callers().is_empty(), "all that needs no backend");
    }
}
