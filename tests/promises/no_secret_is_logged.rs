//! What the log says at its most talkative, and what it never says.

use rustix::process::Signal;

use crate::{
    common::{
        mailhost::{Host, TALKS, Talk},
        peer::connect,
    },
    stage::Stage,
};

/// O10: neither passwords nor SASL responses, right or wrong, in TLS or refused in clear, framed or broken.
#[test]
fn no_credential_at_any_level() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address));
        let mut front = stage.front(&doors, "log: json trace");
        // `\0alice\0hunter2`
        let attempts: &[&str] = match talk {
            Talk::Imap => &[
                "a LOGIN alice hunter2\r\n",
                "a LOGIN alice {7+}\r\nhunter2\r\n",
                "a AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=\r\n",
                "a AUTHENTICATE PLAIN {20+}\r\nAGFsaWNlAGh1bnRlcjI=\r\n",
                "hunter2\r\n",
                "a LOGIN \"hunter2{3+}\r\n",
            ],
            Talk::Pop3 => &[
                "USER hunter2\r\n",
                "PASS hunter2\r\n",
                "AUTH PLAIN AGFsaWNlAGh1bnRlcjI=\r\n",
                "hunter2\r\n",
                "PASS hunter2\n",
            ],
            Talk::Sieve => &[
                "AUTHENTICATE \"PLAIN\" \"AGFsaWNlAGh1bnRlcjI=\"\r\n",
                "AUTHENTICATE \"PLAIN\" {20+}\r\nAGFsaWNlAGh1bnRlcjI=\r\n",
                "\"hunter2\"\r\n",
                "hunter2{3+}\r\n",
            ],
        };
        for attempt in attempts {
            let mut clear = connect(front.address(0));
            clear.until(talk.greeted());
            clear.send(attempt);
            clear.half_close();
            clear.rest();
            let mut inside = stage.client().enter(front.address(1));
            inside.until(talk.greeted());
            inside.send(attempt);
            inside.close_notify();
            inside.rest();
        }
        // A line that is too long is not quoted, either.
        let mut long = connect(front.address(0));
        long.until(talk.greeted());
        long.send("hunter2 ".repeat(4000));
        long.rest();
        drop(long);
        front.signal(Signal::TERM);
        front.signal(Signal::TERM);
        front.exit();
        let log: String = front.log().iter().map(|line| format!("{line}\n")).collect();
        assert!(log.contains("\"session\""), "the control: {log}");
        for secret in ["hunter2", "AGFsaWNlAGh1bnRlcjI", "alice"] {
            assert!(!log.contains(secret), "{talk:?}: {secret} is in the log:\n{log}");
        }
        for part in [&stage.leaf.key[40..80], "PRIVATE KEY"] {
            assert!(!log.contains(part), "a key is in the log:\n{log}");
        }
    }
}

/// T28; RFC 8314 §4: what was agreed on is in the log, one line for each session.
#[test]
fn but_what_was_agreed_on_is() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "log: json info");
    let mut peer = stage.client().alpn(&["imap"]).enter(front.address(0));
    let client = peer.0.sock.local_addr().unwrap();
    peer.until("* OK");
    Talk::Imap.log_in(&mut peer);
    Talk::Imap.log_out(&mut peer);
    peer.rest();
    drop(peer);
    let line = front.summary(0);
    for (key, value) in [
        ("peer", client.to_string()),
        ("listener", front.address(0).to_string()),
        ("protocol", "imap".to_owned()),
        ("sni", "mail.example.org".to_owned()),
        ("certificate", "mail.example.org".to_owned()),
        ("tls", "TLSv1.3".to_owned()),
        ("alpn", "imap".to_owned()),
        ("backend", host.backend.address.to_string()),
    ] {
        assert_eq!(line[key], value, "{key}: {line}");
    }
    assert!(line["cipher"].as_str().unwrap().starts_with("TLS_"), "{line}");
    assert_eq!((&line["login"], &line["resumed"]), (&true.into(), &false.into()));
    assert_eq!(line["up"], ("l LOGIN alice secret\r\no LOGOUT\r\n").len());
    assert_eq!(front.log().iter().filter(|l| l["message"] == "session").count(), 1);
}
