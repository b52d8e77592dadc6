//! A backend that is down, silent, refuses or speaks nonsense: the client hears of it in its protocol's
//! words, at once, and all is well as soon as the backend is.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use crate::{
    common::{
        front::{Front, PATIENCE},
        mailhost::{Host, TALKS, Talk},
        peer::{Backend, Peer, connect},
        proxy::Header,
    },
    stage::{Door, Stage},
};

fn doors(talk: Talk, backend: SocketAddr) -> [Door<'static>; 2] {
    ["starttls", "implicit"].map(|tls| (talk.name(), tls, backend))
}

/// An address that refuses connections: nobody else gets it as long as the socket is bound.
fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// What a client is told at each of the two ports.
fn told(stage: &Stage, front: &Front) -> [String; 2] {
    let in_clear = connect(front.address(0)).rest();
    [in_clear, stage.client().enter(front.address(1)).rest()]
}

/// F1: nobody listens there: the protocol's own "come back later", in clear and in TLS.
#[test]
fn it_is_down() {
    let stage = Stage::set();
    for talk in TALKS {
        let (_held, address) = nobody();
        let front = stage.front(&doors(talk, address), "");
        for said in told(&stage, &front) {
            assert!(said.starts_with(talk.come_back_later()), "{talk:?}: {said:?}");
            assert_eq!(said.lines().count(), 1, "{said:?}");
        }
    }
}

/// F1: it comes back by itself, without a reload, and without a client that has to fail first.
#[test]
fn it_comes_back() {
    let stage = Stage::set();
    for talk in TALKS {
        let (held, address) = nobody();
        let front = stage.front(&doors(talk, address), "");
        told(&stage, &front);
        // The same socket begins to listen: the port was never free for others.
        held.listen(16).unwrap();
        let listener = TcpListener::from(held);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || {
                    let mut peer = Peer(stream.unwrap());
                    Header::parse(&peer.proxy_v2());
                    talk.attend(&mut peer, |_| {});
                });
            }
        });
        front.wait("it is up", 0, |line| {
            line["message"] == "learned" || line["message"] == "backend is up"
        });
        // STARTTLS needs what was learned, too.
        let mut peer = stage.upgrade(talk, front.address(0));
        talk.log_in(&mut peer);
    }
}

/// F2: connections to it are not answered: the connect timeout, not the client's patience.
#[test]
fn it_is_a_black_hole() {
    let stage = Stage::set();
    // A full queue: the kernel drops what comes after.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = socket2::SockRef::from(&hole);
    socket.listen(0).unwrap();
    let address = hole.local_addr().unwrap();
    let _full = TcpStream::connect(address).unwrap();
    let door = [("imap", "implicit", address)];
    let front = stage.front(&door, "timeouts: { connect: 200ms, probe: 1h }");
    let said = stage.client().enter(front.address(0)).rest();
    assert!(said.starts_with("* BYE [UNAVAILABLE] "), "{said:?}");
    let end = front.summary(0)["end"].to_string();
    assert!(end.contains("dial") && end.contains("timed out"), "{end}");
}

/// F1, F2: it accepts and says nothing.
#[test]
fn it_is_silent() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::scripted(talk, |mut peer| drop(peer.rest()));
        let more = "timeouts: { greeting: 200ms }";
        let front = stage.front(&[(talk.name(), "implicit", host.backend.address)], more);
        let said = stage.client().enter(front.address(0)).rest();
        assert!(said.starts_with(talk.come_back_later()), "{talk:?}: {said:?}");
    }
}

/// F1, I10, S27's kin: it closes at once, or greets in a tongue that is not the protocol's; nothing of it
/// reaches the client.
#[test]
fn it_makes_no_sense() {
    let stage = Stage::set();
    for talk in TALKS {
        for greeting in [
            "",
            "220 mail ESMTP\r\n",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "\0\0\0\0\r\n",
            "* PREAUTH [CAPABILITY IMAP4rev1] welcome\r\n",
            "* FINE\r\n",
            "\"\r\n",
            "OKAY\r\n",
            &"x".repeat(100_000),
        ] {
            let greeting = greeting.to_owned();
            let host = Host::scripted(talk, move |mut peer| {
                // The front may have gone before it has heard all of it.
                drop(std::io::Write::write_all(&mut peer.0, greeting.as_bytes()));
                peer.half_close();
                peer.rest();
            });
            let front = stage.front(&[(talk.name(), "implicit", host.backend.address)], "");
            let said = stage.client().enter(front.address(0)).rest();
            assert!(said.starts_with(talk.come_back_later()), "{talk:?}: {said:?}");
            assert_eq!(said.lines().count(), 1, "{said:?}");
        }
    }
}

/// I10; RFC 9051 §7.1.4: PREAUTH logs nobody in, behind either port; and not in the middle, either.
#[test]
fn it_thinks_that_the_client_is_logged_in() {
    let stage = Stage::set();
    for greeting in ["* PREAUTH hi\r\n", "* preauth hi\r\n", "* OK hi\r\n* PREAUTH hi\r\n"] {
        let heard = Arc::new(AtomicUsize::new(0));
        let ear = heard.clone();
        let host = Host::scripted(Talk::Imap, move |mut peer| {
            peer.send(greeting);
            ear.fetch_add(peer.rest().matches("SELECT").count(), Ordering::SeqCst);
        });
        let front = stage.front(&doors(Talk::Imap, host.backend.address), "");
        let after_starttls = stage.upgrade(Talk::Imap, front.address(0));
        for mut peer in [after_starttls, stage.client().enter(front.address(1))] {
            // The front may have gone already.
            drop(std::io::Write::write_all(&mut peer.0, b"s SELECT INBOX\r\n"));
            let said = peer.rest();
            assert!(said.contains("* BYE "), "{greeting:?}: {said:?}");
            assert!(!said.to_uppercase().contains("PREAUTH"), "{said:?}");
        }
        if !greeting.starts_with("* OK") {
            assert_eq!(heard.load(Ordering::SeqCst), 0, "{greeting:?}");
        }
    }
}

/// The backend's own refusal passes with its words, and is the end.
#[test]
fn it_refuses_in_its_own_words() {
    let stage = Stage::set();
    for (talk, words) in [
        (Talk::Imap, "* BYE [ALERT] Closed for the holidays\r\n"),
        (Talk::Pop3, "-ERR [IN-USE] Somebody else reads it\r\n"),
        (Talk::Sieve, "BYE (TRYLATER) \"No scripts today\"\r\n"),
    ] {
        let host = Host::scripted(talk, move |mut peer| {
            peer.send(words);
            peer.half_close();
            peer.rest();
        });
        let front = stage.front(&doors(talk, host.backend.address), "");
        let mut clear = connect(front.address(0));
        clear.until(talk.greeted());
        clear.send(talk.upgrade().0);
        clear.line();
        assert_eq!(stage.client().shake(clear).unwrap().rest(), words);
        let mark = front.mark();
        assert_eq!(stage.client().enter(front.address(1)).rest(), words);
        assert_eq!(front.summary(mark)["end"], "refused by the backend");
    }
}

/// Its greeting and its answers come octet by octet, and are the same.
#[test]
fn it_is_in_no_hurry() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::scripted(talk, move |mut peer| {
            let dribble = |peer: &mut Peer<TcpStream>, text: &str| {
                text.bytes().for_each(|octet| peer.send([octet]));
            };
            dribble(&mut peer, talk.greeting());
            while let Some(line) = peer.try_line() {
                dribble(&mut peer, &talk.answer(&line));
            }
        });
        let front = stage.front(&doors(talk, host.backend.address), "");
        let mut after_starttls = stage.upgrade(talk, front.address(0));
        talk.log_in(&mut after_starttls);
        let mut implicit = stage.client().enter(front.address(1));
        let greeting = implicit.until(talk.greeted());
        assert!(greeting.contains("Host ready.") && !greeting.contains("STARTTLS"), "{greeting:?}");
        talk.log_in(&mut implicit);
        talk.log_out(&mut implicit);
    }
}

/// F1: it fails for real sessions, and then it is said at the door: the greeting itself is the refusal.
#[test]
fn it_fails_while_the_front_runs() {
    let stage = Stage::set();
    for talk in TALKS {
        let ill = Arc::new(AtomicBool::new(false));
        let state = ill.clone();
        let backend = Backend::script(move |mut peer| {
            Header::first_segment(&mut peer.0);
            if !state.load(Ordering::SeqCst) {
                talk.attend(&mut peer, |_| {});
            }
        });
        let front = stage.front(&doors(talk, backend.address), "timeouts: { probe: 1h }");
        ill.store(true, Ordering::SeqCst);
        let mark = front.mark();
        for _ in 0..3 {
            let said = stage.client().enter(front.address(1)).rest();
            assert!(said.starts_with(talk.come_back_later()), "{said:?}");
        }
        front.wait("it is known to be down", mark, |line| line["message"] == "backend is down");
        let said = connect(front.address(0)).rest();
        assert!(said.starts_with(talk.come_back_later()), "{said:?}");
        // A client that knocks makes the front look again: no reload, and no hour's wait.
        ill.store(false, Ordering::SeqCst);
        let deadline = Instant::now() + PATIENCE;
        while connect(front.address(0)).line().starts_with(talk.come_back_later()) {
            assert!(Instant::now() < deadline, "{talk:?}: it does not come back");
        }
        stage.upgrade(talk, front.address(0));
    }
}
