//! Half-idle both ways: a server that speaks while the client is silent, and the other way round.

use std::net::Ipv4Addr;

use crate::{
    clients::{How, Protocol},
    dialogue::{ends, log_in},
    dovecot::Ssl,
    harness::MESSAGE,
    stage::{Stage, enter},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

/// I22: one client idles and hears of a delivery, of what another client uploads, and of its going.
#[test]
fn while_a_message_is_delivered_and_another_uploaded() {
    let stage = Stage::set(Ssl::Yes);
    for (quiet, busy) in [(How::Starttls, How::Implicit), (How::Implicit, How::Starttls)] {
        let (mut quiet, _) = enter(&stage.door(Protocol::Imap, quiet), CLIENT);
        log_in(&mut quiet, Protocol::Imap);
        quiet.send("a SELECT INBOX\r\n");
        let selected = quiet.until("a OK");
        let had: u32 = selected
            .lines()
            .find_map(|l| l.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok())
            .unwrap();
        quiet.send("b IDLE\r\n");
        quiet.until("+ ");

        // The server speaks, the client does not.
        stage.backend.dovecot.deliver("alice", MESSAGE.as_bytes());
        quiet.until(&format!("* {} EXISTS", had + 1));

        // The client speaks, the server does not: four MiB in one literal.
        let (mut busy, _) = enter(&stage.door(Protocol::Imap, busy), CLIENT);
        log_in(&mut busy, Protocol::Imap);
        let line = format!("{}\r\n", "x".repeat(998));
        let lines = 4 * 1024 * 1024 / line.len();
        let head = "Subject: large\r\n\r\n";
        busy.send(format!("c APPEND INBOX {{{}}}\r\n", head.len() + lines * line.len()));
        busy.until("+ ");
        busy.send(head);
        for _ in 0..lines {
            busy.send(&line);
        }
        busy.send("\r\n");
        busy.until("c OK");
        quiet.until(&format!("* {} EXISTS", had + 2));

        quiet.send("DONE\r\n");
        quiet.until("b OK");
        quiet.send("d FETCH * RFC822.SIZE\r\n");
        let size = quiet.until("d OK");
        assert!(
            size.contains(&format!("RFC822.SIZE {}", head.len() + lines * line.len())),
            "{size}"
        );
        for mut peer in [quiet, busy] {
            peer.send("e LOGOUT\r\n");
            peer.until("e OK");
            ends(&mut peer);
        }
    }
}
