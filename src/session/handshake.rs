//! The client's TLS handshake. The only place that names `tokio-rustls`' acceptor.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Weak},
};

use rustls::{ServerConnection, server::Acceptor};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::{House, Policy};
use crate::{
    certs::Certificate,
    identity::{ClientCertificate, TlsFacts},
    tls::{self, ClientAlert, Judge, Terms, Verdict},
    values::UnknownName,
    wire::{Inbox, TlsStream, take_leave},
};

/// A handshake that succeeded.
pub(super) struct Shaken {
    pub stream: Box<TlsStream>,
    pub facts: TlsFacts,
    pub shown: Shown,
}

/// One that did not.
pub(super) struct Unshaken {
    /// What went wrong, in words that help.
    pub why: Reason,
    /// The name that the client asked for.
    pub asked: Option<String>,
    /// `None`: it did not come to that.
    pub shown: Option<Shown>,
}

/// What can be said of a session's end.
pub(super) type Reason = Box<dyn std::error::Error + Send + Sync>;

/// The certificate that was shown, or would have been.
pub(super) struct Shown {
    /// The name that it goes by.
    pub label: String,
    /// A session may last for days: it keeps no certificate that everybody else has forgotten.
    pub certificate: Option<Weak<Certificate>>,
}

impl From<io::Error> for Unshaken {
    fn from(error: io::Error) -> Self {
        Self { why: explain(error, None, None), asked: None, shown: None }
    }
}

/// Shakes hands. `glued`: octets of the ClientHello that came in one packet with STARTTLS; they go
/// to TLS and nowhere else, which RFC 9051 §6.2.1 permits.
///
/// Whatever fails, the client is sent the alert that says so.
pub(super) async fn handshake(
    tcp: TcpStream,
    glued: Inbox,
    local: IpAddr,
    policy: &Policy,
    house: &House,
) -> Result<Shaken, Unshaken> {
    let start = match feed(&glued)? {
        Fed::Whole(accepted) => StartHandshake::from_parts(*accepted, tcp),
        Fed::Part(acceptor) => LazyConfigAcceptor::new(*acceptor, tcp).await?,
    };
    drop(glued);
    let asked = start.client_hello().server_name().map(str::to_owned);
    if tls::is_challenge(&start.client_hello()) {
        return Err(answer(start, asked, policy, house).await);
    }
    // The certificates of this moment: a session that was accepted before a reload gets the new.
    let (terms, shown) = {
        let server = house.tls.load();
        let hello = start.client_hello();
        let set = server.certificates();
        if policy.unknown_name == UnknownName::Reject
            && let Some(name) = hello.server_name().filter(|name| !set.covers(name))
        {
            let why = format!(
                "no certificate covers {name}, and this listener is strict; it was sent unrecognized_name(112)"
            );
            drop(server);
            return Err(reject(start, tls::UNRECOGNIZED_NAME, why, asked).await);
        }
        let choice = set.choose(hello.server_name(), local);
        let certificate = choice.certificate(&tls::schemes(&hello)).map(Arc::downgrade);
        let shown = Shown { label: choice.label().to_owned(), certificate };
        let rule = policy.client_certificates.as_ref();
        (server.terms(policy.protocol, local, hello.server_name(), rule), shown)
    };
    let Some(Terms { config, judge }) = terms else {
        let why = "what is asked of clients here was changed after this one had come; it was sent internal_error(80)".to_owned();
        return Err(reject(start, tls::INTERNAL_ERROR, why, asked).await);
    };
    match Box::pin(start.into_stream(config).into_fallible()).await {
        Ok(stream) => {
            let facts = facts(stream.get_ref().1, judge.as_deref());
            Ok(Shaken { stream: Box::new(stream), facts, shown })
        }
        Err((error, mut tcp)) => {
            if is_ours(&error) {
                // The client may have said more already, and a reset would take the alert from it.
                take_leave(&mut tcp, b"", policy.timeouts.closing).await;
            }
            let why = explain(error, shown.certificate.as_ref(), asked.as_deref());
            Err(Unshaken { why, asked, shown: Some(shown) })
        }
    }
}

/// Shows a certificate authority that a name is ours, if we have asked for that: RFC 8737 §3. There
/// is no session behind such a handshake.
async fn answer(
    start: StartHandshake<TcpStream>,
    asked: Option<String>,
    policy: &Policy,
    house: &House,
) -> Unshaken {
    let name = asked.as_deref().map(str::to_ascii_lowercase);
    let answer = name.and_then(|name| house.challenges.alpn(&name));
    let Some(config) = answer.and_then(|answer| tls::challenge(answer).ok()) else {
        let why = "it asks for the answer to an ACME challenge, and there is none for that name; it was sent no_application_protocol(120)".to_owned();
        return reject(start, tls::NO_APPLICATION_PROTOCOL, why, asked).await;
    };
    let why = match Box::pin(start.into_stream(config)).await {
        Ok(mut stream) => {
            // It may be gone already: it has seen what it wanted.
            let _ = timeout(policy.timeouts.closing, stream.shutdown()).await;
            "a certificate authority has seen the answer to its challenge".into()
        }
        Err(error) => error.into(),
    };
    Unshaken { why, asked, shown: None }
}

enum Fed {
    Part(Box<Acceptor>),
    Whole(Box<rustls::server::Accepted>),
}

fn feed(mut glued: &[u8]) -> io::Result<Fed> {
    let mut acceptor = Acceptor::default();
    while !glued.is_empty() {
        acceptor.read_tls(&mut glued)?;
        match acceptor.accept() {
            // What would be left over then is not a part of any ClientHello.
            Ok(Some(_)) if !glued.is_empty() => return Err(io::ErrorKind::InvalidData.into()),
            Ok(Some(accepted)) => return Ok(Fed::Whole(Box::new(accepted))),
            Ok(None) => {}
            Err((error, _)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
    Ok(Fed::Part(Box::new(acceptor)))
}

/// Sends an alert that rustls would not send.
async fn reject(
    start: StartHandshake<TcpStream>,
    alert: [u8; 7],
    why: String,
    asked: Option<String>,
) -> Unshaken {
    let mut tcp = start.io;
    let why = match tcp.write_all(&alert).await {
        Ok(()) => why.into(),
        Err(error) => error.into(),
    };
    Unshaken { why, asked, shown: None }
}

fn facts(connection: &ServerConnection, judge: Option<&Judge>) -> TlsFacts {
    let cipher =
        connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    TlsFacts {
        version: version.into(),
        cipher: iana(cipher).into(),
        group: connection
            .negotiated_key_exchange_group()
            .and_then(|group| group.name().as_str())
            .unwrap_or(""),
        sni: connection.server_name().map(str::to_owned),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        client: judge.and_then(|judge| client(judge.verdict(connection.peer_certificates()?)?)),
    }
}

fn client(Verdict { verified, client }: Verdict) -> Option<Box<ClientCertificate>> {
    Some(Box::new(ClientCertificate {
        verified,
        common_name: client.common_name,
        subject: client.subject,
        issuer: client.issuer,
        fingerprint: client.fingerprint,
    }))
}

/// rustls has its own names for TLS 1.3's suites.
fn iana(name: &'static str) -> &'static str {
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

/// What went wrong, in words that help. `shown` and `asked`: what is known of the session's TLS.
pub(super) fn explain(
    error: io::Error,
    shown: Option<&Weak<Certificate>>,
    asked: Option<&str>,
) -> Reason {
    match rustls_error(&error) {
        Some(rustls::Error::AlertReceived(alert)) => {
            let shown = shown.and_then(Weak::upgrade);
            ClientAlert::new(*alert, shown.as_deref(), asked).into()
        }
        Some(refused) => tls::refusal(refused).map_or_else(|| error.into(), Into::into),
        None => error.into(),
    }
}

/// Whether we ended it, and the client was sent an alert.
fn is_ours(error: &io::Error) -> bool {
    rustls_error(error).is_some_and(|e| !matches!(e, rustls::Error::AlertReceived(_)))
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_behind_starttls_is_no_client_hello() {
        let mut inbox = Inbox::default();
        inbox.push(b"a LOGIN x y\r\n");
        assert!(feed(&inbox).is_err());
    }
}
