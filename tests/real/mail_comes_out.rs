//! What every server for mail that is read is tried with, whatever its name is.

use crate::{
    clients::{self, Door, How, Protocol, Talk},
    dialogue::{capabilities, log_in},
    harness::{MESSAGE, holds_the_message},
    plan::Scene,
    smtp::CLIENT,
    stage::enter,
};

/// One that a program from outside has put there through the front, by each way.
pub(crate) fn everybody_reads(scene: &Scene) {
    let file = scene.jail.path("tmp/message.eml");
    scene.jail.write("tmp/message.eml", MESSAGE);
    let doors: Vec<Door<'_>> =
        scene.doors().into_iter().filter(|door| door.protocol != Protocol::Sieve).collect();
    let imap = doors.iter().find(|door| door.protocol == Protocol::Imap).expect("there is IMAP");
    clients::upload(imap, &file);
    for door in &doors {
        holds_the_message(&clients::curl(door, "127.0.0.5"), "curl");
        holds_the_message(&clients::python(door, "127.0.0.5"), "python");
        let by_hand = |talk: Talk| talk.read_mail(door).replace("\r\n..", "\r\n.");
        holds_the_message(by_hand(Talk::openssl(door, "127.0.0.5")).as_bytes(), "openssl");
        // Before STARTTLS, gnutls-cli reads no list of capabilities that is as long as Cyrus' is.
        if door.how == How::Implicit {
            holds_the_message(by_hand(Talk::gnutls(door)).as_bytes(), "gnutls-cli");
        }
        if door.protocol == Protocol::Imap {
            holds_the_message(&clients::mbsync(door), "mbsync");
        }
    }
}

/// Passwords are taken inside TLS in every form that is offered there, and nothing is offered twice.
pub(crate) fn auth_is_offered_inside_tls(scene: &Scene) {
    for door in scene.doors() {
        let (mut inside, _) = enter(&door, CLIENT);
        let offered = capabilities(&mut inside, door.protocol).join(" ");
        let plain = match door.protocol {
            Protocol::Imap => offered.contains("AUTH=PLAIN"),
            Protocol::Pop3 | Protocol::Sieve => offered.contains("PLAIN"),
        };
        assert!(plain, "{door:?}: {offered}");
        let hidden = ["STARTTLS", "STLS", "LOGINDISABLED", "UNAUTHENTICATE"];
        assert!(!hidden.iter().any(|word| offered.contains(word)), "{door:?}: {offered}");
        log_in(&mut inside, door.protocol);
    }
}
