//! Looks for a backend that answers a request, and tries again where that can do no harm.

use std::{
    error::Error,
    future::poll_fn,
    io,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use hyper::{
    HeaderMap, Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    header::{CONNECTION, HeaderValue, UPGRADE},
    http::response::Parts,
};
use tokio::time::timeout;

use super::{
    Guest, Switched,
    answer::{self, BROKEN, Refusal},
    body::Answer,
    download::{Download, Way},
    fields,
    framing::{self, Trust},
    guest::Open,
    leg::Leg,
    shelf::Place,
    stall::{Moved, Stall},
    told::{Host, Told},
    upload::{self, Upload},
};
use crate::{
    backend::{self, Key, Secured, Visit},
    identity::{Facts, Identity},
    wire::Link,
};

const UNAVAILABLE: Refusal =
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The server is down. Please try again soon.\n");
const LATE: Refusal =
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "The server does not answer in time.\n");

/// One request, as it looks for a backend.
pub(super) struct Courier {
    pub(super) guest: Arc<Guest>,
    /// What backends are told of the client.
    pub(super) told: Arc<Told>,
    pub(super) host: Option<Arc<Host>>,
    /// Whether it can be said again without harm.
    pub(super) is_repeatable: bool,
    pub(super) has_upgrade: bool,
    /// When anything of its body was taken last.
    pub(super) moved: Option<Arc<Moved>>,
    /// It is here while no backend has seen it.
    pub(super) request: Option<Request<Upload>>,
    /// The same once more, for when a connection turns out to be closed.
    pub(super) again: Option<Request<Upload>>,
    /// It is open until its answer has gone.
    pub(super) open: Option<Open>,
}

/// What came of a try without an answer.
enum Miss {
    /// The request has not been seen by anybody.
    Unsent(Refusal),
    /// It may have been.
    Lost(Refusal),
}

impl Courier {
    /// Takes it to a backend, or to several until one answers.
    pub(super) async fn go(&mut self) -> Result<Response<Answer>, Refusal> {
        let guest = self.guest.clone();
        let pool = guest.web.pool(self.host.as_deref().map(|host| host.name.as_str()));
        let mut search = pool.seek(guest.facts.peer.ip());
        let mut is_told = false;
        let mut now = Instant::now();
        let deadline = now + guest.web.timeouts.connect;
        let mut last = UNAVAILABLE;
        while let Some(visit) = search.next(now) {
            guest.goes_to(&visit.key().target);
            if visit.key().identity != Identity::None
                && !std::mem::replace(&mut is_told, true)
                && let Some(request) = &mut self.request
            {
                self.told.tell(self.host.as_deref(), request.headers_mut());
            }
            let left = deadline.saturating_duration_since(now);
            let patience = if search.has_more(now) { left / 2 } else { left };
            match self.with(visit, patience).await {
                Ok(response) => return Ok(response),
                Err(Miss::Lost(why)) => return Err(why),
                Err(Miss::Unsent(why)) => last = why,
            }
            now = Instant::now();
            if now >= deadline {
                break;
            }
        }
        pool.hurry();
        Err(last)
    }

    /// One backend. A connection that turns out to be closed is no answer: then it is tried again on
    /// a new one, if that can do no harm.
    async fn with(&mut self, visit: Visit, patience: Duration) -> Result<Response<Answer>, Miss> {
        // Boxed, as whatever a request may do and most do not: each carries the weight of all it might.
        if visit.key().h2c {
            return Box::pin(self.by_trunk(visit, patience)).await;
        }
        let home = self.home(visit.key());
        if let Some(mut leg) = home.take(self.is_repeatable) {
            self.again = self.request.as_ref().filter(|_| self.is_repeatable).map(copy);
            match self.send(&mut leg).await {
                Ok(response) => {
                    visit.served();
                    // One that is the client's own has been counted all the time.
                    leg.visit.get_or_insert(visit);
                    return self.answer(response, leg, home);
                }
                Err(Miss::Unsent(_)) => {}
                Err(Miss::Lost(BROKEN)) if self.again.is_some() => self.request = self.again.take(),
                Err(lost) => return Err(lost),
            }
        }
        let mut leg = Box::pin(self.dial(visit, patience)).await.map_err(Miss::Unsent)?;
        leg.is_private = self.guest.had.logs_in.load(Ordering::Relaxed);
        self.again = self.request.as_ref().filter(|_| self.is_repeatable).map(copy);
        match self.send(&mut leg).await {
            Ok(response) => self.answer(response, leg, home),
            Err(Miss::Lost(BROKEN)) => Err(self.broken()),
            Err(miss) => Err(miss),
        }
    }

    /// A backend has closed without an answer. What can be said again may be said to another one.
    fn broken(&mut self) -> Miss {
        self.request = self.again.take();
        if self.request.is_some() { Miss::Unsent(BROKEN) } else { Miss::Lost(BROKEN) }
    }

    async fn send(&mut self, leg: &mut Leg) -> Result<Response<Incoming>, Miss> {
        let request = self.request.take().ok_or(Miss::Lost(BROKEN))?;
        match self.patiently(leg.send(request)).await {
            Some(Ok(response)) => {
                if let Some(visit) = &leg.visit {
                    visit.served();
                }
                Ok(response)
            }
            Some(Err(mut error)) => {
                self.request = error.take_message();
                let error = error.into_error();
                tracing::debug!(id = %self.guest.facts.id, %error, "no answer from the backend");
                if let Some(visit) = leg.visit.as_ref().filter(|_| !leg.is_used && !error.is_user())
                {
                    visit.failed(&error);
                }
                // What the client sends is no body, or breaks off.
                if error.is_user() {
                    return Err(Miss::Lost(fault(&error)));
                }
                Err(if self.request.is_some() { Miss::Unsent(BROKEN) } else { Miss::Lost(BROKEN) })
            }
            None => Err(Miss::Lost(LATE)),
        }
    }

    /// Waits for a backend as long as it takes the request, and then for so long as it may take to
    /// answer.
    async fn patiently<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = pin!(answer);
        let mut stall = Stall::beside(self.moved.clone());
        let patience = self.guest.web.timeouts.http_response;
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => stall.poll(cx, patience).map(|()| None),
        })
        .await
    }

    /// The same where requests share connections.
    async fn by_trunk(
        &mut self,
        visit: Visit,
        patience: Duration,
    ) -> Result<Response<Answer>, Miss> {
        let (home, since) = (self.home(visit.key()), Instant::now());
        for is_last in [false, true] {
            let mut trunk = {
                // Those who come while one is made wait for it.
                let mut trunks = home.trunks.lock().await;
                trunks.with_room(since, self.link(&visit, patience)).await.map_err(Miss::Unsent)?
            };
            let request = self.request.take().ok_or(Miss::Lost(BROKEN))?;
            self.again = self.is_repeatable.then(|| copy(&request));
            match self.patiently(trunk.send(request)).await {
                Some(Ok(response)) => {
                    visit.served();
                    let (parts, body) = response.into_parts();
                    return self.passed_on(parts, body, Way::Trunk((visit, trunk)));
                }
                Some(Err(error)) if error.is_user() => return Err(Miss::Lost(fault(&error))),
                Some(Err(error)) => {
                    tracing::debug!(id = %self.guest.facts.id, %error, "no answer from the backend");
                    trunk.spend();
                    if is_last || self.again.is_none() {
                        break;
                    }
                    self.request = self.again.take();
                }
                None => return Err(Miss::Lost(LATE)),
            }
        }
        Err(self.broken())
    }

    /// A new connection, on which nothing has been said yet but who the client is.
    async fn dial(&self, visit: Visit, patience: Duration) -> Result<Leg, Refusal> {
        let link = self.link(&visit, patience).await?;
        Leg::begin(link, visit).await.map_err(|_| BROKEN)
    }

    /// A link to a backend that knows who comes by it.
    async fn link(&self, visit: &Visit, patience: Duration) -> Result<Link, Refusal> {
        let (guest, key) = (&self.guest, visit.key());
        let failed = |why: String| {
            visit.failed(&why);
            tracing::debug!(id = %guest.facts.id, %why, "the backend cannot be spoken with");
            BROKEN
        };
        let link = backend::dial(&key.target, patience).await.map_err(|error| {
            visit.unreachable(&error);
            if error.kind() == io::ErrorKind::TimedOut { LATE } else { UNAVAILABLE }
        })?;
        let link = introduce(link, key, &guest.facts).await.map_err(|e| failed(e.to_string()))?;
        let web = &guest.web;
        let securing = backend::secure(link, key, &web.hostname, web.line);
        match timeout(web.timeouts.greeting, securing).await {
            Ok(Ok(Secured::Ready(link, _))) => Ok(link),
            Ok(Ok(Secured::Refused(_))) => Err(failed("it refuses TLS".to_owned())),
            Ok(Err(why)) => Err(failed(why.to_string())),
            Err(_) => Err(failed("it does not come to TLS in time".to_owned())),
        }
    }

    /// Where connections to this backend wait: one that was announced as this client's is nobody else's,
    /// nor is one that it may be logged in on.
    fn home(&self, key: &Key) -> Arc<Place> {
        let had = &self.guest.had;
        let is_own = key.identity.is_announced() || had.logs_in.load(Ordering::Relaxed);
        let shelf = if is_own { &had.own } else { &self.guest.shelf };
        shelf.place(key)
    }

    /// What a backend has answered, as the client gets it.
    fn answer(
        &mut self,
        response: Response<Incoming>,
        leg: Leg,
        home: Arc<Place>,
    ) -> Result<Response<Answer>, Miss> {
        let (parts, body) = response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(parts.headers, leg).ok_or(Miss::Lost(BROKEN));
        }
        self.passed_on(parts, body, Way::Leg { leg, home })
    }

    fn passed_on(
        &mut self,
        mut parts: Parts,
        body: Incoming,
        mut way: Way,
    ) -> Result<Response<Answer>, Miss> {
        match framing::of_answer(&mut parts) {
            Trust::Whole => {}
            Trust::Once => way.ends(),
            Trust::None => return Err(Miss::Lost(BROKEN)),
        }
        fields::take_hop_by_hop(&mut parts.headers);
        parts.version = Version::HTTP_11;
        answer::keep_reason(parts.status, &mut parts.extensions);
        let patience = self.guest.web.timeouts.http_response;
        let way = if body.is_end_stream() { way.home() } else { Some(way) };
        let body = way.map_or(Answer::EMPTY, |way| {
            let (moved, open) = (self.moved.take(), self.open.take());
            Answer::Backends(Box::new(Download::new(body, way, patience, moved, open)))
        });
        Ok(Response::from_parts(parts, body))
    }

    /// The backend speaks something else from now on: what this client has asked for. `None`: it has not.
    fn switch(&self, headers: HeaderMap, leg: Leg) -> Option<Response<Answer>> {
        let to = fields::upgrade(&headers).filter(|_| self.has_upgrade)?;
        let (link, inbox, visit) = leg.into_parts();
        self.guest.switch(Switched { link, inbox, visit: visit? });
        let mut response = Response::new(Answer::EMPTY);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        let headers = response.headers_mut();
        fields::take_hop_by_hop(headers);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, to);
        Some(response)
    }
}

/// Says who the client is, where the backend is told before anything else.
async fn introduce(mut link: Link, key: &Key, facts: &Facts) -> io::Result<Link> {
    use tokio::io::AsyncWriteExt;

    let header = announcement(key, facts);
    if !header.is_empty() {
        link.write_all(&header).await?;
    }
    Ok(link)
}

fn announcement(key: &Key, facts: &Facts) -> Vec<u8> {
    let mut facts = facts.clone();
    if let Some(tls) = &mut facts.tls {
        // What is spoken with the backend, which may go by it.
        tls.alpn = Some(if key.h2c { b"h2".to_vec() } else { b"http/1.1".to_vec() });
    }
    key.identity.header(&facts)
}

/// What is wrong with a request's body.
fn fault(error: &hyper::Error) -> Refusal {
    error.source().map_or(BROKEN, upload::fault)
}

/// A request without a body, once more.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::{facts, tls},
        protocol::Protocol,
        values::Target,
    };

    /// X4: PP2_TYPE_ALPN names what follows the header, not what the client speaks with us.
    #[test]
    fn a_backend_is_told_what_is_spoken_with_it() {
        let client = facts("192.0.2.1:1", "192.0.2.2:443", Some(tls(None, Some(b"h2"))));
        for (h2c, alpn) in [(false, &b"\x01\x00\x08http/1.1"[..]), (true, b"\x01\x00\x02h2")] {
            let target = Target::Tcp(([127, 0, 0, 1], 80).into());
            let (protocol, identity) = (Protocol::Http, Identity::ProxyV2);
            let key = Key { target, protocol, identity, tls: None, h2c };
            let header = announcement(&key, &client);
            assert!(header.windows(alpn.len()).any(|part| part == alpn), "{header:?}");
        }
    }
}
