//! The harness itself, with no front: what fails here is not the front's fault.

use std::net::Ipv4Addr;

use crate::{
    clients::{self, Protocol, Talk},
    common::peer::Peer,
    dovecot::Ssl,
    stage::{Backend, call, greeting},
};

pub(crate) const MESSAGE: &str = "From: sender@example.org\r\n\
    To: alice@example.org\r\n\
    Subject: STARTTLS\r\n\
    Message-ID: <1@example.org>\r\n\
    \r\n\
    a001 LOGOUT\r\n\
    .leading dot\r\n\
    QUIT\r\n\
    the last line\r\n";

/// With CRLF or as a Maildir has it; the delivery adds lines above it.
pub(crate) fn holds_the_message(read: &[u8], by: &str) {
    let text = String::from_utf8_lossy(read).replace("\r\n", "\n");
    let body = MESSAGE.replace("\r\n", "\n");
    let body = body.split_once("\n\n").expect("a body").1;
    assert!(text.contains("\nSubject: STARTTLS\n") && text.contains(body), "{by} read {text:?}");
}

#[test]
fn each_client_reads_dovecot_directly() {
    let backend = Backend::new(Ssl::Yes);
    backend.dovecot.deliver("alice", MESSAGE.as_bytes());
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let door = backend.direct(protocol);
        holds_the_message(&clients::curl(&door, "127.0.0.5"), "curl");
        holds_the_message(&clients::python(&door, "127.0.0.5"), "python");
    }
    holds_the_message(&clients::mbsync(&backend.direct(Protocol::Imap)), "mbsync");
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let door = backend.direct(protocol);
        let by_hand = |talk: Talk| talk.read_mail(&door).replace("\r\n..", "\r\n.");
        holds_the_message(by_hand(Talk::openssl(&door, "127.0.0.5")).as_bytes(), "openssl");
        holds_the_message(by_hand(Talk::gnutls(&door)).as_bytes(), "gnutls-cli");
    }
    clients::python(&backend.direct(Protocol::Sieve), "127.0.0.5");
}

/// X2, X6: what a header can make Dovecot believe, so that the other tests know what to look for.
#[test]
fn dovecot_believes_a_proxy_header_made_by_hand() {
    for ssl in [Ssl::No, Ssl::Yes, Ssl::Required] {
        let backend = Backend::new(ssl);
        let mark = backend.dovecot.mark();
        let mut imap = proxied(backend.dovecot.ports.imap, true);
        greeting(&mut imap, Protocol::Imap);
        imap.send("a LOGIN alice secret\r\n");
        imap.until("a OK");
        backend.dovecot.logs(
            mark,
            &[
                "Login: user=<alice>",
                "rip=192.0.2.7, rport=5555",
                "lip=192.0.2.1, lport=993",
                "secured=<secured>",
            ],
        );
    }
    let backend = Backend::new(Ssl::Required);
    let mut imap = proxied(backend.dovecot.ports.imap, false);
    greeting(&mut imap, Protocol::Imap);
    imap.send("a LOGIN alice secret\r\n");
    let refused = imap.until("a ");
    assert!(refused.contains("a NO [PRIVACYREQUIRED]"), "no TLV, no TLS: {refused}");
}

/// A connection that claims to come from 192.0.2.7:5555 to 192.0.2.1:993, in TLS or not.
fn proxied(port: u16, tls: bool) -> Peer<std::net::TcpStream> {
    let mut rest = vec![192, 0, 2, 7, 192, 0, 2, 1];
    rest.extend_from_slice(&5555_u16.to_be_bytes());
    rest.extend_from_slice(&993_u16.to_be_bytes());
    if tls {
        // PP2_TYPE_SSL: the client spoke TLS, showed no certificate; then the version.
        rest.extend_from_slice(&[0x20, 0, 15, 1, 0, 0, 0, 1, 0x21, 0, 7]);
        rest.extend_from_slice(b"TLSv1.3");
    }
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend_from_slice(&rest);
    let mut peer = call(port, Ipv4Addr::LOCALHOST);
    peer.send(header);
    peer
}
