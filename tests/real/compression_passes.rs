//! COMPRESS=DEFLATE is between client and backend: the front carries what it cannot read.

use crate::{
    clients::{self, How, Protocol},
    dovecot::Ssl,
    stage::{Backend, Stage},
};

/// Long, and of a kind that deflate does not turn into nothing.
fn message() -> Vec<u8> {
    let mut message = b"From: sender@example.org\r\nSubject: compressed\r\n\r\n".to_vec();
    let mut state = 1_u32;
    for _ in 0..4_000 {
        for _ in 0..70 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            message.push(b'!' + u8::try_from(state >> 24).unwrap() % 90);
        }
        message.extend_from_slice(b"\r\n");
    }
    message
}

/// I20: D. Directly first, so that the client is known to be able to.
#[test]
fn after_the_login() {
    let direct = Backend::new(Ssl::Yes);
    let message = message();
    direct.dovecot.deliver("alice", &message);
    let read = clients::compressed(&direct.direct(Protocol::Imap), "127.0.0.5");
    assert!(read.ends_with(&message), "directly: {} octets", read.len());
    let stage = Stage::before(direct);
    for how in [How::Starttls, How::Implicit] {
        let through = clients::compressed(&stage.door(Protocol::Imap, how), "127.0.0.5");
        assert!(through == read, "{how:?}: {} octets instead of {}", through.len(), read.len());
    }
}
