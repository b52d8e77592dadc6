//! A connection to a backend in HTTP/2, with many requests at a time on it.

use hyper::{
    Request, Response, Uri,
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE},
    http::uri::{Authority, Scheme},
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::upload::Upload;
use crate::wire::Link;

/// What is kept at once of a message.
const BUFFER: usize = 64 << 10;
/// What a backend may send ahead in a stream, and in all of them.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A connection that requests share.
#[derive(Clone)]
pub(super) struct Trunk(SendRequest<Upload>);

impl Trunk {
    /// Begins HTTP/2 on this link, as both sides know that it is spoken there. The connection ends once
    /// nobody has a hand on it any more.
    pub(super) async fn begin(link: Link) -> hyper::Result<Self> {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(BUFFER)
            .handshake(TokioIo::new(link))
            .await?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told of any error.
            let _ = connection.await;
        });
        Ok(Self(sender))
    }

    /// Whether it takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Upload>,
    ) -> hyper::Result<Response<Incoming>> {
        // RFC 9113 §8.3.1: the host has a field of its own, and there is no switching of protocols.
        let headers = request.headers_mut();
        headers.remove(CONNECTION);
        headers.remove(UPGRADE);
        headers.remove(TRANSFER_ENCODING);
        let host = headers.remove(HOST);
        let authority = host.as_ref().map(HeaderValue::as_bytes).map(Authority::try_from);
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        if let Some(Ok(authority)) = authority {
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(authority);
        }
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = hyper::Version::HTTP_2;
        self.0.send_request(request).await
    }
}
