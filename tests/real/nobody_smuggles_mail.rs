//! A message ends where all servers think that it ends, or its sender is refused.

use std::io::Read as _;

use crate::{
    common::peer::{Bytes, Peer},
    mailroom::{Mailroom, Servers, Way, enter},
    scripted::{Booth, OFFER},
    smtp::{CLIENT, ehlo, expect, say, to_data},
};

/// A lone dot between line ends of which not both are exactly CRLF: all that some server takes for the end of data.
const ENDS: [&str; 11] = [
    "\n.\n",
    "\n.\r\n",
    "\n.\r",
    "\r.\r",
    "\r.\n",
    "\r.\r\n",
    "\r\n.\r",
    "\r\n.\n",
    "\n\r.\r\n",
    "\r\n.\r\r\n",
    "\r\n.\n\r\n",
];

/// What follows an end of data that is none.
const SMUGGLED: &str = "MAIL FROM:<admin@example.org>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nText.";

/// Says all of it in such pieces, and leaves it to whoever reads to stop reading.
fn say_in_pieces(peer: &mut Peer<Box<dyn Bytes>>, text: &str, size: usize) {
    for piece in text.as_bytes().chunks(size) {
        let _ = peer.0.write_all(piece).and_then(|()| peer.0.flush());
    }
}

/// Sees a message, and answers its strict end; all that came from 354 on.
fn tap(policy: &str) -> Booth<String> {
    let listener =
        if policy.is_empty() { String::new() } else { format!(", bare_newline: {policy}") };
    Booth::with(OFFER, &listener, |mut arrived| {
        arrived.begin(OFFER);
        arrived.envelope();
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = arrived.peer.0.read(&mut buffer) {
            all.extend_from_slice(&buffer[..n]);
            if all.ends_with(b"\r\n.\r\n") {
                arrived.peer.send("250 2.0.0 Ok: queued\r\n");
            } else if all.ends_with(b"QUIT\r\n") {
                arrived.peer.send("221 2.0.0 Bye\r\n");
                break;
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    })
}

/// S21: the default, `strict-eod`: the backend sees what stood before the dot, and no end of data; the client hears
/// 550 when it has said all, and the end.
#[test]
fn by_default_none_of_the_ends_passes() {
    let booth = tap("");
    for way in [Way::Clear, Way::Implicit] {
        for end in ENDS {
            for size in [1000, 1] {
                refused(
                    &booth,
                    way,
                    &format!("Subject: outer\r\n\r\nText.{end}{SMUGGLED}\r\n.\r\n"),
                    size,
                );
            }
        }
    }
}

fn refused(booth: &Booth<String>, way: Way, text: &str, size: usize) {
    let mut peer = enter(&booth.slot(way), CLIENT);
    to_data(&mut peer);
    say_in_pieces(&mut peer, text, size);
    let answer = expect(&mut peer, "550 5.5.2", text);
    assert_eq!(peer.rest(), "", "after {answer:?} to {text:?}");
    drop(peer);
    let seen = booth.told();
    assert!(text.starts_with(&seen), "{seen:?} of {text:?}");
    assert!(
        !seen.contains("MAIL FROM") && !seen.contains("\n.") && !seen.contains("\r."),
        "{seen:?} of {text:?}"
    );
}

/// S21: at the very beginning of the data, too.
#[test]
fn nor_at_the_beginning() {
    let booth = tap("strict-eod");
    for start in [".\n", ".\r", ".\r\r\n"] {
        refused(&booth, Way::Clear, &format!("{start}{SMUGGLED}\r\n.\r\n"), 1000);
        refused(&booth, Way::Clear, &format!("{start}{SMUGGLED}\r\n.\r\n"), 1);
    }
}

/// S21: other bare newlines are a matter between sender and backend, and pass as they are.
#[test]
fn while_other_bare_newlines_pass() {
    let booth = tap("strict-eod");
    let text = "Subject: bare\r\n\r\nlone\nfeeds\n\nand\rreturns\r\r\n..\n.dot\n\n.\0\r\n\0.\r\na.\nb\n.b\r\n";
    for size in [1000, 1] {
        let mut peer = enter(&booth.slot(Way::Implicit), CLIENT);
        to_data(&mut peer);
        say_in_pieces(&mut peer, &format!("{text}.\r\n"), size);
        expect(&mut peer, "250", "the message");
        say(&mut peer, "QUIT", "221");
        drop(peer);
        assert_eq!(booth.told(), format!("{text}.\r\nQUIT\r\n"));
    }
}

/// S21: `reject` refuses any bare CR or LF, and what has none passes.
#[test]
fn with_reject_not_one_bare_newline_passes() {
    let booth = tap("reject");
    for bare in ["lone\nfeed", "lone\rreturn", "two\r\r\nreturns", "\n", "feed\n\r\n", "x\n.\r\n"] {
        for size in [1000, 1] {
            refused(
                &booth,
                Way::Clear,
                &format!("Subject: x\r\n\r\n{bare}\r\nMAIL FROM:<a@b>\r\n.\r\n"),
                size,
            );
        }
    }
    for end in ENDS {
        refused(&booth, Way::Implicit, &format!("Text.{end}{SMUGGLED}\r\n.\r\n"), 1000);
    }
    let mut peer = enter(&booth.slot(Way::Implicit), CLIENT);
    to_data(&mut peer);
    peer.send("Subject: x\r\n\r\n..\r\n.x\r\n.\r\n");
    expect(&mut peer, "250", "the message");
    say(&mut peer, "QUIT", "221");
    assert_eq!(booth.told(), "Subject: x\r\n\r\n..\r\n.x\r\n.\r\nQUIT\r\n");
}

/// S21: with `pass` the tap is identical for all eleven, and the strict end is the only one.
#[test]
fn with_pass_all_is_the_backends_affair() {
    let booth = tap("pass");
    for end in ENDS {
        for size in [1000, 1] {
            let text = format!("Subject: outer\r\n\r\nText.{end}{SMUGGLED}\r\n.\r\n");
            let mut peer = enter(&booth.slot(Way::Clear), CLIENT);
            to_data(&mut peer);
            say_in_pieces(&mut peer, &text, size);
            expect(&mut peer, "250", end);
            say(&mut peer, "QUIT", "221");
            assert_eq!(booth.told(), format!("{text}QUIT\r\n"), "{end:?}");
        }
    }
}

/// S21: chunks have no line ends to be misread, and are exempt.
#[test]
fn and_chunks_are_exempt() {
    let room = Mailroom::before(Servers::new(), ", bare_newline: reject", "");
    let mark = room.servers.postfix.mark();
    let mut peer = enter(&room.mx(Way::Clear), CLIENT);
    ehlo(&mut peer);
    say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    say(&mut peer, "RCPT TO:<alice@example.org>", "250");
    let text = "Subject: chunk\r\n\r\nlone\nfeed\n.\nSTARTTLS\r\nQUIT\r\n";
    peer.send(format!("BDAT {} LAST\r\n{text}QUIT\r\n", text.len()));
    expect(&mut peer, "250", "the chunk");
    expect(&mut peer, "221", "QUIT");
    room.servers.postfix.delivers(mark, 1);
    assert!(room.servers.mail()[0].contains("STARTTLS\nQUIT\n"));
}

/// S21: D. A Postfix that can be smuggled into (see its harness) gets no second message through the front, on any
/// port, and not one of the outer ones either.
#[test]
fn into_a_real_postfix() {
    let room = Mailroom::set();
    for slot in [room.mx(Way::Clear), room.mx(Way::Starttls)] {
        for end in ENDS {
            let mut peer = enter(&slot, CLIENT);
            to_data(&mut peer);
            say_in_pieces(
                &mut peer,
                &format!("Subject: outer\r\n\r\nText.{end}{SMUGGLED}\r\n.\r\n"),
                1000,
            );
            expect(&mut peer, "550 5.5.2", end);
            assert_eq!(peer.rest(), "");
        }
    }
    // One more, that is as it should be: by then the others would be there.
    let mark = room.servers.postfix.mark();
    crate::smtp::send(&mut enter(&room.mx(Way::Clear), CLIENT), "honest");
    room.servers.postfix.delivers(mark, 1);
    let mail = room.servers.mail();
    assert!(mail.len() == 1 && mail[0].contains("Subject: honest"), "{mail:#?}");
}

/// The control: with `pass` the same is smuggled in, so the test above can fail.
#[test]
fn unless_the_front_is_told_to_let_it_pass() {
    let room = Mailroom::before(Servers::new(), ", bare_newline: pass", "");
    let mark = room.servers.postfix.mark();
    let mut peer = enter(&room.mx(Way::Clear), CLIENT);
    to_data(&mut peer);
    peer.send(format!("Subject: outer\r\n\r\nText.\n.\r\n{SMUGGLED}\r\n.\r\n"));
    expect(&mut peer, "250", "the outer message");
    room.servers.postfix.delivers(mark, 2);
    assert!(room.servers.mail().iter().any(|message| message.contains("Subject: smuggled")));
}
