//! As much of SMTP as the transcripts in these tests have in common.

use std::net::Ipv4Addr;

use crate::{
    common::peer::{Bytes, Peer},
    dialogue::PLAIN,
};

/// Where the clients come from: not 127.0.0.1, from where Postfix takes mail for everybody.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

/// Reads one reply, however many lines it has.
pub(crate) fn reply<S: Bytes>(peer: &mut Peer<S>) -> String {
    let mut all = String::new();
    loop {
        let line = peer.line();
        all.push_str(&line);
        // RFC 5321 §4.2.1: a hyphen after the code says that there is more.
        match line.as_bytes().get(3) {
            Some(b'-') => {}
            Some(b' ' | b'\r') => return all,
            _ => panic!("{line:?} is no reply; before it came {all:?}"),
        }
    }
}

/// Reads a reply that must begin so.
pub(crate) fn expect<S: Bytes>(peer: &mut Peer<S>, code: &str, to: &str) -> String {
    let reply = reply(peer);
    assert!(reply.starts_with(code), "{reply:?} instead of {code} to {to:?}");
    reply
}

/// Sends a line; its reply must begin so.
pub(crate) fn say<S: Bytes>(peer: &mut Peer<S>, line: &str, code: &str) -> String {
    peer.send(format!("{line}\r\n"));
    expect(peer, code, line)
}

/// Sends a line, and returns what is said to it.
pub(crate) fn ask<S: Bytes>(peer: &mut Peer<S>, line: &str) -> String {
    peer.send(format!("{line}\r\n"));
    reply(peer)
}

/// Says EHLO, and returns what is on offer: the lines after the first, without their codes.
pub(crate) fn ehlo<S: Bytes>(peer: &mut Peer<S>) -> Vec<String> {
    let reply = say(peer, "EHLO client.example.net", "250");
    extensions(&reply)
}

/// The lines of a reply after the first, without their codes.
pub(crate) fn extensions(reply: &str) -> Vec<String> {
    reply.lines().skip(1).map(|line| line[4..].to_owned()).collect()
}

/// From the first command in TLS, or after the greeting, to the 354.
pub(crate) fn to_data<S: Bytes>(peer: &mut Peer<S>) {
    ehlo(peer);
    envelope(peer);
}

/// MAIL, RCPT and DATA, each with its answer.
pub(crate) fn envelope<S: Bytes>(peer: &mut Peer<S>) {
    say(peer, "MAIL FROM:<sender@example.net>", "250");
    say(peer, "RCPT TO:<alice@example.org>", "250");
    say(peer, "DATA", "354");
}

/// Logs alice in.
pub(crate) fn log_in<S: Bytes>(peer: &mut Peer<S>) {
    say(peer, &format!("AUTH PLAIN {PLAIN}"), "235");
}

/// Sends a message whose subject is `subject`, session and all, and says goodbye.
pub(crate) fn send<S: Bytes>(peer: &mut Peer<S>, subject: &str) {
    to_data(peer);
    peer.send(message(subject));
    expect(peer, "250", "the end of data");
    say(peer, "QUIT", "221");
    assert_eq!(peer.rest(), "");
}

/// A message and the end of its data.
pub(crate) fn message(subject: &str) -> String {
    format!("From: sender@example.net\r\nSubject: {subject}\r\n\r\nText.\r\n.\r\n")
}

/// A text with CRLF as line ends, its leading dots doubled.
pub(crate) fn stuffed(text: &str) -> String {
    let dotted = text.replace("\r\n.", "\r\n..");
    if dotted.starts_with('.') { format!(".{dotted}") } else { dotted }
}

/// A PROXY header for somebody at `source`, in TLS or not, as a front makes it.
pub(crate) fn proxy_header(source: Ipv4Addr, tls: bool) -> Vec<u8> {
    let mut rest = [source.octets(), [192, 0, 2, 25]].concat();
    rest.extend_from_slice(&5555_u16.to_be_bytes());
    rest.extend_from_slice(&25_u16.to_be_bytes());
    if tls {
        // PP2_TYPE_SSL: the client spoke TLS, showed no certificate; then the version.
        rest.extend_from_slice(&[0x20, 0, 15, 1, 0, 0, 0, 1, 0x21, 0, 7]);
        rest.extend_from_slice(b"TLSv1.3");
    }
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend_from_slice(&u16::try_from(rest.len()).expect("short").to_be_bytes());
    header.extend_from_slice(&rest);
    header
}
