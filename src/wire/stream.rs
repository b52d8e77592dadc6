//! The streams of a session. The only place that names `tokio-rustls`' streams, and its connector.

use std::{
    future::poll_fn,
    io::{self, IoSlice, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustls::{ClientConfig, Writer, pki_types::ServerName};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::Inbox;

/// TLS, with a bare socket under it.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// TLS to a backend, with a link in clear under it.
pub type LinkTls = tokio_rustls::client::TlsStream<Link>;

/// The way to the client.
#[derive(Debug)]
pub enum Client {
    /// In clear.
    Tcp(TcpStream),
    /// Inside TLS. Boxed: a session in clear should not carry its weight.
    Tls(Box<TlsStream>),
}

impl Client {
    /// Sends what TLS itself has to say to what was just read, such as that it does not renegotiate
    /// (RFC 5246 §7.2.2) or its new keys (RFC 8446 §4.6.3): nobody else might write for long.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) {
        if let Self::Tls(stream) = self
            && stream.get_ref().1.wants_write()
        {
            // Whoever writes next is told of any error.
            let _ = Pin::new(stream).poll_flush(cx);
        }
    }
}

impl Client {
    /// Waits until there is something to be read, or to be found out, and holds nothing meanwhile.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(stream) => {
                let (tcp, tls) = stream.get_mut();
                let state = tls.process_new_packets().map_err(io::Error::other)?;
                if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                    return Poll::Ready(Ok(()));
                }
                tcp.poll_read_ready(cx)
            }
        }
    }

    /// Breaks the connection off, so that the client cannot take what it has for all there is.
    pub fn abort(self) {
        let tcp = match &self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(stream) => stream.get_ref().0,
        };
        // A reset instead of an orderly end. If it cannot be had, there is at least no close_notify.
        let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    }

    /// The certificate that the client has shown, as DER (RFC 5280), where there is one.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(stream) => stream.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref),
        }
    }
}

/// How long a backend may take over the alert that a handshake failed with.
const ALERT_ARRIVES: Duration = Duration::from_secs(1);

/// The way to the backend.
#[derive(Debug)]
pub enum Link {
    /// An internet socket.
    Tcp(TcpStream),
    /// Inside TLS. Boxed: a session in clear should not carry its weight.
    Tls(Box<LinkTls>),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Link {
    /// Shakes hands, as the client that we are here. Whatever fails, the backend is sent the alert that
    /// says so.
    pub async fn secure(
        self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let connecting = tokio_rustls::TlsConnector::from(config).connect(name, self);
        match connecting.into_fallible().await {
            Ok(stream) => Ok(Self::Tls(Box::new(stream))),
            Err((error, mut link)) => {
                take_leave(&mut link, b"", ALERT_ARRIVES).await;
                Err(error)
            }
        }
    }

    /// As for [`Client::poll_answer`].
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) {
        if let Self::Tls(stream) = self
            && stream.get_ref().1.wants_write()
        {
            let _ = Pin::new(stream).poll_flush(cx);
        }
    }
}

/// A stream that is one of several. How each is written to is its own affair: `write`.
macro_rules! stream {
    ($name:ident: $($variant:ident $write:expr),+) => {
        impl AsyncRead for $name {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_read(cx, buffer),)+ }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(s) => $write(s, cx, bytes),)+ }
            }

            // TLS over a link writes its records so, all at once, also the alert that is its last.
            fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_write_vectored(cx, bytes),)+ }
            }

            fn is_write_vectored(&self) -> bool {
                match self { $(Self::$variant(s) => s.is_write_vectored(),)+ }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_flush(cx),)+ }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_shutdown(cx),)+ }
            }
        }
    };
}

stream!(Client: Tcp write, Tls write_to_client);
stream!(Link: Tcp write, Tls write_to_backend, Unix write);

fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    Pin::new(stream).poll_write(cx, bytes)
}

fn write_to_client(
    stream: &mut TlsStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    write_records(stream, cx, bytes, |stream| stream.get_mut().1.writer())
}

fn write_to_backend(
    stream: &mut LinkTls,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    write_records(stream, cx, bytes, |stream| stream.get_mut().1.writer())
}

/// Octets become records, which leave at the next flush, or when there are too many of them: an
/// answer and the close_notify behind it take one system call and one segment, not two.
fn write_records<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
    writer: for<'a> fn(&'a mut S) -> Writer<'a>,
) -> Poll<io::Result<usize>> {
    loop {
        match writer(stream).write(bytes)? {
            0 if !bytes.is_empty() => ready!(Pin::new(&mut *stream).poll_flush(cx))?,
            octets => return Poll::Ready(Ok(octets)),
        }
    }
}

/// The most that is read of what a peer still sends while we take leave.
const STILL_SENT: usize = 64 << 10;
const STILL_SENT_OF_A_BODY: usize = 64 << 20;

/// Says the last words and closes, so that they arrive: a socket that is closed while it holds
/// unread octets resets the connection, and the peer may never see what we said.
///
/// Inside TLS the peer gets its close_notify (RFC 8446 §6.1). Errors are of no interest any more.
pub async fn take_leave<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    words: &[u8],
    patience: Duration,
) {
    leave(stream, words, patience, STILL_SENT).await;
}

/// The same for one who may be in the middle of sending much, and hears only when it looks up: web
/// clients do, while they send a body that nobody wants any more.
pub async fn take_leave_of_a_sender<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    patience: Duration,
) {
    leave(stream, b"", patience, STILL_SENT_OF_A_BODY).await;
}

async fn leave<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    words: &[u8],
    patience: Duration,
    most: usize,
) {
    let leave = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let (mut inbox, mut sent) = (Inbox::default(), 0);
        while sent < most {
            match poll_fn(|cx| inbox.poll_fill(cx, stream, STILL_SENT)).await? {
                0 => break,
                octets => {
                    sent += octets;
                    inbox.consume(octets);
                }
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(patience, leave).await;
}
