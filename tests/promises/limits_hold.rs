//! So many sessions, so many strangers of one address, so long a line, so many errors; and not one more.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    common::{
        mailhost::{Host, TALKS, Talk},
        peer::connect,
    },
    stage::{Stage, call},
};

/// `limits.connections`: the others wait in the kernel's queue, and all are served.
#[test]
fn of_sessions_at_a_time() {
    const MOST: usize = 3;
    let stage = Stage::set();
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, highest) = (now.clone(), peak.clone());
    let host = Host::scripted(Talk::Imap, move |mut peer| {
        let here = inside.fetch_add(1, Ordering::SeqCst) + 1;
        highest.fetch_max(here, Ordering::SeqCst);
        peer.send(Talk::Imap.greeting());
        while let Some(line) = peer.try_line() {
            if line.contains("LOGOUT") {
                // Before the client, and so the front, can know that the session is over.
                inside.fetch_sub(1, Ordering::SeqCst);
            }
            peer.send(Talk::Imap.answer(&line));
        }
    });
    let doors = [("imap", "implicit", host.backend.address)];
    let front = stage.front(&doors, &format!("limits: {{ connections: {MOST} }}"));
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut peer = stage.client().enter(front.address(0));
                peer.until("* OK");
                for _ in 0..20 {
                    peer.send("n NOOP\r\n");
                    peer.until("n OK");
                }
                Talk::Imap.log_out(&mut peer);
            });
        }
    });
    assert_eq!(host.callers().len(), 20);
    let peak = peak.load(Ordering::SeqCst);
    assert!((2..=MOST).contains(&peak), "{peak} at a time");
}

/// `limits.pre_login_per_address`: the next one is told, in clear; who logs in is no stranger any more, and
/// another address has its own count.
#[test]
fn of_strangers_from_one_address() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, "limits: { pre_login_per_address: 2 }");
        let mut strangers: Vec<_> = (0..2)
            .map(|_| {
                let mut peer = stage.client().enter(front.address(1));
                peer.until(talk.greeted());
                peer
            })
            .collect();
        let told = connect(front.address(0)).rest();
        assert!(told.starts_with(talk.come_back_later()), "{talk:?}: {told:?}");
        assert!(stage.client().shake(connect(front.address(1))).is_err(), "no handshake for it");
        call(front.address(0), Ipv4Addr::new(127, 0, 0, 2)).until(talk.greeted());

        for logged_in in &mut strangers {
            talk.log_in(logged_in);
            // What comes back is opaque, so the front has seen the login by now.
            let (noop, ok) = talk.noop();
            logged_in.send(noop);
            logged_in.until(ok);
        }
        let mut third = stage.upgrade(talk, front.address(0));
        talk.log_in(&mut third);
        for peer in &mut strangers {
            talk.log_out(peer);
        }
    }
}

/// A stranger that leaves makes room, however it leaves.
#[test]
fn and_is_given_back() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Pop3);
    let doors = ["starttls", "implicit"].map(|tls| ("pop3", tls, host.backend.address));
    let front = stage.front(&doors, "limits: { pre_login_per_address: 1 }");
    for round in 0..4 {
        let mark = front.mark();
        match round {
            0 => {
                let mut peer = connect(front.address(0));
                peer.until("+OK");
                Talk::Pop3.log_out(&mut peer);
            }
            1 => drop(connect(front.address(0))),
            2 => drop(stage.client().enter(front.address(1))),
            _ => {
                let mut peer = connect(front.address(1));
                peer.send("no handshake");
                peer.rest();
            }
        }
        front.summary(mark);
    }
    connect(front.address(0)).until("+OK");
}

/// `limits.line`: what fits is taken, before TLS as inside, and what does not ends the session with a word.
#[test]
fn of_octets_in_a_line() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, "limits: { line: 4KiB }");
        for (length, fits) in [(4000, true), (5000, false)] {
            let mut clear = connect(front.address(0));
            clear.until(talk.greeted());
            clear.send(format!("a {}\r\n", "x".repeat(length)));
            let said = if fits { clear.line() } else { clear.rest() };
            assert_eq!(
                said.starts_with(talk.bye()) && talk != Talk::Pop3,
                !fits && talk != Talk::Pop3,
                "{said:?}"
            );
            assert_eq!(said.contains("too long"), !fits, "{said:?}");
        }
        let mut inside = stage.client().enter(front.address(1));
        inside.until(talk.greeted());
        inside.send("x".repeat(5000));
        let said = inside.rest();
        assert!(said.starts_with(talk.bye()) && said.contains("too long"), "{talk:?}: {said:?}");
    }
}

/// I15's kin: errors before TLS are answered, and after twenty of them it is enough. (P11: not after one.)
#[test]
fn of_errors_before_tls() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let door = (talk.name(), "starttls", host.backend.address);
        let front = stage.front(&[door], "timeouts: { pre_login: 1h }");
        let mut peer = connect(front.address(0));
        peer.until(talk.greeted());
        let mut answered = 0;
        let said = loop {
            peer.send("a WHAT\r\n");
            let said = peer.line();
            answered += 1;
            assert!(answered <= 20, "{talk:?}: it does not end");
            if answered == 20 {
                break said + &peer.rest();
            }
        };
        assert!(said.contains("Too many errors"), "{talk:?}: {said:?}");
    }
}

/// I15: a stranger has so much time in all, before TLS and inside it; octets do not renew it.
#[test]
fn of_time_before_the_login() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, "timeouts: { pre_login: 300ms }");
        let (noop, _) = talk.noop();
        let mut clear = connect(front.address(0));
        let mark = front.mark();
        clear.until(talk.greeted());
        clear.send(noop);
        let said = clear.rest();
        assert!(said.contains(talk.bye()), "{said:?}");
        drop(clear);
        let took = front.summary(mark)["milliseconds"].as_u64().unwrap();
        assert!((300..5000).contains(&took), "{took}");
        let mut inside = stage.client().enter(front.address(1));
        inside.until(talk.greeted());
        inside.send(noop);
        assert!(inside.rest().contains(talk.bye()));
    }
}
