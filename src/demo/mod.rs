//! The mail server behind `vestibule demo`: one user, one mailbox, plaintext, all in memory.
//!
//! It stands where a real mail server would, so that Vestibule can be tried without one. It
//! listens on loopback only, expects a PROXY v2 header before anything else (on the web it may be
//! missing), and forgets everything when it ends. User name and password are both `demo`.
//!
//! A protocol is one file (or folder) with a `session::Session` in it: frames in, bytes out, no
//! sockets. `session::drive` is the only place that reads and writes. To add one, write its
//! file, and name it in [`Service`] and in `converse`.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::debug;

mod imap;
mod lexer;
mod line;
mod message;
mod pop3;
mod proxy;
mod sasl;
mod session;
mod sieve;
mod smtp;
mod store;
mod time;
mod web;

use imap::Imap;
use pop3::Pop3;
use session::drive;
use sieve::Sieve;
use smtp::{Role, Smtp};
use web::Web;

pub use store::{Full, Store};

/// Connections that one listener serves at a time; more wait in the kernel's queue.
const SESSIONS: usize = 256;
/// How long accepting rests after an error, so that a full file table does not become a hot loop.
const REST: Duration = Duration::from_millis(100);

/// The protocols that the demo server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// IMAP4rev1 (RFC 3501).
    Imap,
    /// POP3 (RFC 1939).
    Pop3,
    /// ManageSieve (RFC 5804).
    Sieve,
    /// SMTP as a domain's mail exchanger speaks it (RFC 5321), with no login.
    Smtp,
    /// Message submission (RFC 6409), after a login.
    Submission,
    /// One page over HTTP/1.1 (RFC 9112).
    Web,
}

/// Serves one protocol on one listener, one task per connection. It never ends by itself; dropping
/// it ends its connections too.
pub async fn serve(service: Service, listener: TcpListener, store: Store) {
    let capacity = Arc::new(Semaphore::new(SESSIONS));
    let mut sessions = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&capacity).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let store = store.clone();
                sessions.spawn(async move {
                    if let Err(error) = converse(service, stream, store).await {
                        debug!(?service, %error, "demo session ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                debug!(?service, %error, "demo server cannot accept");
                tokio::time::sleep(REST).await;
            }
        }
        while sessions.try_join_next().is_some() {}
    }
}

async fn converse(
    service: Service,
    mut stream: TcpStream,
    store: Store,
) -> Result<(), std::io::Error> {
    let (peer, begun) = proxy::read(&mut stream).await?;
    debug!(?service, ?peer, "demo session");
    let changes = store.changes();
    match (service, peer) {
        // The front sends a web server no header unless it is told to.
        (Service::Web, peer) => drive(stream, begun, Web::new(peer), changes).await,
        (_, None) => Err(proxy::refused()),
        (Service::Imap, Some(peer)) => drive(stream, begun, Imap::new(store, peer), changes).await,
        (Service::Pop3, Some(peer)) => drive(stream, begun, Pop3::new(store, peer), changes).await,
        (Service::Sieve, Some(peer)) => {
            drive(stream, begun, Sieve::new(store, peer), changes).await
        }
        (Service::Smtp, Some(peer)) => {
            drive(stream, begun, Smtp::new(store, peer, Role::Exchanger), changes).await
        }
        (Service::Submission, Some(peer)) => {
            drive(stream, begun, Smtp::new(store, peer, Role::Submission), changes).await
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

    async fn ask(service: Service, input: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(service, listener, Store::new()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(input).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well: the server may close with our bytes unread.
        let _ = client.read_to_end(&mut answer).await;
        server.abort();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn every_service_greets_after_the_proxy_header_and_says_goodbye() {
        for (service, bye, first, last) in [
            (Service::Imap, "a LOGOUT\r\n", "* OK ", "a OK "),
            (Service::Pop3, "QUIT\r\n", "+OK ", "+OK Bye\r\n"),
            (Service::Sieve, "LOGOUT\r\n", "\"IMPLEMENTATION\" ", "OK \"Bye\"\r\n"),
            (Service::Smtp, "QUIT\r\n", "220 localhost ", "221 2.0.0 "),
            // The octets of a chunk are no commands, wherever the pieces of them end.
            (
                Service::Submission,
                "BDAT 6\r\nQUIT\r\nQUIT\r\n",
                "220 ",
                "\r\n503 5.5.1 MAIL first\r\n221 ",
            ),
            (Service::Web, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 ", "the front's own"),
        ] {
            let answer = ask(service, &[LOCAL, bye.as_bytes()].concat()).await;
            assert!(answer.starts_with(first), "{service:?}: {answer}");
            assert!(answer.contains(last), "{service:?}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_connection_without_proxy_header_gets_nothing() {
        assert_eq!(ask(Service::Imap, b"a CAPABILITY\r\nb LOGOUT\r\n").await, "");
        assert_eq!(ask(Service::Smtp, b"EHLO a\r\nQUIT\r\n").await, "");
    }

    #[tokio::test]
    async fn only_the_web_needs_no_proxy_header() {
        let answer = ask(Service::Web, b"\r\nGET / HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("not known"), "{answer}");
    }
}
