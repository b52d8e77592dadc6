//! A client's connection, from its first request to its last.

use std::{
    convert::Infallible,
    error::Error as _,
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::{Poll, ready},
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1::Builder as Http1, http2::Builder as Http2},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Gone, Guest, Tunnel,
    body::Answer,
    exchange::{Answering, exchange},
    io::Io,
    streams::Streams,
};
use crate::{
    values::Stop,
    wire::{Client, Inbox},
};

/// The longest head of a request: most servers take less.
const LONGEST_HEAD: usize = 32 << 10;
/// The most that is read or kept at once of a message.
const BUFFER: usize = 64 << 10;
/// The most fields in a head.
const MOST_FIELDS: usize = 100;

/// HTTP/2: what one connection may have under way. RFC 9113 §6.5.2 wants at least 100 streams.
const STREAMS: u32 = 100;
/// What a client may send ahead in a stream, and in all of them.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Streams that a client opens and resets before we have looked at them (CVE-2023-44487), and those
/// that we reset for what it does (CVE-2025-8671): more, and it has to go.
const RESET_EARLY: usize = 20;
const RESET_BY_US: usize = 100;

/// Who takes requests of one client.
#[derive(Clone)]
struct Reception {
    guest: Arc<Guest>,
    /// Where each request is a stream of its own: what watches over them.
    streams: Option<Streams>,
}

impl Service<Request<Incoming>> for Reception {
    type Response = Response<Answer>;
    type Error = Infallible;
    // Boxed: a client that has asked for nothing should not carry its weight.
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        exchange(&self.guest, self.streams.as_ref().map(Streams::begin), request)
    }
}

/// A client that asks again this soon is busy: then it is not worth while to put everything away.
const BUSY: Duration = Duration::from_secs(1);

/// Serves HTTP/1.1, and 1.0.
///
/// While a client asks for nothing, all is put away but its connection: hyper would hold its buffers,
/// and there may be thousands of such clients.
pub(super) async fn http1(
    mut client: Client,
    guest: &Arc<Guest>,
    mut stop: watch::Receiver<Stop>,
    opened: &mut impl FnMut(),
) -> Gone {
    let mut before = Inbox::default();
    loop {
        let since = Instant::now();
        if before.is_empty() {
            guest.rest();
            match rest(&mut client, guest, &mut stop).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Gone::Failed(error),
                Err(Stop::No) => return Gone::Idle(Some(client)),
                Err(_) => return Gone::Closed(Some(client)),
            }
        }
        // The first request has not been waited for.
        let is_busy = guest.had.requests.load(Ordering::Relaxed) > 0 && since.elapsed() < BUSY;
        let serving =
            active(client, std::mem::take(&mut before), guest, &mut stop, opened, is_busy);
        match Box::pin(serving).await {
            Ok(quiet) => (client, before) = quiet,
            Err(gone) => return gone,
        }
    }
}

/// Waits for the next request, but not for ever: the error is how much of a hurry we are in.
async fn rest(
    client: &mut Client,
    guest: &Guest,
    stop: &mut watch::Receiver<Stop>,
) -> Result<io::Result<()>, Stop> {
    let readable = poll_fn(|cx| client.poll_readable(cx));
    tokio::select! {
        biased;
        readable = timeout(guest.web.timeouts.http_idle, readable) => readable.map_err(|_| Stop::No),
        now = next(stop, Stop::No) => Err(now.unwrap_or(Stop::Now)),
    }
}

/// Serves requests until there are none for now: then the client comes back, with what it has said of
/// the next one.
async fn active(
    client: Client,
    before: Inbox,
    guest: &Arc<Guest>,
    stop: &mut watch::Receiver<Stop>,
    opened: &mut impl FnMut(),
    is_busy: bool,
) -> Result<(Client, Inbox), Gone> {
    let io = TokioIo::new(Io::new(client, before, guest.clone()));
    let mut builder = Http1::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(guest.web.timeouts.http_idle)
        .max_header_size(LONGEST_HEAD)
        .max_headers(MOST_FIELDS)
        .max_buf_size(BUFFER);
    let mut connection =
        builder.serve_connection(io, Reception { guest: guest.clone(), streams: None });
    let requests = || guest.had.requests.load(Ordering::Relaxed);
    let (begin, mut seen) = (requests(), requests());
    let is_quiet = || {
        guest.had.open.load(Ordering::Relaxed) == 0 && guest.had.is_quiet.load(Ordering::Relaxed)
    };
    let mut alarm = pin!(is_busy.then(|| sleep_until(Instant::now() + BUSY)));
    let mut level = Stop::No;
    let served = loop {
        let serving = poll_fn(|cx| {
            let done = connection.poll_without_shutdown(cx);
            let now = requests();
            if now > 0 {
                opened();
            }
            if done.is_ready() || now == begin || level != Stop::No || !is_quiet() {
                return done.map(Some);
            }
            if let Some(alarm) = alarm.as_mut().as_pin_mut() {
                ready!(alarm.poll(cx));
            }
            Poll::Ready(None)
        });
        let served = tokio::select! {
            biased;
            served = serving => served,
            Ok(now) = next(stop, level) => match now {
                Stop::Now => return Err(Gone::Stopped),
                now => {
                    level = now;
                    Pin::new(&mut connection).graceful_shutdown();
                    continue;
                }
            },
        };
        match served {
            Some(served) => break Some(served),
            // The alarm counts from a request that may not have been the last.
            None if is_busy && seen != requests() => {
                seen = requests();
                alarm.set(Some(sleep_until(Instant::now() + BUSY)));
            }
            None => break None,
        }
    };
    let parts = connection.into_parts();
    let client = parts.io.into_inner().client;
    let mut inbox = Inbox::default();
    inbox.push(&parts.read_buf);
    if let Some(switched) = guest.switched() {
        let tunnel = Tunnel { client, from_client: inbox, backend: *switched };
        return Err(Gone::Upgraded(Box::new(tunnel)));
    }
    match served {
        None => Ok((client, inbox)),
        Some(Ok(())) => Err(Gone::Closed(Some(client))),
        Some(Err(error)) => Err(gone(&error, Some(client))),
    }
}

/// Serves HTTP/2.
pub(super) async fn http2(
    client: Client,
    guest: &Arc<Guest>,
    mut stop: watch::Receiver<Stop>,
    opened: &mut impl FnMut(),
) -> Gone {
    let io = TokioIo::new(Io::new(client, Inbox::default(), guest.clone()));
    let streams = Streams::new(guest.web.timeouts.http_body);
    let mut builder = Http2::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(LONGEST_HEAD).unwrap_or(u32::MAX))
        .max_send_buf_size(BUFFER)
        .max_pending_accept_reset_streams(RESET_EARLY)
        .max_local_error_reset_streams(RESET_BY_US);
    let mut connection = pin!(
        builder.serve_connection(io, Reception { guest: guest.clone(), streams: Some(streams) })
    );
    let idle = guest.web.timeouts.http_idle;
    let mut level = Stop::No;
    let mut alarm = pin!(sleep_until(Instant::now() + idle));
    let (mut seen, mut is_leaving) = (0, false);
    let mut has_waited = false;
    loop {
        let serving = poll_fn(|cx| {
            has_waited = !has_waited;
            if has_waited {
                // Streams that have something to say come first: one write takes all of it along.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let done = connection.as_mut().poll(cx);
            if guest.had.requests.load(Ordering::Relaxed) > 0 {
                opened();
            }
            done
        });
        tokio::select! {
            biased;
            served = serving => return match served {
                Ok(()) if level == Stop::No => Gone::Closed(None),
                Ok(()) => Gone::Stopped,
                Err(error) => gone(&error, None),
            },
            Ok(now) = next(&mut stop, level) => match now {
                Stop::Now => return Gone::Stopped,
                now => {
                    level = now;
                    connection.as_mut().graceful_shutdown();
                }
            },
            () = alarm.as_mut() => {
                let requests = guest.had.requests.load(Ordering::Relaxed);
                let is_idle = guest.had.open.load(Ordering::Relaxed) == 0 && requests == seen;
                if is_idle && is_leaving {
                    // It was told, and says nothing.
                    return Gone::Idle(None);
                }
                if is_idle {
                    connection.as_mut().graceful_shutdown();
                    is_leaving = true;
                }
                seen = requests;
                let patience = if is_idle { guest.web.timeouts.closing } else { idle };
                alarm.as_mut().reset(Instant::now() + patience);
            }
        }
    }
}

/// The next step of a stop, after this one.
async fn next(
    stop: &mut watch::Receiver<Stop>,
    level: Stop,
) -> Result<Stop, watch::error::RecvError> {
    stop.wait_for(|now| *now > level).await.map(|now| *now)
}

/// What an error of hyper's means.
fn gone(error: &hyper::Error, client: Option<Client>) -> Gone {
    if error.is_user() {
        // The body of an answer has failed, which is the backend's.
        if let Some(client) = client {
            client.abort();
        }
        let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        return Gone::BrokenOff(why);
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return Gone::Failed(io::Error::new(io.kind(), io.to_string()));
        }
        source = cause.source();
    }
    if error.is_timeout() {
        Gone::Idle(client)
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Gone::Failed(io::ErrorKind::UnexpectedEof.into())
    } else {
        Gone::Refused(client, error.to_string())
    }
}
