//! The memory of sessions that do nothing, which is what most of them do most of the time:
//! 2,000 logged-in IMAP sessions through the release binary.
//!
//! `cargo bench --bench idle`
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "the figures are what this is for, and without its surroundings there are none"
)]

mod common;

use rustls::version::TLS13;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use common::{
    NAME, backend,
    ca::{Ca, Kind},
    client::{self, LoggedIn},
    folder::Folder,
    front::Front,
};

const SESSIONS: u64 = 2_000;
/// How many log in at a time: fewer than one address may have before login.
const AT_A_TIME: usize = 50;

/// What is to be reached, in KiB.
const WANTED: (f64, f64) = (12.0, 14.0 * 1024.0);

fn main() {
    // One thread for both ends, none of which is what is measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let (folder, ca) = (Folder::new(), Ca::new("Bench"));
    let certificates = folder.path().join("live");
    ca.leaf(&[NAME], Kind::Ecdsa).certbot(&certificates.join(NAME));
    let backend = backend::start().await;
    let config = folder.path().join("vestibule.yaml");
    let front = tokio::task::spawn_blocking(move || {
        Front::vestibule(&certificates, backend, &config, None)
    });
    let front = front.await.expect("the front starts");
    let tls = TlsConnector::from(std::sync::Arc::new(client::config(&ca, &TLS13)));

    let base = front.proportional_set();
    let mut sessions: Vec<LoggedIn> = Vec::new();
    let mut logins = JoinSet::new();
    for _ in 0..SESSIONS {
        if logins.len() == AT_A_TIME {
            sessions.extend(logged_in(&mut logins).await);
        }
        let (to, tls) = (front.address, tls.clone());
        logins.spawn(async move { client::log_in(to, &tls).await });
    }
    while let Some(session) = logged_in(&mut logins).await {
        sessions.push(session);
    }
    let full = front.proportional_set();

    let session = (full - base) as f64 / SESSIONS as f64;
    println!("base     {:8.1} MiB (wanted: {:.0})", base as f64 / 1024.0, WANTED.1 / 1024.0);
    println!("session  {session:8.1} KiB (wanted: {:.0})", WANTED.0);
    let reached = session <= WANTED.0 && base as f64 <= WANTED.1;
    println!("{}", if reached { "reached" } else { "missed" });
}

/// The next session that has logged in; `None` if there are no more to come.
async fn logged_in(logins: &mut JoinSet<std::io::Result<LoggedIn>>) -> Option<LoggedIn> {
    let login = logins.join_next().await?;
    Some(login.expect("no panic").expect("a login"))
}
