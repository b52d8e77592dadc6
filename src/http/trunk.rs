//! A connection to a backend in HTTP/2, with many requests at a time on it.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Instant,
};

use hyper::{
    Request, Response, Uri,
    body::Incoming,
    client::conn::http2::{Builder, Connection, SendRequest},
    header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE},
    http::uri::{Authority, Scheme},
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{
    answer::{BROKEN, Refusal},
    upload::Upload,
};
use crate::wire::Link;

/// What is kept at once of a message.
const BUFFER: usize = 64 << 10;
/// What a backend may send ahead in a stream. In all of them together, as much as the protocol has: a
/// client that takes nothing of its answer must not keep the others from theirs.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// A connection that requests share.
#[derive(Clone)]
pub(super) struct Trunk {
    sender: SendRequest<Upload>,
    /// Everybody who has a request on it has a hand on this, and so have its task and its place.
    hands: Arc<Load>,
}

struct Load {
    /// Driven by its task; `None`: it is over. It alone knows how many requests the backend takes at a
    /// time (SETTINGS_MAX_CONCURRENT_STREAMS), which may change.
    connection: Mutex<Option<Connection<TokioIo<Link>, Upload, TokioExecutor>>>,
    /// It is not to be used again.
    is_spent: AtomicBool,
}

impl Load {
    fn connection(
        &self,
    ) -> MutexGuard<'_, Option<Connection<TokioIo<Link>, Upload, TokioExecutor>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands that belong to no request: the place's, and the task's.
const OTHER_HANDS: usize = 2;

/// The connections to one backend, each of them for many requests.
#[derive(Default)]
pub(super) struct Trunks {
    open: Vec<Trunk>,
    /// When the last try to make one failed, and how.
    failed: Option<(Instant, Refusal)>,
}

impl Trunks {
    /// Forgets those that are over, and those besides the first that nobody needs any more. Whether none
    /// is left.
    pub(super) fn sweep(&mut self) -> bool {
        self.open.retain(Trunk::is_open);
        let mut is_first = true;
        self.open.retain(|trunk| std::mem::take(&mut is_first) || trunk.is_busy());
        self.open.is_empty()
    }

    /// One with room for another request, or one that is made now. Whoever has waited since `since` for
    /// somebody who could not make one need not find that out again.
    pub(super) async fn with_room(
        &mut self,
        since: Instant,
        link: impl Future<Output = Result<Link, Refusal>>,
    ) -> Result<Trunk, Refusal> {
        self.open.retain(Trunk::is_open);
        if let Some(trunk) = self.open.iter().find(|trunk| trunk.has_room()) {
            return Ok(trunk.clone());
        }
        if let Some((_, why)) = self.failed.filter(|(when, _)| *when > since) {
            return Err(why);
        }
        let begun = async { Trunk::begin(link.await?).await.map_err(|_| BROKEN) };
        let trunk = begun.await.inspect_err(|why| self.failed = Some((Instant::now(), *why)))?;
        self.open.push(trunk.clone());
        Ok(trunk)
    }
}

impl Trunk {
    /// Begins HTTP/2 on this link, as both sides know that it is spoken there. The connection ends once
    /// nobody has a hand on it any more.
    async fn begin(link: Link) -> hyper::Result<Self> {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(BUFFER)
            .handshake(TokioIo::new(link))
            .await?;
        let connection = Mutex::new(Some(connection));
        let hands = Arc::new(Load { connection, is_spent: AtomicBool::new(false) });
        let load = hands.clone();
        tokio::spawn(poll_fn(move |cx| {
            let mut connection = load.connection();
            // Whoever waits for an answer is told of any error.
            if connection.as_mut().is_none_or(|c| Pin::new(c).poll(cx).is_ready()) {
                *connection = None;
                return Poll::Ready(());
            }
            Poll::Pending
        }));
        Ok(Self { sender, hands })
    }

    fn is_open(&self) -> bool {
        !self.sender.is_closed() && !self.hands.is_spent.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        let connection = self.hands.connection();
        let most = connection.as_ref().map_or(0, Connection::current_max_send_streams);
        Arc::strong_count(&self.hands) < most.saturating_add(OTHER_HANDS)
    }

    fn is_busy(&self) -> bool {
        Arc::strong_count(&self.hands) > OTHER_HANDS
    }

    /// Something went wrong on it: what comes next goes by another one.
    pub(super) fn spend(&self) {
        self.hands.is_spent.store(true, Ordering::Relaxed);
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
        self.sender.send_request(request).await
    }
}
