//! A hundred renewals while fifty people read their mail and new ones come in all the time.

use std::{
    net::{Ipv4Addr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, StreamOwned,
    client::Resumption,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    clients::{How, NAME, Protocol},
    common::{
        ca::{Kind, Leaf},
        front::PATIENCE,
        peer::Peer,
    },
    dialogue::{ends, log_in},
    dovecot::Ssl,
    harness::MESSAGE,
    stage::{DOORS, Stage, call, greeting, secure, trust},
};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
const RENEWALS: usize = 100;
const SESSIONS: usize = 50;

/// What an arriving session needs to know; shared by all that arrive.
struct Arrivals {
    ports: [u16; DOORS.len()],
    trust: Arc<ClientConfig>,
    /// Which certificate, by its place in the series, is in force at least.
    in_force: AtomicUsize,
    series: Vec<CertificateDer<'static>>,
    over: AtomicUsize,
}

impl Arrivals {
    /// Comes in by the n-th door, ready to log in, and says which certificate of the series it was shown.
    fn arrive(&self, n: usize) -> (Peer<StreamOwned<ClientConnection, TcpStream>>, usize) {
        let (protocol, how) = DOORS[n];
        let mut clear = call(self.ports[n], CLIENT);
        if how == How::Starttls {
            greeting(&mut clear, protocol);
            let (upgrade, ok) = match protocol {
                Protocol::Imap => ("tls STARTTLS\r\n", "tls OK"),
                Protocol::Pop3 => ("STLS\r\n", "+OK"),
                Protocol::Sieve => ("STARTTLS\r\n", "OK"),
            };
            clear.send(upgrade);
            let granted = clear.line();
            assert!(granted.starts_with(ok), "{granted}");
        }
        let at_least = self.in_force.load(Ordering::SeqCst);
        let mut inside = secure(clear, self.trust.clone());
        if how == How::Implicit || protocol == Protocol::Sieve {
            greeting(&mut inside, protocol);
        }
        let shown = &inside.0.conn.peer_certificates().expect("a full handshake")[0];
        let place = self.series.iter().position(|one| one == shown).expect("one of the series");
        assert!(place >= at_least, "certificate {place} was shown when {at_least} was in force");
        (inside, place)
    }

    /// A whole session, from the first byte to the last.
    fn visit(&self, n: usize) -> usize {
        let (mut peer, place) = self.arrive(n);
        let (protocol, _) = DOORS[n];
        log_in(&mut peer, protocol);
        match protocol {
            Protocol::Imap => {
                peer.send("bye LOGOUT\r\n");
                peer.until("bye OK");
            }
            Protocol::Pop3 => {
                peer.send("QUIT\r\n");
                peer.until("+OK");
            }
            Protocol::Sieve => {
                peer.send("LOGOUT\r\n");
                peer.until("OK");
            }
        }
        ends(&mut peer);
        place
    }
}

/// For full handshakes only: who resumes is shown no certificate.
fn without_tickets(stage: &Stage) -> Arc<ClientConfig> {
    let mut config = (*trust(&stage.backend.root)).clone();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn write(leaf: &Leaf, stage: &Stage) {
    leaf.certbot(&stage.backend.live().join(NAME));
}

/// O1, T14 and the promise itself: no session, old or new, fails, and who comes after a reload gets its certificate.
#[test]
fn in_a_hundred_of_them() {
    let stage = Stage::set(Ssl::Yes);
    stage.backend.dovecot.deliver("alice", MESSAGE.as_bytes());
    let renewals: Vec<Leaf> =
        (0..RENEWALS).map(|_| stage.backend.ca.leaf(&[NAME, "localhost"], Kind::Ecdsa)).collect();
    let series = std::iter::once(&stage.backend.leaf).chain(&renewals);
    let arrivals = Arc::new(Arrivals {
        ports: std::array::from_fn(|n| stage.front.port(n)),
        trust: without_tickets(&stage),
        in_force: AtomicUsize::new(0),
        series: series
            .map(|leaf| CertificateDer::from_pem_slice(leaf.cert.as_bytes()).unwrap())
            .collect(),
        over: AtomicUsize::new(0),
    });

    // The old ones: logged in through 143 and 993, idling.
    let mut old: Vec<_> = (0..SESSIONS)
        .map(|n| {
            let (mut peer, place) = arrivals.arrive(n % 2);
            assert_eq!(place, 0);
            log_in(&mut peer, Protocol::Imap);
            peer.send("s SELECT INBOX\r\n");
            peer.until("s OK");
            peer.send("i IDLE\r\n");
            peer.until("+ ");
            peer
        })
        .collect();

    // The new ones, all the time, by every door.
    let comers: Vec<_> = (0..2)
        .map(|first| {
            let arrivals = arrivals.clone();
            thread::spawn(move || {
                let mut visits = 0;
                while arrivals.over.load(Ordering::SeqCst) == 0 || visits < DOORS.len() {
                    arrivals.visit((first * 3 + visits) % DOORS.len());
                    visits += 1;
                }
                visits
            })
        })
        .collect();

    for (n, renewal) in renewals.iter().enumerate() {
        write(renewal, &stage);
        let outcome = stage.front.reload();
        assert!(
            outcome["message"].as_str().is_some_and(|m| m.starts_with("reloaded")),
            "{outcome}"
        );
        arrivals.in_force.store(n + 1, Ordering::SeqCst);
        assert_eq!(
            arrivals.visit(n % DOORS.len()),
            n + 1,
            "who comes after the reload gets what it brought"
        );
    }
    arrivals.over.store(1, Ordering::SeqCst);
    let visits: usize =
        comers.into_iter().map(|comer| comer.join().expect("no arriving session fails")).sum();
    assert!(visits > DOORS.len(), "{visits} visits are not all the time");

    // The old ones never noticed: they hear of a new message, and say goodbye.
    stage.backend.dovecot.deliver("alice", MESSAGE.as_bytes());
    for peer in &mut old {
        peer.until("* 2 EXISTS");
        peer.send("DONE\r\n");
        peer.until("i OK");
        peer.send("bye LOGOUT\r\n");
        peer.until("bye OK");
        ends(peer);
    }
    for line in stage.front.log() {
        assert!(line["level"] != "ERROR", "{line}");
    }
}

/// F14's small brother: signals faster than reloads coalesce, and the last certificate wins.
#[test]
fn nor_do_signals_faster_than_it_can_follow() {
    let stage = Stage::set(Ssl::No);
    let renewal = stage.backend.ca.leaf(&[NAME], Kind::Ecdsa);
    let arrivals = Arrivals {
        ports: std::array::from_fn(|n| stage.front.port(n)),
        trust: without_tickets(&stage),
        in_force: AtomicUsize::new(0),
        series: [&stage.backend.leaf, &renewal]
            .map(|l| CertificateDer::from_pem_slice(l.cert.as_bytes()).unwrap())
            .into(),
        over: AtomicUsize::new(0),
    };
    for _ in 0..RENEWALS {
        stage.front.signal(Signal::HUP);
    }
    assert_eq!(arrivals.visit(1), 0);
    write(&renewal, &stage);
    for _ in 0..RENEWALS {
        stage.front.signal(Signal::HUP);
    }
    // No log line tells which signal it answers; who comes in again and again sees the outcome.
    let deadline = Instant::now() + PATIENCE;
    while arrivals.visit(1) == 0 {
        assert!(Instant::now() < deadline, "the last signal was forgotten");
    }
    arrivals.in_force.store(1, Ordering::SeqCst);
    for n in 0..DOORS.len() {
        assert_eq!(arrivals.visit(n), 1);
    }
}

/// T14: a ticket from before the reload is good after it, or every reload would bring a storm of full handshakes.
#[test]
fn nor_make_returning_clients_start_over() {
    let stage = Stage::set(Ssl::No);
    let arrivals = Arrivals {
        ports: std::array::from_fn(|n| stage.front.port(n)),
        trust: trust(&stage.backend.root),
        in_force: AtomicUsize::new(0),
        series: vec![CertificateDer::from_pem_slice(stage.backend.leaf.cert.as_bytes()).unwrap()],
        over: AtomicUsize::new(0),
    };
    let mut kinds = Vec::new();
    for reload in [false, true] {
        if reload {
            write(&stage.backend.ca.leaf(&[NAME], Kind::Ecdsa), &stage);
            stage.front.reload();
        }
        let (mut peer, _) = arrivals.arrive(1);
        kinds.push(peer.0.conn.handshake_kind());
        log_in(&mut peer, Protocol::Imap);
        peer.send("bye LOGOUT\r\n");
        peer.until("bye OK");
        ends(&mut peer);
    }
    assert!(
        matches!(kinds[0], Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)),
        "{kinds:?}"
    );
    assert_eq!(kinds[1], Some(HandshakeKind::Resumed));
}
