//! The client's TLS handshake. The only place that names `tokio-rustls`' acceptor.

use std::{io, net::IpAddr};

use rustls::{ServerConnection, server::Acceptor};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::{House, Policy};
use crate::{
    identity::TlsFacts,
    tls,
    values::UnknownName,
    wire::{Inbox, TlsStream},
};

/// A handshake that succeeded.
pub(super) struct Shaken {
    pub stream: Box<TlsStream>,
    pub facts: TlsFacts,
    /// The certificate that was shown.
    pub certificate: String,
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
) -> io::Result<Shaken> {
    let start = match feed(&glued)? {
        Fed::Whole(accepted) => StartHandshake::from_parts(*accepted, tcp),
        Fed::Part(acceptor) => LazyConfigAcceptor::new(*acceptor, tcp).await?,
    };
    drop(glued);
    // The certificates of this moment: a session that was accepted before a reload gets the new.
    let (config, certificate) = {
        let server = house.tls.load();
        let hello = start.client_hello();
        let set = server.certificates();
        if policy.unknown_name == UnknownName::Reject
            && hello.server_name().is_some_and(|name| !set.covers(name))
        {
            let name = hello.server_name().unwrap_or_default().to_owned();
            drop(server);
            return Err(reject(start, &name).await);
        }
        let certificate = set.choose(hello.server_name(), local).label().to_owned();
        (server.config(policy.protocol, local), certificate)
    };
    let config = config.ok_or_else(|| io::Error::other("there is no TLS configuration"))?;
    let stream = Box::pin(start.into_stream(config)).await?;
    let facts = facts(stream.get_ref().1);
    Ok(Shaken { stream: Box::new(stream), facts, certificate })
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

async fn reject(start: StartHandshake<TcpStream>, name: &str) -> io::Error {
    let mut tcp = start.io;
    match tcp.write_all(&tls::UNRECOGNIZED_NAME).await {
        Ok(()) => {
            io::Error::other(format!("no certificate covers {name}, and this listener is strict"))
        }
        Err(error) => error,
    }
}

fn facts(connection: &ServerConnection) -> TlsFacts {
    let cipher =
        connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    };
    TlsFacts {
        version,
        cipher: iana(cipher),
        group: connection
            .negotiated_key_exchange_group()
            .and_then(|group| group.name().as_str())
            .unwrap_or(""),
        sni: connection.server_name().map(str::to_owned),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    }
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

/// What went wrong, in words that help.
pub(super) fn explain(error: io::Error) -> Box<dyn std::error::Error + Send + Sync> {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::AlertReceived(alert)) = inner
        && let Some(meaning) = tls::explain(*alert)
    {
        return format!("{meaning} (alert {} {alert:?})", u8::from(*alert)).into();
    }
    Box::new(error)
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
