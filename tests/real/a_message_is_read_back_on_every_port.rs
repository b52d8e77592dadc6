//! A message that Dovecot got by LMTP is read by each client, on each port, whatever Dovecot's own TLS is.

use crate::{
    clients::{self, Door, How, Protocol, Talk},
    dovecot::Ssl,
    harness::{MESSAGE, holds_the_message},
    stage::Stage,
};

fn read_with_each_client(ssl: Ssl) {
    let stage = Stage::set(ssl);
    stage.backend.dovecot.deliver("alice", MESSAGE.as_bytes());
    let mut reads = Vec::new();
    for door in stage.mail_doors() {
        let by_hand = |talk: Talk| talk.read_mail(&door).replace("\r\n..", "\r\n.").into_bytes();
        reads.push(("curl", door, clients::curl(&door, "127.0.0.5")));
        reads.push(("python", door, clients::python(&door, "127.0.0.5")));
        reads.push(("openssl", door, by_hand(Talk::openssl(&door, "127.0.0.5"))));
        reads.push(("gnutls-cli", door, by_hand(Talk::gnutls(&door))));
        if door.protocol == Protocol::Imap {
            reads.push(("mbsync", door, clients::mbsync(&door)));
        }
    }
    for (client, Door { protocol, how, .. }, read) in &reads {
        holds_the_message(read, &format!("{client} in {protocol:?} with {how:?} TLS"));
    }
    assert_eq!(reads.len(), 18, "four clients on four ports, mbsync on two");
}

/// D; I17, I18, P1, X13: through 143, 993, 110 and 995 to a Dovecot that knows no TLS at all.
#[test]
fn when_dovecot_has_no_tls() {
    read_with_each_client(Ssl::No);
}

/// D; X6, X9: Dovecot lets nobody log in whose PROXY header does not speak of TLS.
#[test]
fn when_dovecot_requires_tls() {
    read_with_each_client(Ssl::Required);
}

/// D: Dovecot offers its own STARTTLS, which must not reach the client.
#[test]
fn when_dovecot_has_tls_of_its_own() {
    read_with_each_client(Ssl::Yes);
}

/// I6, P13, S25's kin: a client that sends all its commands at once, right after the handshake, loses none.
#[test]
fn by_a_client_that_does_not_wait() {
    let stage = Stage::set(Ssl::Yes);
    stage.backend.dovecot.deliver("alice", MESSAGE.as_bytes());
    for how in [How::Starttls, How::Implicit] {
        let imap = stage.door(Protocol::Imap, how);
        let mut talk = Talk::openssl(&imap, "127.0.0.5");
        let all = "a LOGIN alice secret\r\nb SELECT INBOX\r\nc FETCH 1 BODY[]\r\nd LOGOUT";
        let heard = talk.say(all, "d OK");
        talk.end();
        holds_the_message(heard.as_bytes(), "an impatient client");
        let pop3 = stage.door(Protocol::Pop3, how);
        let mut talk = Talk::openssl(&pop3, "127.0.0.5");
        let heard = talk.say("USER alice\r\nPASS secret\r\nRETR 1\r\nQUIT", "+OK Logging out");
        talk.end();
        holds_the_message(heard.replace("\r\n..", "\r\n.").as_bytes(), "an impatient client");
    }
}

/// D: the other way round: what a client uploads arrives whole.
#[test]
fn and_one_can_be_put_there() {
    let stage = Stage::set(Ssl::No);
    let file = stage.backend.folder.write("upload.eml", MESSAGE);
    for how in [How::Starttls, How::Implicit] {
        clients::upload(&stage.door(Protocol::Imap, how), &file);
    }
    let mut talk = Talk::openssl(&stage.door(Protocol::Imap, How::Implicit), "127.0.0.5");
    talk.say("a LOGIN alice secret", "a OK");
    talk.say("b SELECT INBOX", "b OK");
    let fetched = talk.say("c FETCH 1:2 BODY[]", "c OK");
    assert_eq!(fetched.matches(MESSAGE).count(), 2, "{fetched}");
}
