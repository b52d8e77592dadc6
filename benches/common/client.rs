//! Clients: TLS with X25519 alone, as much IMAP as a login takes, and as much SMTP as a message does.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{NAME, ca::Ca};

/// A client that trusts this authority. Of key exchanges it knows X25519 alone: what others cost
/// is another question.
pub fn config(ca: &Ca, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(ca.root_pem().as_bytes()).expect("a certificate");
    roots.add(root).expect("a root");
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .expect("a version that the provider knows")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// The name that clients ask for.
pub fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a name")
}

/// A client that has logged in.
pub struct LoggedIn(TlsStream<TcpStream>);

/// Connects, shakes hands, hears the greeting, logs in.
pub async fn log_in(to: SocketAddr, tls: &TlsConnector) -> io::Result<LoggedIn> {
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    let mut stream = tls.connect(name(), tcp).await?;
    until(&mut stream, b"* OK").await?;
    stream.write_all(b"a LOGIN someone secret\r\n").await?;
    until(&mut stream, b"a OK").await?;
    Ok(LoggedIn(stream))
}

impl LoggedIn {
    /// Asks for nothing, and waits until the server has done it.
    pub async fn noop(&mut self) -> io::Result<()> {
        self.0.write_all(b"n NOOP\r\n").await?;
        until(&mut self.0, b"n OK").await
    }

    /// Says good-bye, waits for the server's, and closes.
    pub async fn log_out(self) -> io::Result<()> {
        let mut stream = self.0;
        stream.write_all(b"b LOGOUT\r\n").await?;
        let mut bye = Vec::new();
        stream.read_to_end(&mut bye).await?;
        if !bye.starts_with(b"* BYE") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.shutdown().await
    }
}

/// Delivers a message, which ends with a dot on a line of its own, as mail servers do: STARTTLS
/// first.
pub async fn deliver(to: SocketAddr, tls: &TlsConnector, message: &[u8]) -> io::Result<()> {
    let mut tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    until(&mut tcp, b"220 ").await?;
    ask(&mut tcp, b"EHLO client.example.net\r\n", b"250").await?;
    ask(&mut tcp, b"STARTTLS\r\n", b"220 ").await?;
    let mut stream = tls.connect(name(), tcp).await?;
    ask(&mut stream, b"EHLO client.example.net\r\n", b"250").await?;
    ask(&mut stream, b"MAIL FROM:<someone@example.net>\r\n", b"250 ").await?;
    ask(&mut stream, b"RCPT TO:<someone@example.org>\r\n", b"250 ").await?;
    ask(&mut stream, b"DATA\r\n", b"354 ").await?;
    ask(&mut stream, message, b"250 ").await?;
    ask(&mut stream, b"QUIT\r\n", b"221 ").await?;
    stream.shutdown().await
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    words: &[u8],
    start: &[u8],
) -> io::Result<()> {
    stream.write_all(words).await?;
    until(stream, start).await
}

/// Reads one answer, which has to begin so. Of several lines, all have come when one has: they are
/// written at once.
async fn until(stream: &mut (impl AsyncRead + Unpin), start: &[u8]) -> io::Result<()> {
    let (mut answer, mut length) = ([0; 512], 0);
    while !answer[..length].ends_with(b"\r\n") {
        length += match stream.read(&mut answer[length..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            octets => octets,
        };
    }
    if !answer.starts_with(start) {
        return Err(io::Error::other(String::from_utf8_lossy(&answer[..length]).into_owned()));
    }
    Ok(())
}
