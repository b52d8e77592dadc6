//! One deadline for all of a handshake, however the octets drip; and who is quick is not held up.

use std::io::Write;

use crate::{
    common::{
        front::Front,
        hello::{Answer, Hello},
        mailhost::{Host, Talk},
        peer::{Peer, connect},
        tls::{NAME, der},
    },
    stage::Stage,
};

/// F9: stalled clients at a time.
const CROWD: usize = 300;

fn impatient(stage: &Stage, host: &Host) -> Front {
    let doors = ["implicit", "starttls"].map(|tls| ("imap", tls, host.backend.address));
    stage.front(&doors, "timeouts: { handshake: 300ms }\nlimits: { pre_login_per_address: 1000 }")
}

/// A client at the door where its first record is awaited.
fn arrive(front: &Front, door: usize) -> Peer<std::net::TcpStream> {
    let mut peer = connect(front.address(door));
    if door == 1 {
        peer.until("* OK");
        peer.send("a STARTTLS\r\n");
        peer.until("a OK");
    }
    peer
}

/// T24: whoever says nothing, or stops in the middle, is gone when the time is up, on both kinds of port.
#[test]
fn for_those_who_say_nothing_more() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = impatient(&stage, &host);
    let hello = Hello::default().asking(NAME).record();
    for door in [0, 1] {
        // Nothing, a header, half a hello, all of it and no answer to the server's.
        for said in [&hello[..0], &hello[..5], &hello[..hello.len() / 2], &hello[..]] {
            let mark = front.mark();
            let mut peer = arrive(&front, door);
            peer.send(said);
            peer.rest();
            let summary = front.summary(mark);
            let took = summary["milliseconds"].as_u64().unwrap();
            assert!((300..5000).contains(&took), "{summary}");
            assert!(summary["end"].as_str().unwrap().starts_with("handshake: "), "{summary}");
        }
    }
    assert!(host.callers().is_empty(), "no backend was bothered");
}

/// T24, F9: the deadline is absolute: an octet now and then does not move it.
#[test]
fn for_those_who_drip() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = impatient(&stage, &host);
    // A record that announces more than will ever come.
    let mut peer = connect(front.address(0));
    peer.send([22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xf0]);
    peer.0.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    let mut sent = 0;
    // Each octet waits for the answer that never comes: until the front has closed.
    while peer.0.write_all(&[0]).is_ok() && sent < 1000 {
        sent += 1;
        let mut buffer = [0; 64];
        match std::io::Read::read(&mut peer.0, &mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    assert!(sent > 2, "it dripped for a while: {sent}");
    drop(peer);
    let took = front.summary(0)["milliseconds"].as_u64().unwrap();
    assert!((300..5000).contains(&took), "{took} ms");
}

/// F9: a crowd of them does not hold up a client that shakes hands.
#[test]
fn and_nobody_waits_for_them() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let doors = [("imap", "implicit", host.backend.address)];
    let front =
        stage.front(&doors, "timeouts: { handshake: 1h }\nlimits: { pre_login_per_address: 1000 }");
    let half = &Hello::default().record()[..30];
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| {
            let mut peer = connect(front.address(0));
            peer.send(half);
            peer
        })
        .collect();
    let mut peer = stage.client().enter(front.address(0));
    peer.until("* OK");
    Talk::Imap.log_in(&mut peer);
    assert_eq!(crowd.len(), CROWD);
}

/// T23: a hello octet by octet is a hello; one in records of one octet, too; one without end is none.
#[test]
fn however_it_is_cut() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let hello = Hello::default().asking(NAME).record();
    let mut by_octets = connect(front.address(0));
    hello.iter().for_each(|octet| by_octets.send([*octet]));
    let mut by_records = connect(front.address(0));
    let records: Vec<u8> = hello[5..].iter().flat_map(|octet| [22, 3, 1, 0, 1, *octet]).collect();
    by_records.send(records);
    for mut peer in [by_octets, by_records] {
        assert_eq!(Answer::read(&mut peer).leaf(), &der(&stage.leaf.cert)[..]);
    }
    let mut endless = connect(front.address(0));
    // A hello of 16 MiB, as its header says.
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    for _ in 0..64 {
        if endless.0.write_all(&record).is_err() {
            break;
        }
        record.truncate(5);
        record.resize(5 + 0x4000, 0);
    }
    assert!(!matches!(Answer::read(&mut endless), Answer::Flight { .. }));
}
