//! Who does not read stops the other side; nothing piles up in between. What is announced is not allocated.

use std::{
    fs,
    io::{ErrorKind, Write},
    sync::mpsc,
    time::Duration,
};

use crate::{
    common::{
        front::{Front, PATIENCE},
        mailhost::{Host, TALKS, Talk},
        peer::{Backend, Bytes, Peer, connect},
    },
    stage::Stage,
};

/// More than all buffers of two kernels and a front together.
const MUCH: usize = 256 << 20;

/// What the front may grow by in the meantime, in KiB: it is a debug build with some threads.
const LITTLE: u64 = 8 << 10;

/// A peak of the front's resident memory, in KiB.
fn peak(front: &Front) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", front.pid())).expect("it runs");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("Linux tells");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Writes until nobody takes any more, for the first time or at all; says how much that was.
fn fill<S: Bytes>(peer: &mut Peer<S>) -> usize {
    let block = vec![b'x'; 64 << 10];
    let mut sent = 0;
    while sent < MUCH {
        match peer.0.write(&block) {
            Ok(n) => sent += n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(e) => panic!("{e} after {sent} octets"),
        }
    }
    sent
}

/// F4: neither a backend nor a client that does not read makes the front keep what the other says; and all
/// of it arrives once it reads.
#[test]
fn what_nobody_reads_stays_where_it_is() {
    let stage = Stage::set();
    let (hand, taken) = mpsc::channel();
    let host = Backend::script(move |mut peer| {
        if peer.is_health_check() {
            return;
        }
        let _ = hand.send(peer);
    });
    let front = stage.front(&[("raw", "none", host.address)], "");
    let mut client = connect(front.address(0));
    let mut backend = taken.recv_timeout(PATIENCE).expect("it is dialled");
    let before = peak(&front);
    // Patience with a write that is not taken: the proof that it is not.
    let stopped = Some(Duration::from_millis(300));
    client.0.set_write_timeout(stopped).unwrap();
    backend.0.set_write_timeout(stopped).unwrap();
    let up = fill(&mut client);
    let down = fill(&mut backend);
    assert!(up < MUCH && down < MUCH, "somebody swallows it: {up} up, {down} down");
    let grown = peak(&front) - before;
    assert!(grown < LITTLE, "{grown} KiB more for {up} + {down} octets");
    client.half_close();
    backend.half_close();
    assert_eq!(backend.rest().len(), up);
    assert_eq!(client.rest().len(), down);
}

/// F4: in TLS, where the front has buffers of its own.
#[test]
fn what_nobody_reads_in_tls_stays_where_it_is() {
    let stage = Stage::set();
    let (tell, told) = mpsc::channel();
    let host = Backend::script(move |mut peer| {
        if peer.is_health_check() {
            return;
        }
        peer.0.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let _ = tell.send(fill(&mut peer));
    });
    let front = stage.front(&[("raw", "implicit", host.address)], "");
    let mut client = stage.client().enter(front.address(0));
    let before = peak(&front);
    let sent = told.recv_timeout(PATIENCE * 2).expect("it is stopped");
    assert!(sent < MUCH, "somebody swallows it: {sent}");
    let grown = peak(&front) - before;
    assert!(grown < LITTLE, "{grown} KiB more for {sent} octets");
    assert_eq!(client.rest().len(), sent);
}

/// F4: nor does it stop anybody else.
#[test]
fn nor_does_it_hold_up_others() {
    let stage = Stage::set();
    let stuck = Backend::script(|mut peer| {
        if peer.is_health_check() {
            return;
        }
        // Listens, and never reads.
        let mut nothing = [0; 0];
        let _ = std::io::Read::read(&mut peer.0, &mut nothing);
        std::thread::park();
    });
    let host = Host::polite(Talk::Imap);
    let doors = [("raw", "none", stuck.address), ("imap", "implicit", host.backend.address)];
    let front = stage.front(&doors, "");
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let mut client = connect(front.address(0));
            client.0.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            fill(&mut client);
            client
        })
        .collect();
    let mut peer = stage.client().enter(front.address(1));
    peer.until("* OK");
    Talk::Imap.log_in(&mut peer);
    drop(crowd);
}

/// F11: a line without an end is not kept; the client is told, and the session is over.
#[test]
fn a_line_without_end_is_not_kept() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, "limits: { line: 16KiB }");
        let before = peak(&front);
        for octet in [b"x", b"(", b"\0", b"\xff", b"\"", b" ", b"\\"] {
            let mut clear = connect(front.address(0));
            clear.until(talk.greeted());
            let mut inside = stage.client().enter(front.address(1));
            inside.until(talk.greeted());
            let line = octet.repeat(1 << 20);
            // The front may stop to listen before all has been said.
            let _ = clear.0.write_all(&line);
            assert_ends(talk, &mut clear);
            let _ = inside.0.write_all(&line).and_then(|()| inside.0.flush());
            assert_ends(talk, &mut inside);
        }
        let grown = peak(&front) - before;
        assert!(grown < LITTLE, "{talk:?}: {grown} KiB");
        assert_eq!(host.heard(), [""; 0], "{talk:?}");
    }
}

/// What is still read of us may be cut short, but it is a good-bye and nothing else.
fn assert_ends<S: Bytes>(talk: Talk, peer: &mut Peer<S>) {
    let said = peer.rest();
    assert!(said.is_empty() || said.starts_with(talk.bye()), "{talk:?}: {said:?}");
}

/// F12; RFC 7888 §5: a literal is as long as what comes, not as what was announced.
#[test]
fn nothing_is_allocated_by_announcement() {
    let stage = Stage::set();
    for (talk, command) in [
        (Talk::Imap, "a LOGIN {4294967296+}\r\nx"),
        (Talk::Imap, "a LOGIN {4294967296}\r\n"),
        (Talk::Imap, "a ID ({4294967296+}\r\nx"),
        (Talk::Imap, "a ID ({1000000000}\r\n"),
        (Talk::Imap, "a FOO {9223372036854775808+}\r\nx"),
        (Talk::Imap, "a LOGIN {99999999999999999999999999+}\r\nx"),
        (Talk::Sieve, "NOOP {4294967296+}\r\nx"),
        (Talk::Sieve, "AUTHENTICATE \"PLAIN\" {18446744073709551615+}\r\nx"),
        (Talk::Sieve, "FOO {99999999999999999999999999+}\r\nx"),
    ] {
        let host = Host::polite(talk);
        let doors = ["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, "");
        let before = peak(&front);
        let mut clear = connect(front.address(0));
        clear.until(talk.greeted());
        clear.send(command);
        let mut inside = stage.client().enter(front.address(1));
        inside.until(talk.greeted());
        inside.send(command);
        // Still there, and no bigger.
        let mut other = stage.client().enter(front.address(1));
        other.until(talk.greeted());
        talk.log_in(&mut other);
        let grown = peak(&front) - before;
        assert!(grown < LITTLE, "{command:?}: {grown} KiB");
    }
}
