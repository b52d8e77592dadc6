//! What every server for mail that comes in is tried with, whatever its name is.

use crate::{
    common::peer::{Bytes, Peer},
    harness::{MESSAGE, holds_the_message},
    jail::Jail,
    mailroom::{Slot, Way, enter},
    plan::{BALANCER, Scene},
    senders::Sender,
    smtp::{CLIENT, ask, ehlo, expect, log_in, say},
    stage::{call, secure, trust},
};

/// Somebody far away (RFC 5737), by the word of a balancer before the front.
pub(crate) const STRANGER: &str = "203.0.113.4";

/// All ways in, port 25 in clear among them.
pub(crate) fn slots(scene: &Scene) -> Vec<Slot<'_>> {
    let slots = scene.slots();
    let clear: Vec<Slot<'_>> = slots
        .iter()
        .filter(|slot| !slot.login)
        .map(|slot| Slot { way: Way::Clear, ..*slot })
        .collect();
    [clear, slots].concat()
}

/// Inside TLS, by these ways and no others.
pub(crate) fn auth_is_offered_inside_tls(scene: &Scene, offers: impl Fn(&Slot<'_>) -> bool) {
    for slot in slots(scene) {
        let offered = ehlo(&mut enter(&slot, CLIENT));
        let is_offered =
            offered.iter().any(|line| line.starts_with("AUTH ") && line.contains("PLAIN"));
        assert_eq!(is_offered, offers(&slot), "{slot:?}: {offered:?}");
    }
}

/// From its own address and from one of this machine's networks; who has said who he is may.
pub(crate) fn nobody_relays(scene: &Scene) {
    for slot in slots(scene) {
        let mut near = enter(&slot, CLIENT);
        refuses(&mut near, &slot);
        if slot.login {
            say(&mut near, "RSET", "250");
            log_in(&mut near);
            say(&mut near, "MAIL FROM:<alice@example.org>", "250");
            say(&mut near, "RCPT TO:<somebody@example.com>", "250");
        }
        say(&mut near, "QUIT", "221");

        let mut clear = call(slot.port, BALANCER);
        clear.send(format!("PROXY TCP4 {STRANGER} 192.0.2.1 5555 25\r\n"));
        match slot.way {
            Way::Clear => {
                expect(&mut clear, "220", "the header");
                refuses(&mut clear, &slot);
            }
            Way::Implicit => {
                let mut inside = secure(clear, trust(slot.root));
                expect(&mut inside, "220", "the handshake");
                refuses(&mut inside, &slot);
            }
            Way::Starttls => {
                refuses(&mut crate::mailroom::upgrade(clear, &slot), &slot);
            }
        }
    }
}

/// The relay test: a foreign recipient gets 5yz, and DATA is never said.
fn refuses<S: Bytes>(peer: &mut Peer<S>, slot: &Slot<'_>) {
    ehlo(peer);
    let sender = ask(peer, "MAIL FROM:<sender@example.net>");
    let recipient = ask(peer, "RCPT TO:<somebody@example.com>");
    let is_refused = recipient.starts_with('5');
    assert!(is_refused, "from {slot:?}: {sender:?}, {recipient:?}");
    assert!(!recipient.starts_with("502"), "this is about the command: {recipient}");
}

/// Each program that knows the way, by all ways; `delivered` is in the log's line that says so of a message.
pub(crate) fn everybody_sends(scene: &Scene, delivered: &str) {
    let file = scene.jail.path("tmp/message.eml");
    scene.jail.write("tmp/message.eml", MESSAGE);
    let (mark, mut sent) = (scene.jail.mark(), 0);
    for slot in slots(scene) {
        for sender in Sender::ALL.into_iter().filter(|sender| sender.knows(&slot)) {
            sender.send(&slot, "127.0.0.5", &file);
            sent += 1;
        }
    }
    scene.jail.logs_often(mark, sent, delivered);
    let mail = maildir(&scene.jail);
    assert_eq!(mail.len(), sent);
    for message in mail {
        holds_the_message(message.as_bytes(), "a sender");
    }
}

/// Sends one message by this way, and returns it as it was delivered, and what was logged meanwhile.
pub(crate) fn one_goes_in(
    scene: &Scene,
    slot: &Slot<'_>,
    source: &str,
    delivered: &str,
) -> (String, String) {
    let subject = format!("from {source} to {}", slot.port);
    scene.jail.write(
        "tmp/one.eml",
        &format!("From: sender@example.net\r\nSubject: {subject}\r\n\r\nText.\r\n"),
    );
    let mark = scene.jail.mark();
    Sender::Swaks.send(slot, source, &scene.jail.path("tmp/one.eml"));
    scene.jail.logs_often(mark, 1, delivered);
    let mail = maildir(&scene.jail).into_iter().find(|message| message.contains(&subject));
    (mail.expect("it was delivered"), scene.jail.since(mark))
}

/// What lies in alice's Maildir.
fn maildir(jail: &Jail) -> Vec<String> {
    let all = jail.run("for file in /home/alice/Maildir/new/*; do cat $file; printf '\\0'; done");
    all.split_terminator('\0').map(str::to_owned).collect()
}
