//! `plaintext_from`: those networks may go on without TLS; everybody else is told to begin it.

use std::net::Ipv4Addr;

use crate::{
    common::mailhost::{Host, TALKS, Talk},
    stage::{Stage, call},
};

const OFFICE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
const STREET: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 5);
const TRUST: &str = "plaintext_from: [127.0.0.0/24]";

/// I9, P7, M5: a client from there logs in; one from elsewhere is refused, whatever the password.
#[test]
fn from_the_networks_that_were_named() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], TRUST);
        let mut trusted = call(front.address(0), OFFICE);
        let greeting = trusted.until(talk.greeted());
        match talk {
            Talk::Imap => {
                assert!(greeting.contains("AUTH=PLAIN") && !greeting.contains("LOGINDISABLED"));
            }
            Talk::Sieve => assert!(greeting.contains("\"SASL\" \"PLAIN\"")),
            Talk::Pop3 => {
                trusted.send("CAPA\r\n");
                let list = trusted.until(".");
                assert!(list.contains("USER") && list.contains("STLS"), "{list}");
            }
        }
        talk.log_in(&mut trusted);
        let heard = host.heard().len();

        let mut stranger = call(front.address(0), STREET);
        stranger.until(talk.greeted());
        let refusal = match talk {
            Talk::Imap => "l NO [PRIVACYREQUIRED]",
            Talk::Pop3 => "-ERR",
            Talk::Sieve => "NO (ENCRYPT-NEEDED)",
        };
        for (command, _) in talk.login() {
            for command in [command.to_string(), command.replace("secret", "wrong")] {
                stranger.send(&command);
                let said = stranger.line();
                assert!(said.starts_with(refusal), "{talk:?}: {said:?} to {command:?}");
            }
        }
        assert_eq!(host.heard().len(), heard, "no password of a stranger goes anywhere in clear");
    }
}

/// STARTTLS stays possible for the trusted, also after a login in clear has failed.
#[test]
fn and_they_may_begin_tls_all_the_same() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], TRUST);
        let mut clear = call(front.address(0), OFFICE);
        clear.until(talk.greeted());
        let (wrong, refusal) = match talk {
            Talk::Imap => ("l LOGIN alice wrong\r\n", "l NO"),
            Talk::Pop3 => ("PASS wrong\r\n", "-ERR"),
            Talk::Sieve => ("AUTHENTICATE \"PLAIN\" \"AGFsaWNlAHdyb25n\"\r\n", "NO"),
        };
        clear.send(wrong);
        clear.until(refusal);
        let (command, consent) = talk.upgrade();
        clear.send(command);
        clear.until(consent);
        let mut inside = stage.client().shake(clear).expect("shaken");
        if talk == Talk::Sieve {
            let list = inside.until("OK");
            assert!(!list.contains("STARTTLS"), "{list}");
        }
        talk.log_in(&mut inside);
        let [in_clear, in_tls] = &host.callers()[..] else { panic!("a new session in TLS") };
        assert_eq!(in_clear.source, in_tls.source);
        assert!(
            !host.heard().iter().any(|line| line.contains("STLS") || line.contains("STARTTLS"))
        );
    }
}

/// I3, P6, M12: in the clear session, too, nothing behind STARTTLS is executed in TLS.
#[test]
fn and_nothing_is_carried_over() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], TRUST);
        let mut clear = call(front.address(0), OFFICE);
        clear.until(talk.greeted());
        let (first, refusal) = match talk {
            Talk::Imap => ("f FOO\r\n", "f BAD"),
            Talk::Pop3 => ("UTF8\r\n", "-ERR"),
            Talk::Sieve => ("FOO\r\n", "NO"),
        };
        clear.send(first);
        clear.until(refusal);
        let (command, consent) = talk.upgrade();
        let (login, _) = talk.login()[0];
        clear.send(format!("{command}{login}"));
        let said = clear.rest();
        assert!(said.starts_with(consent), "{said:?}");
        assert_eq!(host.heard(), [first], "{talk:?}");
        assert_eq!(host.callers().len(), 1);
    }
}
