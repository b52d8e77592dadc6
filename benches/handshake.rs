//! What it costs a server to begin a session: the handshake, the dialogue before STARTTLS, and the
//! choice of a certificate. All in memory; of a handshake the server's share alone is counted.
//!
//! `cargo bench --bench handshake`
#![expect(clippy::expect_used, reason = "without its surroundings there is nothing to measure")]

mod common;

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ServerConnection, SupportedProtocolVersion,
    client::Resumption,
    server::Acceptor,
    version::{TLS12, TLS13},
};
use vestibule::{
    certs::{self, CertificateSet, Sources, Wishes},
    protocol::{Dialogue, Greeted, Greeter, Learned, Next, Offer, Protocol},
    tls::{Clients, Server, Tickets},
};

use common::{
    NAME,
    ca::{Ca, Kind, Leaf},
    client,
    folder::Folder,
};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const VERSIONS: [(&str, &SupportedProtocolVersion); 2] = [("TLS 1.2", &TLS12), ("TLS 1.3", &TLS13)];

criterion_group!(benches, handshakes, dialogues, choices);
criterion_main!(benches);

fn handshakes(criterion: &mut Criterion) {
    let ca = Ca::new("Bench");
    for (key, kind) in [("ECDSA P-256", Kind::Ecdsa), ("RSA-2048", Kind::Rsa)] {
        let folder = Folder::new();
        folder.write("fullchain.pem", combined(&ca.leaf(&[NAME], kind)));
        let tickets = Tickets::new().expect("randomness");
        let server =
            Server::new(set(folder.path()), &tickets, Clients::default()).expect("a server");
        for (version, wanted) in VERSIONS {
            let mut config = client::config(&ca, wanted);
            let full = Arc::new(config.clone());
            criterion.bench_function(&format!("full, {key}, {version}"), |b| {
                b.iter_custom(|times| repeat(times, &server, &full, HandshakeKind::Full));
            });
            config.resumption = Resumption::in_memory_sessions(1);
            let resuming = Arc::new(config);
            shake(&server, &resuming, HandshakeKind::Full);
            criterion.bench_function(&format!("resumed, {key}, {version}"), |b| {
                b.iter_custom(|times| repeat(times, &server, &resuming, HandshakeKind::Resumed));
            });
        }
    }
}

fn repeat(
    times: u64,
    server: &Server,
    client: &Arc<ClientConfig>,
    kind: HandshakeKind,
) -> Duration {
    (0..times).map(|_| shake(server, client, kind)).sum()
}

/// One handshake, as `session/handshake.rs` goes about it. Returns what the server's share took.
fn shake(server: &Server, client: &Arc<ClientConfig>, kind: HandshakeKind) -> Duration {
    let mut client = ClientConnection::new(client.clone(), client::name()).expect("a client");
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    client.write_tls(&mut to_server).expect("memory");

    let begin = Instant::now();
    let mut shaken = accept(server, &to_server);
    shaken.write_tls(&mut to_client).expect("memory");
    let mut spent = begin.elapsed();
    to_server.clear();

    while client.is_handshaking() || shaken.is_handshaking() || !to_client.is_empty() {
        feed(&mut to_client, |bytes| {
            client.read_tls(bytes).expect("memory");
            client.process_new_packets().expect("what the server says makes sense");
        });
        while client.wants_write() {
            client.write_tls(&mut to_server).expect("memory");
        }
        let begin = Instant::now();
        feed(&mut to_server, |bytes| {
            shaken.read_tls(bytes).expect("memory");
            shaken.process_new_packets().expect("what the client says makes sense");
        });
        while shaken.wants_write() {
            shaken.write_tls(&mut to_client).expect("memory");
        }
        spent += begin.elapsed();
    }
    // A resumption that is none would make all of this a lie.
    assert_eq!(shaken.handshake_kind(), Some(kind));
    spent
}

fn accept(server: &Server, mut hello: &[u8]) -> ServerConnection {
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut hello).expect("memory");
    let accepted = acceptor.accept().ok().flatten().expect("a ClientHello");
    let terms = server.terms(Protocol::Imap, LOCAL, None, None).expect("a configuration");
    let config = terms.config;
    accepted.into_connection(config).expect("a client that we have something in common with")
}

/// Hands over what there is, all of it.
fn feed(bytes: &mut Vec<u8>, mut take: impl FnMut(&mut &[u8])) {
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        take(&mut rest);
    }
    bytes.clear();
}

fn dialogues(criterion: &mut Criterion) {
    let capabilities = |list: &[&str]| list.iter().map(|&c| c.to_owned()).collect();
    let imap = capabilities(&["IMAP4rev1", "LITERAL+", "IDLE", "AUTH=PLAIN", "AUTH=LOGIN"]);
    let pop3 =
        capabilities(&["TOP", "UIDL", "RESP-CODES", "PIPELINING", "USER", "SASL PLAIN LOGIN"]);
    let sieve = capabilities(&["SIEVE fileinto reject", "SASL PLAIN LOGIN"]);
    let smtp = capabilities(&["PIPELINING", "SIZE 10240000", "8BITMIME", "AUTH PLAIN LOGIN"]);
    for (protocol, capabilities, said) in [
        (Protocol::Imap, imap, "1 CAPABILITY\r\n2 STARTTLS\r\n"),
        (Protocol::Pop3, pop3, "CAPA\r\nSTLS\r\n"),
        (Protocol::Sieve, sieve, "CAPABILITY\r\nSTARTTLS\r\n"),
        (Protocol::Smtp, smtp, "EHLO client.example.org\r\nSTARTTLS\r\n"),
    ] {
        let learned = Learned { banner: "ready".to_owned(), capabilities };
        criterion.bench_function(&format!("dialogue, {}", protocol.name()), |b| {
            b.iter(|| greet(protocol, &learned, said.as_bytes()));
        });
    }
}

/// From the greeting to the beginning of TLS.
fn greet(protocol: Protocol, learned: &Learned, mut said: &[u8]) -> Vec<u8> {
    let offer = Offer { starttls: true, proceed: false, login: false };
    let mut greeter = Greeter::new(protocol, learned, offer).expect("it speaks before TLS");
    let mut out = Vec::new();
    greeter.start(&mut out);
    loop {
        let (taken, next) = greeter.step(said, &mut out);
        said = &said[taken..];
        match next {
            Next::End(end) => {
                assert_eq!(end, Greeted::StartTls);
                return out;
            }
            Next::Read => assert_ne!(taken, 0, "each command is whole"),
        }
    }
}

fn choices(criterion: &mut Criterion) {
    let ca = Ca::new("Bench");
    for names in [1, 1_000, 10_000] {
        let folder = Folder::new();
        for n in 0..names {
            // A folder each, as certbot has it.
            let (exact, wildcard) = (format!("host-{n}.example"), format!("*.host-{n}.example"));
            let leaf = ca.leaf(&[&exact, &wildcard], Kind::Ecdsa);
            folder.write(&format!("{n}/fullchain.pem"), combined(&leaf));
        }
        let set = set(folder.path());
        let last = names - 1;
        for (what, name) in [
            ("exact", format!("host-{last}.example")),
            ("wildcard", format!("mail.host-{last}.example")),
            ("unknown", "mail.example.org".to_owned()),
        ] {
            criterion.bench_function(&format!("choice of {names}, {what}"), |b| {
                b.iter(|| set.choose(black_box(Some(name.as_str())), LOCAL).reason);
            });
        }
    }
}

/// Leaf, chain and key in one file.
fn combined(leaf: &Leaf) -> String {
    leaf.fullchain() + &leaf.key
}

/// Everything in a folder.
fn set(folder: &Path) -> Arc<CertificateSet> {
    let store =
        certs::load(&Sources { certificates: vec![folder.to_owned()], ..Sources::default() }, None);
    let wishes = Wishes { hostname: NAME.to_owned(), ..Wishes::default() };
    Arc::new(CertificateSet::new(&store, &wishes).0)
}
