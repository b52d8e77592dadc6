//! A second SIGTERM ends all sessions; RFC 5321 §3.8 wants to be told so, in words that mean "later".

use rustix::process::Signal;

use crate::{
    mailroom::{Mailroom, Way, enter},
    smtp::{CLIENT, ehlo, envelope, expect, say},
    stage::call,
};

/// S32: before TLS, between commands in clear and in TLS, and in the middle of an envelope. In the middle of a
/// message, too: there it stands for the answer to its end, which a sender then tries again (§4.2.5).
#[test]
fn in_every_state() {
    let mut room = Mailroom::set();
    let mut peers = Vec::new();
    let mut new = call(room.submission(Way::Starttls).port, CLIENT);
    expect(&mut new, "220", "the connection");
    for slot in [room.mx(Way::Clear), room.mx(Way::Starttls)] {
        let mut idle = enter(&slot, CLIENT);
        ehlo(&mut idle);
        peers.push(idle);
        let mut sender = enter(&slot, CLIENT);
        ehlo(&mut sender);
        say(&mut sender, "MAIL FROM:<sender@example.net>", "250");
        peers.push(sender);
        let mut writer = enter(&slot, CLIENT);
        ehlo(&mut writer);
        envelope(&mut writer);
        writer.send("Subject: half a mess");
        peers.push(writer);
    }
    let mark = room.front.mark();
    room.front.signal(Signal::TERM);
    room.front.wait("it stops", mark, |line| line["message"] == "stopping");
    room.front.signal(Signal::TERM);
    expect(&mut new, "421", "the end");
    drop(new);
    for (n, mut peer) in peers.into_iter().enumerate() {
        expect(&mut peer, "421", &format!("the end of session {n}"));
        assert_eq!(peer.rest(), "", "session {n}");
    }
    assert_eq!(room.front.exit().code(), Some(0));
    assert!(room.servers.mail().is_empty(), "half a message was taken for one");
}
