//! Side by side with HAProxy: a whole IMAPS session from connect to close, with a full TLS 1.3
//! handshake (ECDSA P-256, X25519), greeting, LOGIN and LOGOUT.
//!
//! Each front has a core to itself; clients and backend share another. The two take turns in one
//! run, so that what else the machine does hits both alike, and what counts is the processor time
//! that the kernel charges to the process, not the clock on the wall.
//!
//! `cargo bench --bench peers`
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the figures are what this is for, and without its surroundings there are none"
)]

#[path = "../common/mod.rs"]
mod common;
mod haproxy;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

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
const WANTED: f64 = 0.65;

fn main() -> ExitCode {
    if !haproxy::is_installed() {
        eprintln!("haproxy is not installed: apt-get install haproxy");
        return ExitCode::FAILURE;
    }
    let Some((fronts, rest)) = cores::two() else {
        eprintln!("two cores are wanted: one for the front, one for what keeps it busy");
        return ExitCode::FAILURE;
    };
    cores::stay_on(rest);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(compare(fronts));
    ExitCode::SUCCESS
}

async fn compare(core: usize) {
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
    let fronts = [&ours, &theirs];
    // The first sessions fill caches, and are not counted.
    for front in fronts {
        turn(front.address, &tls).await;
    }
    let mut spent = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        for (front, spent) in fronts.iter().zip(&mut spent) {
            let before = front.cpu();
            turn(front.address, &tls).await;
            *spent += front.cpu() - before;
        }
    }

    let [ours, theirs] =
        spent.map(|spent| spent.as_secs_f64() * 1e6 / f64::from(ROUNDS * SESSIONS));
    let ratio = ours / theirs;
    println!("vestibule {ours:6.0} µs of processor time a session");
    println!("haproxy   {theirs:6.0} µs");
    println!("ratio     {ratio:6.2} (wanted: {WANTED})");
    println!("{}", if ratio <= WANTED { "reached" } else { "missed" });
}

/// A turn's sessions, a few at a time.
async fn turn(to: SocketAddr, tls: &TlsConnector) {
    let mut clients = JoinSet::new();
    for _ in 0..SESSIONS {
        if clients.len() == AT_A_TIME {
            succeeded(&mut clients).await;
        }
        let tls = tls.clone();
        clients.spawn(async move { client::log_in(to, &tls).await?.log_out().await });
    }
    while succeeded(&mut clients).await {}
}

/// Waits for a session to end, as sessions should. `false`: there are none left.
async fn succeeded(clients: &mut JoinSet<std::io::Result<()>>) -> bool {
    let ended = clients.join_next().await;
    ended.map(|session| session.expect("no panic").expect("a session")).is_some()
}
