//! With TLS on both sides of the front, each side's octets and its end still reach the other, and nothing of a
//! backend's clear phase gets into it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::{
    common::{
        front::{Front, PATIENCE},
        mailhost::{TALKS, Talk},
        peer::{Backend, Peer, connect},
        proxy::Header,
        tls::{NAME, VERSIONS, server},
    },
    stage::{Door, Stage},
};

type Inside = Peer<StreamOwned<ServerConnection, TcpStream>>;

/// The front before this backend, with these lines of TLS for it.
fn front(stage: &Stage, door: Door<'_>, tls: &str, more: &str) -> Front {
    let root = stage.ca.write_root(stage.folder.path());
    let lines =
        format!("identity: proxy-v2, tls: {tls}, tls_name: {NAME}, tls_ca: {}", root.display());
    Front::start(&stage.config(&[door], more).replace("identity: proxy-v2", &lines))
}

/// Shakes hands as the backend.
fn shake(config: &Arc<ServerConfig>, peer: Peer<TcpStream>) -> Option<Inside> {
    let mut stream = peer.0;
    let mut tls = ServerConnection::new(config.clone()).expect("a server");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).ok()?;
    }
    Some(Peer(StreamOwned::new(tls, stream)))
}

fn close_notify(peer: &mut Inside) {
    peer.0.conn.send_close_notify();
    while peer.0.conn.wants_write() {
        peer.0.conn.write_tls(&mut peer.0.sock).expect("the front reads");
    }
}

/// A client and a backend, both in TLS, with nothing between them but the front's relay.
struct Pair {
    client: Peer<StreamOwned<ClientConnection, TcpStream>>,
    backend: Inside,
    _front: Front,
    _host: Backend,
}

impl Pair {
    fn new(version: usize) -> Self {
        let stage = Stage::set();
        let config = server(&stage.leaf, &stage.leaf.key, &VERSIONS[version..=version], &[]);
        let (hand, taken) = mpsc::channel();
        let host = Backend::script(move |mut peer| {
            let is_probe = peer.is_health_check();
            let inside = shake(&config, peer).expect("the front trusts us");
            if !is_probe {
                let _ = hand.send(inside);
            }
        });
        let endless = "timeouts: { pre_login: 1h, idle: 1h, closing: 1h }";
        let front = front(&stage, ("raw", "implicit", host.address), "implicit", endless);
        let client = stage.client().enter(front.address(0));
        let backend = taken.recv_timeout(PATIENCE).expect("it is dialled");
        Self { client, backend, _front: front, _host: host }
    }
}

/// Reads to an end that is announced as such: a stream that merely breaks off is an error.
fn all<S: Read>(stream: &mut S) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("a close_notify");
    all
}

/// T18; RFC 8446 §6.1: one side's close_notify is the other's, and the other may go on.
#[test]
fn each_end_is_announced_to_the_other_side() {
    // RFC 5246 §7.2.1: in TLS 1.2, who hears it must close, too; so only the last of these is said there.
    for version in [0, 1] {
        let mut pair = Pair::new(version);
        pair.client.send("what the client says");
        pair.client.close_notify();
        assert_eq!(all(&mut pair.backend.0), b"what the client says");
        pair.backend.send("and what the backend says to that");
        close_notify(&mut pair.backend);
        assert_eq!(all(&mut pair.client.0), b"and what the backend says to that");

        let mut pair = Pair::new(version);
        pair.backend.send("what the backend says");
        close_notify(&mut pair.backend);
        assert_eq!(all(&mut pair.client.0), b"what the backend says");
        pair.client.send("and what the client says to that");
        pair.client.close_notify();
        assert_eq!(all(&mut pair.backend.0), b"and what the client says to that");
    }
}

/// Megabytes both ways at once, while nobody waits for the other.
#[test]
fn every_octet_arrives() {
    const MUCH: usize = 8 << 20;
    let octets = |seed: u8| -> Vec<u8> {
        (0..MUCH).map(|n| u8::try_from(n % 251).unwrap() ^ seed).collect()
    };
    for version in [0, 1] {
        let Pair { client, backend, _front, _host } = Pair::new(version);
        let talk = |mut stream: Box<dyn ReadWrite>, says: u8, hears: u8| {
            let expected = octets(hears);
            let what = octets(says);
            thread::spawn(move || {
                // Never more on the way than both kernels and the front hold: nobody reads while it writes.
                for (out, heard) in what.chunks(16 << 10).zip(expected.chunks(16 << 10)) {
                    stream.write_all(out).unwrap();
                    stream.flush().unwrap();
                    let mut have = vec![0; heard.len()];
                    stream.read_exact(&mut have).unwrap();
                    assert!(have == heard);
                }
            })
        };
        let up = talk(Box::new(client.0), 7, 99);
        let down = talk(Box::new(backend.0), 99, 7);
        up.join().unwrap();
        down.join().unwrap();
    }
}

trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// What a scripted backend says in clear: its greeting, what it lists, its consent.
fn in_clear(talk: Talk) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match talk {
        Talk::Imap => (
            "* OK [CAPABILITY IMAP4rev1 STARTTLS X-CLEAR LOGINDISABLED] Host ready.\r\n",
            &[
                ("c CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 STARTTLS X-CLEAR\r\nc OK done\r\n"),
                ("s STARTTLS\r\n", "s OK go\r\n"),
            ],
        ),
        Talk::Pop3 => (
            "+OK Host ready.\r\n",
            &[("CAPA\r\n", "+OK\r\nX-CLEAR\r\nSTLS\r\n.\r\n"), ("STLS\r\n", "+OK go\r\n")],
        ),
        Talk::Sieve => (
            "\"IMPLEMENTATION\" \"X-CLEAR\"\r\n\"SASL\" \"\"\r\n\"STARTTLS\"\r\nOK \"Host ready.\"\r\n",
            &[("STARTTLS\r\n", "OK \"go\"\r\n")],
        ),
    }
}

/// What is said inside, in place of a greeting where there is none.
fn greets_again(talk: Talk) -> &'static str {
    if talk == Talk::Sieve { talk.greeting() } else { "" }
}

/// What a backend with a STARTTLS saw, of each connection: the peer that it was told of, what came in clear.
type Book = Arc<Mutex<Vec<(bool, String)>>>;

/// A backend that upgrades as it should, with this behind its consent, in the same segment or in the next.
fn upgrading(
    stage: &Stage,
    talk: Talk,
    injected: &'static str,
    at_once: bool,
    book: Book,
) -> Backend {
    let config = server(&stage.leaf, &stage.leaf.key, &VERSIONS, &[]);
    Backend::script(move |mut peer| {
        let header = Header::first_segment(&mut peer.0);
        let (greeting, dialogue) = in_clear(talk);
        peer.send(greeting);
        for (n, (command, answer)) in dialogue.iter().enumerate() {
            peer.expect(command);
            let is_last = n + 1 == dialogue.len();
            if is_last {
                // Nothing of ours may be glued to the command, either.
                peer.0.set_nonblocking(true).unwrap();
                let glued = peer.0.peek(&mut [0]);
                peer.0.set_nonblocking(false).unwrap();
                assert!(glued.is_err(), "nothing comes before consent");
            }
            if is_last && at_once {
                peer.send(format!("{answer}{injected}"));
            } else {
                peer.send(answer);
            }
        }
        if !injected.is_empty() && !at_once {
            peer.send(injected);
        }
        if injected.is_empty() {
            let mut inside = shake(&config, peer).expect("the front trusts us");
            inside.send(greets_again(talk));
            while let Some(line) = inside.try_line() {
                inside.send(talk.answer(&line));
            }
            return;
        }
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = peer.0.read_to_end(&mut rest);
        let text = String::from_utf8_lossy(&rest).into_owned();
        book.lock().unwrap().push((header.is_probe(), text));
    })
}

fn doors(talk: Talk, backend: SocketAddr) -> Door<'static> {
    (talk.name(), "implicit", backend)
}

/// The control: without anything between, it works, and what was listed in clear is forgotten.
#[test]
fn what_was_said_in_clear_is_forgotten() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = upgrading(&stage, talk, "", true, Book::default());
        let front = front(&stage, doors(talk, host.address), "starttls", "");
        let mut client = stage.client().enter(front.address(0));
        let greeting = client.until(talk.greeted());
        assert!(greeting.contains("Host ready."), "{greeting:?}");
        assert!(
            !greeting.contains("X-CLEAR") && !greeting.contains("LOGINDISABLED"),
            "{greeting:?}"
        );
        talk.log_in(&mut client);
        talk.log_out(&mut client);
        assert_eq!(host.failures(), [""; 0], "{talk:?}");
        let learned = front.wait("it is learned", 0, |line| line["message"] == "learned");
        assert!(!learned.to_string().contains("X-CLEAR"), "{learned}");
        assert_eq!(learned["banner"].as_str().unwrap().replace(" <17.4@host>", ""), "Host ready.");
    }
}

/// RFC 3207 §6, CVE-2011-0411: whoever is on the line can put octets behind a backend's consent. The front gives the
/// connection up, says so, and its client hears nothing of it.
#[test]
fn what_comes_behind_consent_ends_the_dial() {
    let stage = Stage::set();
    for talk in TALKS {
        for at_once in [true, false] {
            let injected = match talk {
                Talk::Imap => "* CAPABILITY IMAP4rev1 X-EVIL\r\n",
                Talk::Pop3 => "+OK evil\r\n",
                Talk::Sieve => "\"SASL\" \"EVIL\"\r\nOK \"evil\"\r\n",
            };
            let book = Book::default();
            let host = upgrading(&stage, talk, injected, at_once, book.clone());
            let front =
                front(&stage, doors(talk, host.address), "starttls", "timeouts: { probe: 1h }");
            let is_it = |line: &Value| {
                let said = line["message"].to_string();
                // In a segment of its own it may as well come to TLS, which it is not.
                said.contains("more in clear than its consent")
                    || (!at_once && said.contains("no TLS"))
            };
            front.wait("it is said", 0, |line| line["level"] == "WARN" && is_it(line));
            let mark = front.mark();
            let said = stage.client().enter(front.address(0)).rest();
            assert!(said.starts_with(talk.come_back_later()), "{talk:?}: {said:?}");
            assert!(!said.to_lowercase().contains("evil"), "{said:?}");
            let end = front.summary(mark)["end"].to_string();
            assert!(end.contains("in clear"), "{end}");
            drop(front);
            assert_eq!(host.failures(), [""; 0], "{talk:?}");
            let deadline = std::time::Instant::now() + PATIENCE;
            while book.lock().unwrap().iter().filter(|(is_probe, _)| !is_probe).count() == 0 {
                assert!(std::time::Instant::now() < deadline, "the session's connection is closed");
                thread::yield_now();
            }
            if at_once {
                for (_, text) in book.lock().unwrap().iter() {
                    assert_eq!(text, "", "{talk:?}: not a word more, not even of TLS");
                }
            }
        }
    }
}

/// A handshake that does not come about in time is told as such, and ends in the greeting's time.
#[test]
fn a_backend_that_never_shakes_hands_is_given_up() {
    let stage = Stage::set();
    let host = Backend::script(|mut peer| {
        peer.is_health_check();
        drop(peer.rest());
    });
    let front = front(
        &stage,
        ("imap", "implicit", host.address),
        "implicit",
        "timeouts: { greeting: 300ms, probe: 1h }",
    );
    let mark = front.mark();
    let client = connect(front.address(0));
    client.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let said = stage.client().shake(client).unwrap().rest();
    assert!(said.starts_with("* BYE [UNAVAILABLE] "), "{said:?}");
    assert!(front.summary(mark)["end"].to_string().contains("TLS in time"));
}
