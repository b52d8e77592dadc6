//! The streams of a session. The only place that names `tokio-rustls`' stream.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::Inbox;

/// TLS, with a bare socket under it.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// The way to the client.
#[derive(Debug)]
pub enum Client {
    /// In clear.
    Tcp(TcpStream),
    /// Inside TLS. Boxed: a session in clear should not carry its weight.
    Tls(Box<TlsStream>),
}

/// The way to the backend.
#[derive(Debug)]
pub enum Link {
    /// An internet socket.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

macro_rules! stream {
    ($name:ident: $($variant:ident),+) => {
        impl AsyncRead for $name {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_read(cx, buffer),)+ }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(s) => Pin::new(s).poll_write(cx, bytes),)+ }
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

stream!(Client: Tcp, Tls);
stream!(Link: Tcp, Unix);

/// The most that is read of what a peer still sends while we take leave.
const STILL_SENT: usize = 64 << 10;

/// Says the last words and closes, so that they arrive: a socket that is closed while it holds
/// unread octets resets the connection, and the peer may never see what we said.
///
/// Inside TLS the peer gets its close_notify (RFC 8446 §6.1). Errors are of no interest any more.
pub async fn take_leave<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    words: &[u8],
    patience: Duration,
) {
    let leave = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let (mut inbox, mut sent) = (Inbox::default(), 0);
        while sent < STILL_SENT {
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
