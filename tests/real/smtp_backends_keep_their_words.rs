//! A backend's refusals keep their meaning; its silence, its garbage and its death are never good news.

use crate::{
    clients::NAME,
    common::{
        ca::{Ca, Kind},
        folder::Folder,
        front::Front,
        peer::{Bytes, Peer},
    },
    mailroom::{Slot, Way, enter},
    scripted::{Arrived, Booth, GREETING, OFFER},
    smtp::{CLIENT, ask, ehlo, envelope, expect, reply, say, to_data},
    stage::{call, secure, trust},
};

/// S27: 421 and 554 at the greeting: code and text are the answer to the pending command, or the greeting itself;
/// then 503 until QUIT.
#[test]
fn at_the_greeting() {
    for words in
        ["554 5.7.1 No mail from you\r\n", "421 4.3.2 Not today\r\n", "554-Go\r\n554 away\r\n"]
    {
        let booth = Booth::set(move |mut arrived| {
            arrived.peer.send(words);
            arrived.peer.half_close();
        });
        let mut clear = enter(&booth.slot(Way::Clear), CLIENT);
        ehlo(&mut clear);
        assert_eq!(ask(&mut clear, "MAIL FROM:<sender@example.net>"), words);
        refused(clear);

        let mut inside = enter(&booth.slot(Way::Starttls), CLIENT);
        assert_eq!(ask(&mut inside, "EHLO client.example.net"), words);
        refused(inside);

        let slot = booth.slot(Way::Implicit);
        let mut implicit = secure(call(slot.port, CLIENT), trust(slot.root));
        assert_eq!(reply(&mut implicit), words);
        refused(implicit);
        // It has spoken, so it is well.
        assert!(!booth.front.log().iter().any(|line| line["message"] == "backend is down"));
    }
}

fn refused<S: Bytes>(mut peer: Peer<S>) {
    say(&mut peer, "RCPT TO:<alice@example.org>", "503");
    say(&mut peer, "NOOP", "503");
    say(&mut peer, "QUIT", "221");
    assert_eq!(peer.rest(), "");
}

/// S27: the same at EHLO; inside TLS the client's own EHLO is answered by it.
#[test]
fn at_ehlo() {
    for words in
        ["550 5.7.1 I do not like your name\r\n", "450 4.7.1 Later\r\n", "421 4.3.2 Not today\r\n"]
    {
        let booth = Booth::set(move |mut arrived| {
            arrived.peer.send(GREETING);
            arrived.answer("EHLO client.example.net\r\n", words);
            arrived.all()
        });
        let mut clear = enter(&booth.slot(Way::Clear), CLIENT);
        ehlo(&mut clear);
        assert_eq!(ask(&mut clear, "MAIL FROM:<sender@example.net>"), words);
        refused(clear);
        booth.told();
        let mut inside = enter(&booth.slot(Way::Implicit), CLIENT);
        assert_eq!(ask(&mut inside, "EHLO client.example.net"), words);
    }
}

/// S27, S33: unreachable, silent and garbage: 421 with our name, in clear and in TLS, and the end.
#[test]
fn when_it_has_none() {
    let silent = |arrived: &mut Arrived| {
        // Longer than the front waits.
        arrived.all();
    };
    let garbage = |arrived: &mut Arrived| {
        arrived.peer.send("* OK this is IMAP\r\n");
        arrived.all();
    };
    let dead = |_: &mut Arrived| {};
    let scripts: [fn(&mut Arrived); 3] = [silent, garbage, dead];
    for script in scripts {
        let booth = Booth::set(move |mut arrived| script(&mut arrived));
        let mut clear = enter(&booth.slot(Way::Clear), CLIENT);
        ehlo(&mut clear);
        let answer = ask(&mut clear, "MAIL FROM:<sender@example.net>");
        assert!(answer.starts_with(&format!("421 4.3.2 {NAME} ")), "{answer:?}");
        assert_eq!(clear.rest(), "");
        let slot = booth.slot(Way::Implicit);
        let mut inside = secure(call(slot.port, CLIENT), trust(slot.root));
        let answer = reply(&mut inside);
        assert!(answer.starts_with(&format!("421 4.3.2 {NAME} ")), "{answer:?}");
        assert_eq!(inside.rest(), "");
    }
}

/// S33, F1: while no backend is known to be well, the greeting itself is the temporary refusal.
#[test]
fn when_there_is_none() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    drop(held);
    let folder = Folder::new();
    Ca::new("Test").leaf(&[NAME], Kind::Ecdsa).certbot(&folder.path().join(NAME));
    let front = Front::start(&format!(
        "hostname: {NAME}
certificates: [{}]
backends:
  nobody: {{ address: \"127.0.0.1:{port}\" }}
listeners:
  - {{ bind: \"127.0.0.1:0\", protocol: smtp, tls: starttls-optional, backend: nobody }}
",
        folder.path().display()
    ));
    let mut peer = call(front.port(0), CLIENT);
    let heard = peer.rest();
    assert!(
        heard.starts_with(&format!("421 4.3.2 {NAME} ")) && heard.lines().count() == 1,
        "{heard:?}"
    );
}

/// S28, F6: it dies in the middle of a message, before its end, after its end, in the middle of its reply: no 2yz that
/// it did not say.
#[test]
fn when_it_dies() {
    let in_the_middle = |arrived: &mut Arrived| {
        arrived.peer.line();
    };
    let after_the_end = |arrived: &mut Arrived| {
        arrived.data();
    };
    let in_its_reply = |arrived: &mut Arrived| {
        arrived.data();
        arrived.peer.send("250 2.0");
    };
    let in_a_line_of_its_reply = |arrived: &mut Arrived| {
        arrived.data();
        arrived.peer.send("250-2.0.0 Ok\r\n");
    };
    let scripts: [fn(&mut Arrived); 4] =
        [in_the_middle, after_the_end, in_its_reply, in_a_line_of_its_reply];
    for (n, script) in scripts.into_iter().enumerate() {
        for abort in [false, true] {
            let booth = Booth::set(move |mut arrived| {
                arrived.begin(OFFER);
                arrived.envelope();
                script(&mut arrived);
                if abort {
                    let linger = socket2::SockRef::from(&arrived.peer.0);
                    linger.set_linger(Some(std::time::Duration::ZERO)).unwrap();
                }
            });
            for way in [Way::Clear, Way::Implicit] {
                let mut peer = enter(&booth.slot(way), CLIENT);
                to_data(&mut peer);
                peer.send("Subject: x\r\n");
                let _ = peer.0.write_all(b"\r\nText.\r\n.\r\n").and_then(|()| peer.0.flush());
                let heard = peer.rest();
                assert!(
                    heard.is_empty() || heard.starts_with("421") && heard.lines().count() == 1,
                    "script {n}, abort {abort}: {heard:?}"
                );
                booth.told();
            }
        }
    }
}

/// S28: what it says before it closes reaches the client: a 421 on its own, a refusal in the middle of the data.
#[test]
fn when_it_says_goodbye() {
    let booth = Booth::set(|mut arrived| {
        arrived.begin(OFFER);
        arrived.peer.send("421 4.4.2 script.example.org Timed out\r\n");
    });
    let mut peer = enter(&booth.slot(Way::Implicit), CLIENT);
    ehlo(&mut peer);
    assert_eq!(peer.rest(), "421 4.4.2 script.example.org Timed out\r\n");

    let booth = Booth::set(|mut arrived| {
        arrived.begin(OFFER);
        arrived.envelope();
        arrived.peer.line();
        arrived.peer.send("552 5.3.4 Too big\r\n");
        arrived.peer.half_close();
        arrived.all()
    });
    let mut peer = enter(&booth.slot(Way::Clear), CLIENT);
    ehlo(&mut peer);
    envelope(&mut peer);
    peer.send("Subject: too big\r\n");
    assert_eq!(reply(&mut peer), "552 5.3.4 Too big\r\n");
}

/// Refused DATA, AUTH and MAIL keep code and text, of several lines, too; and the session goes on.
#[test]
fn in_the_middle_of_the_session() {
    let booth = Booth::set(|mut arrived| {
        arrived.begin(OFFER);
        arrived.answer("AUTH PLAIN\r\n", "504-5.5.4 Not\r\n504 5.5.4 this one\r\n");
        arrived.answer("MAIL FROM:", "250 2.1.0 Ok\r\n");
        arrived.answer("RCPT TO:", "550 5.1.1 Nobody\r\n");
        arrived.answer("DATA", "554 5.5.1 No valid recipients\r\n");
        arrived.answer("RSET", "250 2.0.0 Ok\r\n");
        arrived.end();
    });
    let slot: Slot<'_> = booth.slot(Way::Starttls);
    let mut peer = enter(&slot, CLIENT);
    ehlo(&mut peer);
    assert_eq!(ask(&mut peer, "AUTH PLAIN"), "504-5.5.4 Not\r\n504 5.5.4 this one\r\n");
    peer.send("MAIL FROM:<sender@example.net>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\nRSET\r\n");
    expect(&mut peer, "250", "MAIL");
    assert_eq!(reply(&mut peer), "550 5.1.1 Nobody\r\n");
    assert_eq!(reply(&mut peer), "554 5.5.1 No valid recipients\r\n");
    expect(&mut peer, "250", "RSET");
    say(&mut peer, "QUIT", "221");
    booth.told();
}
