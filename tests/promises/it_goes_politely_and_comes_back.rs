//! The end of the process: sessions get their time, then a good-bye; a second signal hurries; and after
//! any death the next life begins at once.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::{
    common::{
        front::Front,
        mailhost::{Host, TALKS, Talk},
        peer::{Bytes, Peer, connect},
    },
    stage::Stage,
};

/// A test that waits for the drain to be over by time fails.
const ENDLESS: &str = "timeouts: { drain: 1h, pre_login: 1h, idle: 1h }";

fn doors(talk: Talk, host: &Host) -> [(&'static str, &'static str, std::net::SocketAddr); 2] {
    ["starttls", "implicit"].map(|tls| (talk.name(), tls, host.backend.address))
}

fn stop(front: &Front) {
    let mark = front.mark();
    front.signal(Signal::TERM);
    front.wait("it stops", mark, |line| line["message"] == "stopping");
}

fn still_works<S: Bytes>(talk: Talk, peer: &mut Peer<S>) {
    let (noop, ok) = talk.noop();
    peer.send(noop);
    peer.until(ok);
}

/// O6, F21: SIGTERM: no new clients, those that are there go on, and with the last of them it ends: 0.
#[test]
fn with_the_last_session() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let mut front = stage.front(&doors(talk, &host), ENDLESS);
        let mut logged_in = stage.client().enter(front.address(1));
        logged_in.until(talk.greeted());
        talk.log_in(&mut logged_in);
        let mut in_clear = connect(front.address(0));
        in_clear.until(talk.greeted());
        stop(&front);
        for n in 0..2 {
            assert!(TcpStream::connect(front.address(n)).is_err(), "nobody listens any more");
        }
        still_works(talk, &mut logged_in);
        // Whoever is in the middle of STARTTLS may finish.
        in_clear.send(talk.upgrade().0);
        in_clear.line();
        let mut inside = stage.client().shake(in_clear).expect("shaken");
        if talk == Talk::Sieve {
            inside.until("OK");
        }
        talk.log_in(&mut inside);
        for mut peer in [logged_in, inside] {
            talk.log_out(&mut peer);
            assert_eq!(peer.rest(), "");
        }
        assert_eq!(front.exit().code(), Some(0), "{talk:?}");
    }
}

/// O6, F21, I16: a second SIGTERM: everybody who can be told is told, and everybody is gone; 0.
#[test]
fn at_once_if_told_twice() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let mut front = stage.front(&doors(talk, &host), ENDLESS);
        let mut before_tls = connect(front.address(0));
        before_tls.until(talk.greeted());
        let mut before_login = stage.client().enter(front.address(1));
        before_login.until(talk.greeted());
        let mut logged_in = stage.client().enter(front.address(1));
        logged_in.until(talk.greeted());
        talk.log_in(&mut logged_in);
        stop(&front);
        front.signal(Signal::TERM);
        let goodbye = talk.come_back_later();
        assert!(before_tls.rest().starts_with(goodbye), "{talk:?}");
        assert!(before_login.rest().starts_with(goodbye), "{talk:?}");
        // Where it is in the middle of what, only the backend knows. The end is announced, though.
        assert_eq!(logged_in.rest(), "");
        drop((before_tls, before_login, logged_in));
        assert_eq!(front.exit().code(), Some(0), "{talk:?}");
    }
}

/// O6: T18 holds for the end of the process, too: close_notify, and the backend's FIN.
#[test]
fn and_even_then_with_close_notify() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let mut front = stage.front(&doors(Talk::Imap, &host), ENDLESS);
    let mut peer = stage.client().enter(front.address(1));
    peer.until("* OK");
    Talk::Imap.log_in(&mut peer);
    stop(&front);
    front.signal(Signal::TERM);
    let mut rest = Vec::new();
    let end = std::io::Read::read_to_end(&mut peer.0, &mut rest);
    assert!(end.is_ok(), "{end:?}: it breaks off");
    drop(peer);
    assert_eq!(front.exit().code(), Some(0));
}

/// O6: the time that they have is over by itself, too.
#[test]
fn or_when_the_time_is_up() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let mut front = stage.front(&doors(Talk::Imap, &host), "timeouts: { drain: 200ms }");
    let mut peer = stage.client().enter(front.address(1));
    peer.until("* OK");
    stop(&front);
    assert!(peer.rest().starts_with("* BYE "));
    drop(peer);
    assert_eq!(front.exit().code(), Some(0));
}

/// SIGINT is what a terminal sends, and means the same.
#[test]
fn or_by_control_c() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let mut front = stage.front(&doors(Talk::Imap, &host), ENDLESS);
    front.signal(Signal::INT);
    assert_eq!(front.exit().code(), Some(0));
}

/// O7, F20: killed in the middle of sessions, it binds the same ports again at once.
#[test]
fn and_after_a_kill_it_is_back_at_once() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let config = stage.config(&doors(talk, &host), "");
        let mut front = Front::start(&config);
        let (first, second) = (front.address(0), front.address(1));
        let mut peer = stage.client().enter(second);
        peer.until(talk.greeted());
        talk.log_in(&mut peer);
        let mut clear = connect(first);
        clear.until(talk.greeted());
        front.signal(Signal::KILL);
        assert_eq!(front.exit().code(), None, "killed");
        peer.rest();
        clear.rest();
        // With the files of the last life, and on its ports.
        let state = front.folder.path().join("state");
        let again = config.replacen("127.0.0.1:0", &first.to_string(), 1).replacen(
            "127.0.0.1:0",
            &second.to_string(),
            1,
        );
        let next = Front::start(&format!("{again}\nstate_dir: {}\n", state.display()));
        assert_eq!([next.address(0), next.address(1)], [first, second]);
        talk.log_in(&mut stage.upgrade(talk, first));
    }
}
