//! However a session ends, each side gets all that the other has said, and is told that it was all.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc,
    time::Duration,
};

use rustls::{ClientConnection, StreamOwned};
use socket2::SockRef;

use crate::{
    common::{
        front::Front,
        mailhost::{Host, TALKS, Talk},
        peer::{Backend, Peer, connect},
    },
    stage::Stage,
};

/// A test that waits for one of these deadlines fails.
const ENDLESS: &str = "timeouts: { pre_login: 1h, idle: 1h, closing: 1h }";

/// The backend's end of a session, given to the test.
fn handed_over() -> (Backend, mpsc::Receiver<Peer<TcpStream>>) {
    let (hand, taken) = mpsc::channel();
    let backend = Backend::script(move |mut peer| {
        if peer.is_health_check() {
            return;
        }
        // The test may have gone with all that it wanted to know.
        let _ = hand.send(peer);
    });
    (backend, taken)
}

/// A client in TLS and its backend, with nothing between them but the front's relay.
struct Pair {
    client: Peer<StreamOwned<ClientConnection, TcpStream>>,
    backend: Peer<TcpStream>,
    front: Front,
    _host: Backend,
}

impl Pair {
    fn new(more: &str) -> Self {
        let (stage, (host, taken)) = (Stage::set(), handed_over());
        let front = stage.front(&[("raw", "implicit", host.address)], more);
        let client = stage.client().enter(front.address(0));
        let backend = taken.recv_timeout(crate::common::front::PATIENCE).expect("it is dialled");
        Self { client, backend, front, _host: host }
    }

    fn end(&self) -> String {
        self.front.summary(0)["end"].as_str().unwrap().to_owned()
    }
}

/// The end of the stream, announced as such: one that merely breaks off is an error here.
fn ends_well(peer: &mut Peer<StreamOwned<ClientConnection, TcpStream>>) {
    let mut rest = Vec::new();
    let end = peer.0.read_to_end(&mut rest);
    assert!(end.is_ok() && rest.is_empty(), "{end:?} after {rest:?}");
}

fn reset(peer: &TcpStream) {
    SockRef::from(peer).set_linger(Some(Duration::ZERO)).unwrap();
}

/// T18; RFC 8446 §6.1: close_notify comes before the FIN, also after a good-bye.
#[test]
fn the_client_is_told_by_close_notify() {
    let mut pair = Pair::new(ENDLESS);
    pair.backend.send("last words");
    pair.backend.0.shutdown(Shutdown::Both).unwrap();
    pair.client.expect("last words");
    ends_well(&mut pair.client);
    pair.client.close_notify();
    drop(pair.client.0.sock.shutdown(Shutdown::Both));
    assert_eq!(pair.front.summary(0)["end"], "closed by the backend");
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["implicit", "starttls"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, ENDLESS);
        let mut implicit = stage.client().enter(front.address(0));
        implicit.until(talk.greeted());
        for mut peer in [implicit, stage.upgrade(talk, front.address(1))] {
            talk.log_out(&mut peer);
            ends_well(&mut peer);
        }
    }
}

/// T19: after the client's close_notify the backend may go on for as long as it likes.
#[test]
fn the_backend_may_go_on_after_the_client_has_finished() {
    let mut pair = Pair::new(ENDLESS);
    pair.client.send("question");
    pair.client.close_notify();
    assert_eq!(pair.backend.rest(), "question", "and the end, as a FIN");
    let long = "answer ".repeat(100_000);
    pair.backend.send(&long);
    pair.client.expect(&long);
    pair.backend.0.shutdown(Shutdown::Both).unwrap();
    ends_well(&mut pair.client);
    assert_eq!(pair.end(), "closed by the client");
}

/// T19: what comes behind a close_notify is nothing, and disturbs nothing.
#[test]
fn what_follows_a_close_notify_is_ignored() {
    let mut pair = Pair::new(ENDLESS);
    pair.client.close_notify();
    pair.client.0.sock.write_all(b"\x17\x03\x03\x00\x05abcde and more").unwrap();
    assert_eq!(pair.backend.rest(), "");
    pair.backend.send("still heard");
    pair.backend.0.shutdown(Shutdown::Both).unwrap();
    pair.client.expect("still heard");
    ends_well(&mut pair.client);
}

/// F5, F28: the backend has finished, and the client goes on.
#[test]
fn the_client_may_go_on_after_the_backend_has_finished() {
    let mut pair = Pair::new(ENDLESS);
    pair.backend.send("banner");
    pair.backend.half_close();
    pair.client.expect("banner");
    ends_well(&mut pair.client);
    pair.client.send("and yet");
    pair.backend.expect("and yet");
    pair.client.close_notify();
    assert_eq!(pair.backend.rest(), "");
    assert_eq!(pair.end(), "closed by the backend");
}

/// F5: but not for ever: the closing timer begins at the backend's end, and is no idle timer.
#[test]
fn but_not_for_ever() {
    let mut pair = Pair::new("timeouts: { idle: 1h, closing: 100ms }");
    pair.backend.half_close();
    ends_well(&mut pair.client);
    assert_eq!(pair.backend.rest(), "", "the front gives up");
    assert_eq!(pair.end(), "closed by the backend");
}

/// T20: a FIN without close_notify is what an attacker would make of it: the log says so.
#[test]
fn a_stream_that_breaks_off_is_logged_as_such() {
    let mut pair = Pair::new(ENDLESS);
    pair.client.send("half a sen");
    pair.client.0.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(pair.backend.rest(), "half a sen");
    pair.backend.0.shutdown(Shutdown::Both).unwrap();
    ends_well(&mut pair.client);
    assert_eq!(pair.end(), "cut off by the client");
}

/// F8: a client that is gone takes its backend session with it, at once.
#[test]
fn a_client_that_vanishes_frees_the_backend() {
    for resets in [true, false] {
        let mut pair = Pair::new(ENDLESS);
        let stream = pair.client.0.sock.try_clone().unwrap();
        if resets {
            reset(&stream);
        }
        drop(stream);
        // Without a close_notify.
        let Pair { client, backend, front, .. } = &mut pair;
        client.0.sock.shutdown(if resets { Shutdown::Read } else { Shutdown::Both }).unwrap();
        if resets {
            let gone = std::mem::replace(&mut client.0.sock, connect(front.address(0)).0);
            drop(gone);
        }
        assert_eq!(backend.rest(), "", "resets: {resets}");
    }
}

/// F6: a backend that is cut down in the middle: what it said arrives, nothing is added to it.
#[test]
fn a_backend_that_vanishes_leaves_no_forged_word() {
    let stage = Stage::set();
    let host = Host::scripted(Talk::Imap, |mut peer| {
        peer.send("* OK [CAPABILITY IMAP4rev1] hi\r\n");
        peer.until("l LOGIN");
        peer.send("l OK in\r\n");
        peer.until("f FETCH");
        peer.send("* 1 FETCH (BODY[] {100}\r\nhalf of it");
        // The client has what was sent before the reset.
        peer.until("f2");
        reset(&peer.0);
    });
    let front = stage.front(&[("imap", "implicit", host.backend.address)], ENDLESS);
    let mut peer = stage.client().enter(front.address(0));
    peer.until("* OK");
    Talk::Imap.log_in(&mut peer);
    peer.send("f FETCH 1 BODY[]\r\n");
    peer.expect("* 1 FETCH (BODY[] {100}\r\nhalf of it");
    peer.send("f2 NOOP\r\n");
    assert_eq!(peer.rest(), "");
}

/// F28: every way to end on one side with every way on the other: the session ends, and as long as both
/// sides listen, each has all that was said.
#[test]
fn in_every_order() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Way {
        /// Says it and closes.
        Close,
        /// Says it, waits for the other's end, closes.
        Wait,
        /// Breaks off: the client without a close_notify.
        Cut,
        Reset,
    }
    const WAYS: [Way; 4] = [Way::Close, Way::Wait, Way::Cut, Way::Reset];
    let stage = Stage::set();
    let (host, taken) = handed_over();
    let door = ("raw", "implicit", host.address);
    let front = stage.front(&[door], "timeouts: { idle: 1h, closing: 200ms }");
    for client_way in WAYS {
        for backend_way in WAYS {
            // Waiting for each other is no end.
            if (client_way, backend_way) == (Way::Wait, Way::Wait) {
                continue;
            }
            let mark = front.mark();
            let mut client = stage.client().enter(front.address(0));
            let mut backend = taken.recv_timeout(crate::common::front::PATIENCE).unwrap();
            let serve = std::thread::spawn(move || {
                // What a reset has overtaken can be neither written nor shut down.
                let _ = backend.0.write_all(b"from the backend");
                match backend_way {
                    Way::Close => {
                        let _ = backend.0.shutdown(Shutdown::Write);
                        backend.rest()
                    }
                    Way::Wait => backend.rest(),
                    Way::Cut => String::new(),
                    Way::Reset => {
                        reset(&backend.0);
                        String::new()
                    }
                }
            });
            let _ = client.0.write_all(b"from the client");
            let mut heard = String::new();
            match client_way {
                Way::Close => {
                    client.0.conn.send_close_notify();
                    let _ = client.0.flush();
                    heard = client.rest();
                }
                Way::Wait => heard = client.rest(),
                Way::Cut => {
                    let _ = client.0.sock.shutdown(Shutdown::Write);
                    heard = client.rest();
                }
                Way::Reset => reset(&client.0.sock),
            }
            drop(client);
            let at_backend = serve.join().unwrap();
            let end = front.summary(mark)["end"].as_str().unwrap().to_owned();
            let case = format!("client: {client_way:?}, backend: {backend_way:?}: {end}");
            if client_way != Way::Reset && backend_way != Way::Reset && backend_way != Way::Cut {
                assert_eq!(heard, "from the backend", "{case}");
                assert_eq!(at_backend, "from the client", "{case}");
            }
            assert!("from the backend".starts_with(&heard), "{case}: {heard:?}");
        }
    }
}
