//! The octets of a message are the same through the front as without it.

use std::net::Ipv4Addr;

use crate::{
    clients::{Door, Protocol},
    dialogue::{log_in, read_to},
    dovecot::Ssl,
    stage::{Stage, enter},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

/// Dots at the start of lines, eight-bit octets, lone CRs, commands, a line that never ends, and more than any buffer.
fn message() -> Vec<u8> {
    let mut message = b"From: sender@example.org\r\nSubject: bytes\r\n\r\n".to_vec();
    message.extend_from_slice(
        b".\r.\r\n..\r\n...three\r\n. one\r\n+OK no\r\n-ERR no\r\n* BYE no\r\nSTLS\r\n",
    );
    message.extend(128..=255_u8);
    message.extend_from_slice(b"\r\nlone\rreturns\rhere\r\n\r\r\r\n\r\n");
    message.extend(std::iter::repeat_n(b'l', 100_000));
    message.extend_from_slice(b"\r\n");
    for n in 0..10_000 {
        message.extend_from_slice(format!(".{n}\r\n").as_bytes());
    }
    message.extend_from_slice("ünïcödé\r\n.\u{a0}\r\n".as_bytes());
    message
}

fn retrieve(door: &Door<'_>) -> Vec<u8> {
    let (mut peer, _) = enter(door, CLIENT);
    log_in(&mut peer, door.protocol);
    match door.protocol {
        Protocol::Imap => {
            peer.send("a SELECT INBOX\r\n");
            peer.until("a OK");
            peer.send("b FETCH 1 BODY.PEEK[]\r\n");
            let mut read = read_to(&mut peer, |all| {
                all.ends_with(b"\r\n") && last_line(all).starts_with(b"b OK")
            });
            // How long it took Dovecot is its own affair.
            read.truncate(read.len() - last_line(&read).len());
            read
        }
        Protocol::Pop3 => {
            peer.send("RETR 1\r\n");
            read_to(&mut peer, |all| all.ends_with(b"\r\n.\r\n"))
        }
        Protocol::Sieve => panic!("no mail here"),
    }
}

fn last_line(bytes: &[u8]) -> &[u8] {
    bytes.split_inclusive(|&b| b == b'\n').next_back().unwrap_or_default()
}

/// P5, P14: D.
#[test]
fn on_any_port() {
    let stage = Stage::set(Ssl::Yes);
    stage.backend.dovecot.deliver("alice", &message());
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let direct = retrieve(&stage.backend.direct(protocol));
        let kept = b"lone\rreturns\rhere\r\n";
        assert!(
            direct.windows(kept.len()).any(|part| part == kept),
            "Dovecot itself keeps the lone returns"
        );
        for door in stage.mail_doors().iter().filter(|door| door.protocol == protocol) {
            let through = retrieve(door);
            let differs = direct.iter().zip(&through).position(|(a, b)| a != b);
            assert!(
                through == direct,
                "{door:?}: {} octets, {} directly; first {differs:?}",
                through.len(),
                direct.len()
            );
        }
    }
}
