//! Side by side with others, each time with a full TLS 1.3 handshake (ECDSA P-256, X25519):
//!
//! - HAProxy: a whole IMAPS session from connect to close, with greeting, LOGIN and LOGOUT;
//! - nginx's mail proxy: a message of 10 kB on port 25, with STARTTLS.
//!
//! Each front has a core to itself; clients and backends share another. The two take turns in one
//! run, so that what else the machine does hits both alike, and what counts is the processor time
//! that the kernel charges to the process, not the clock on the wall.
//!
//! `cargo bench --bench peers`, or `cargo bench --bench peers -- nginx` for one of them.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the figures are what this is for, and without its surroundings there are none"
)]

#[path = "../common/mod.rs"]
mod common;
mod haproxy;
mod nginx;

use std::{env, io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use rustls::version::TLS13;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use common::{
    NAME, backend,
    ca::{Ca, Kind},
    client, cores,
    folder::Folder,
    front::Front,
};

/// How often the two take turns.
const ROUNDS: u32 = 12;
/// The sessions of a turn.
const SESSIONS: u32 = 1_000;
/// How many of them there are at a time.
const AT_A_TIME: usize = 8;
/// Our share of HAProxy's time that is to be reached.
const OF_HAPROXY: f64 = 0.65;
/// Our share of nginx's.
const OF_NGINX: f64 = 0.8;
/// A line of a message, and how many of them are 10 kB.
const LINE: &str =
    "TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVyIGFkaXBpc2NpbmcgZWxpdCwg\r\n";
const LINES: usize = 10_000 / LINE.len();

fn main() -> ExitCode {
    let Some((fronts, rest)) = cores::two() else {
        eprintln!("two cores are wanted: one for the front, one for what keeps it busy");
        return ExitCode::FAILURE;
    };
    cores::stay_on(rest);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let is_wanted = |peer: &str| {
        let mut peers = env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
        peers.peek().is_none() || peers.any(|arg| arg == peer)
    };
    let mut all = ExitCode::SUCCESS;
    if is_wanted("haproxy") {
        if haproxy::is_installed() {
            runtime.block_on(beside_haproxy(fronts));
        } else {
            eprintln!("left out, haproxy is not installed: apt-get install haproxy");
            all = ExitCode::FAILURE;
        }
    }
    if is_wanted("nginx") {
        if nginx::is_installed() {
            runtime.block_on(beside_nginx(fronts));
        } else {
            eprintln!(
                "left out, nginx's mail proxy is not installed: \
                 apt-get install nginx-light libnginx-mod-mail"
            );
            all = ExitCode::FAILURE;
        }
    }
    all
}

async fn beside_haproxy(core: usize) {
    let (folder, ca) = (Folder::new(), Ca::new("Bench"));
    let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
    let certificates = folder.path().join("live");
    leaf.certbot(&certificates.join(NAME));
    let backend = backend::start().await;

    let combined = folder.write("haproxy.pem", leaf.fullchain() + &leaf.key);
    let config = folder.path().join("vestibule.yaml");
    // A front greets a backend before it is ready, and the backend lives on this thread.
    let ours = tokio::task::spawn_blocking(move || {
        Front::vestibule(&certificates, backend, &config, Some(core))
    });
    let ours = ours.await.expect("the front starts");
    let theirs = haproxy::start(&combined, backend, &folder.path().join("haproxy.cfg"), core);

    let tls = TlsConnector::from(Arc::new(client::config(&ca, &TLS13)));
    let spent = compare([&ours, &theirs], |to| {
        let tls = tls.clone();
        async move { client::log_in(to, &tls).await?.log_out().await }
    });
    print("haproxy", "a session", spent.await, OF_HAPROXY);
}

async fn beside_nginx(core: usize) {
    let (folder, ca) = (Folder::new(), Ca::new("Bench"));
    let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
    let certificates = folder.path().join("live");
    leaf.certbot(&certificates.join(NAME));
    let backend = backend::start_smtp().await;
    let directory = nginx::directory(backend).await;

    let text = format!(
        "certificates: [{}]\nbackends: {{ mail: {{ address: \"{backend}\" }} }}\nlisteners:\n\
         \x20 - {{ bind: \"127.0.0.1:0\", protocol: smtp, tls: starttls-optional, backend: mail }}\n",
        certificates.display(),
    );
    let config = folder.path().join("vestibule.yaml");
    // As above.
    let ours = tokio::task::spawn_blocking(move || Front::configured(&text, &config, Some(core)));
    let ours = ours.await.expect("the front starts");
    let chain = folder.write("chain.pem", leaf.fullchain());
    let key = folder.write("key.pem", &leaf.key);
    let theirs = nginx::start(&chain, &key, directory, folder.path(), core);

    let tls = TlsConnector::from(Arc::new(client::config(&ca, &TLS13)));
    let message: Arc<str> = (LINE.repeat(LINES) + ".\r\n").into();
    let spent = compare([&ours, &theirs], |to| {
        let (tls, message) = (tls.clone(), Arc::clone(&message));
        async move { client::deliver(to, &tls, message.as_bytes()).await }
    });
    print("nginx", "a message", spent.await, OF_NGINX);
}

/// The processor time of one session: ours, and theirs.
async fn compare<F>(fronts: [&Front; 2], session: impl Fn(SocketAddr) -> F) -> [f64; 2]
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    // The first sessions fill caches, and are not counted.
    for front in fronts {
        turn(front.address, &session).await;
    }
    let mut spent = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        for (front, spent) in fronts.iter().zip(&mut spent) {
            let before = front.cpu();
            turn(front.address, &session).await;
            *spent += front.cpu() - before;
        }
    }
    spent.map(|spent| spent.as_secs_f64() * 1e6 / f64::from(ROUNDS * SESSIONS))
}

fn print(peer: &str, what: &str, [ours, theirs]: [f64; 2], wanted: f64) {
    let ratio = ours / theirs;
    println!("vestibule {ours:6.0} µs of processor time {what}");
    println!("{peer:9} {theirs:6.0} µs");
    println!("ratio     {ratio:6.2} (wanted: {wanted})");
    println!("{}", if ratio <= wanted { "reached" } else { "missed" });
}

/// A turn's sessions, a few at a time.
async fn turn<F>(to: SocketAddr, session: &impl Fn(SocketAddr) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut clients = JoinSet::new();
    for _ in 0..SESSIONS {
        if clients.len() == AT_A_TIME {
            succeeded(&mut clients).await;
        }
        clients.spawn(session(to));
    }
    while succeeded(&mut clients).await {}
}

/// Waits for a session to end, as sessions should. `false`: there are none left.
async fn succeeded(clients: &mut JoinSet<io::Result<()>>) -> bool {
    let ended = clients.join_next().await;
    ended.map(|session| session.expect("no panic").expect("a session")).is_some()
}
