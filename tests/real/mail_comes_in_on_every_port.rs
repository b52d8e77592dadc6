//! What is sent through 25 in clear, 25 and 587 with STARTTLS, and 465 arrives, and is read back.

use crate::{
    harness::{MESSAGE, holds_the_message},
    mailroom::{Mailroom, Servers, Way},
    senders::{self, Sender},
};

fn arrives(sender: Sender) {
    let room = Mailroom::set();
    let file = room.servers.dovecot.folder.write("message.eml", MESSAGE);
    let mut sent = 0;
    for slot in room.slots().iter().filter(|slot| sender.knows(slot)) {
        let mark = room.servers.postfix.mark();
        sender.send(slot, "127.0.0.5", &file);
        room.servers.postfix.delivers(mark, 1);
        sent += 1;
        let mail = room.servers.mail();
        assert_eq!(mail.len(), sent, "{slot:?}: one more, and no more");
        holds_the_message(mail[sent - 1].as_bytes(), &format!("Postfix through {slot:?}"));
    }
    for (door, read) in room.read_back() {
        holds_the_message(read.as_bytes(), &format!("curl through {door:?}"));
    }
}

#[test]
fn with_swaks() {
    arrives(Sender::Swaks);
}

#[test]
fn with_curl() {
    arrives(Sender::Curl);
}

#[test]
fn with_msmtp() {
    arrives(Sender::Msmtp);
}

#[test]
fn with_smtplib() {
    arrives(Sender::Python);
}

#[test]
fn by_hand_with_openssl() {
    arrives(Sender::Openssl);
}

#[test]
fn by_hand_with_gnutls() {
    arrives(Sender::Gnutls);
}

/// D: a Postfix that knows no TLS at all gets the same.
#[test]
fn before_a_postfix_without_tls() {
    let room = Mailroom::before(Servers::with(false), "", "");
    let file = room.servers.dovecot.folder.write("message.eml", MESSAGE);
    for slot in room.slots() {
        let mark = room.servers.postfix.mark();
        Sender::Swaks.send(&slot, "127.0.0.5", &file);
        room.servers.postfix.delivers(mark, 1);
    }
    assert_eq!(room.servers.mail().len(), 4);
}

/// Postfix's own generator of load: 200 messages in 10 sessions at a time, and not one is lost or doubled.
#[test]
fn from_many_sessions_at_once() {
    let room = Mailroom::set();
    let mark = room.servers.postfix.mark();
    senders::smtp_source(&room.mx(Way::Clear), 200, 10);
    room.servers.postfix.delivers(mark, 200);
    assert_eq!(room.servers.mail().len(), 200);
}
