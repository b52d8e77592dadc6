//! A request on its way to a backend, and its answer on the way back.

use std::{io, sync::Arc, time::Instant};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    header::{CONNECTION, EXPECT, HOST, HeaderValue, TE, UPGRADE},
    http::request::Parts,
};
use tokio::time::timeout;

use super::{
    Guest, Shelf, Switched,
    answer::Refusal,
    body::Answer,
    download::{Download, Way},
    fields,
    guest::Open,
    judge::Asked,
    leg::Leg,
    upload::{TooSlow, Upload},
};
use crate::{
    backend::{self, Key, Secured, Visit},
    identity::{Facts, Identity},
    wire::Link,
};

const UNAVAILABLE: Refusal =
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The server is down. Please try again soon.\n");
const BROKEN: Refusal =
    Refusal::new(StatusCode::BAD_GATEWAY, "The server does not answer as it should.\n");
const LATE: Refusal =
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, "The server does not answer in time.\n");
const SLOW: Refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request does not come.\n");
const CUT: Refusal = Refusal::bad("The request breaks off.\n");
const CIRCLE: Refusal = Refusal::new(StatusCode::LOOP_DETECTED, "This goes in a circle.\n");

/// Passes a request on, and returns the backend's answer.
pub(super) async fn forward(
    guest: &Arc<Guest>,
    asked: Asked,
    mut parts: Parts,
    body: Incoming,
    open: Open,
) -> Result<Response<Answer>, Refusal> {
    let told = guest.told();
    if told.goes_in_a_circle(&parts.headers) {
        return Err(CIRCLE);
    }
    let (came_by, is_empty) = (parts.version, body.is_end_stream());
    let upgrade = fields::upgrade(&parts.headers).filter(|_| came_by == Version::HTTP_11);
    let waits = fields::expects_consent(&parts.headers) && came_by == Version::HTTP_11 && !is_empty;
    let takes_trailers = fields::take_hop_by_hop(&mut parts.headers);
    fields::take_fronts_words(&mut parts.headers, told.is_trusted);
    fields::gather_cookies(&mut parts.headers);
    told.via(came_by, &mut parts.headers);
    parts.version = Version::HTTP_11;
    if takes_trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if asked.authority.is_none() {
        // RFC 9112 §3.2: a request without one has to have one all the same.
        parts.headers.insert(HOST, HeaderValue::from_str(&guest.web.hostname).map_err(|_| BROKEN)?);
    }
    if let Some(upgrade) = &upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, upgrade.clone());
    }
    let mut upload = Upload::new(body, guest.web.timeouts.http_body);
    if waits {
        let (behind, given) = upload.behind_consent();
        upload = behind;
        consent(&mut parts, given);
    } else {
        parts.headers.remove(EXPECT);
    }
    let courier = Courier {
        guest,
        is_repeatable: is_empty && is_idempotent(&parts.method),
        has_upgrade: upgrade.is_some(),
        asked,
    };
    courier.go(parts, upload, open).await
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::TRACE]
        .contains(method)
}

/// The backend's consent becomes ours: RFC 9110 §10.1.1.
fn consent(parts: &mut Parts, given: tokio::sync::oneshot::Sender<()>) {
    let given = std::sync::Mutex::new(Some(given));
    let mut carrier = Request::new(());
    hyper::ext::on_informational(&mut carrier, move |answer| {
        if answer.status() == StatusCode::CONTINUE
            && let Ok(mut given) = given.lock()
            && let Some(given) = given.take()
        {
            // If nobody waits any more, that is as well.
            let _ = given.send(());
        }
    });
    parts.extensions = std::mem::take(carrier.extensions_mut());
}

/// One request, as it looks for a backend.
struct Courier<'a> {
    guest: &'a Arc<Guest>,
    asked: Asked,
    /// Whether it can be said again without harm.
    is_repeatable: bool,
    has_upgrade: bool,
}

/// What came of one try.
enum Tried {
    /// It goes on with this.
    Answered(Box<(Response<Incoming>, Leg)>),
    /// The request has not been seen by anybody.
    Unsent(Box<Request<Upload>>, Refusal),
    /// It may have been.
    Lost(Refusal),
}

impl Courier<'_> {
    async fn go(
        &self,
        parts: Parts,
        upload: Upload,
        open: Open,
    ) -> Result<Response<Answer>, Refusal> {
        let web = &self.guest.web;
        let pool = web.pool(self.asked.host.as_deref());
        let mut search = pool.seek(self.guest.facts.peer.ip());
        let mut request = Request::from_parts(parts, upload);
        let mut told = false;
        let deadline = Instant::now() + web.timeouts.connect;
        let mut last = UNAVAILABLE;
        while let Some(visit) = search.next(Instant::now()) {
            let key = visit.key().clone();
            self.guest.goes_to(&key.target);
            if !std::mem::replace(&mut told, true) && key.identity != Identity::None {
                let told = self.guest.told();
                told.tell(self.asked.authority.as_ref(), request.headers_mut());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = if search.has_more(Instant::now()) { left / 2 } else { left };
            match self.with(visit, patience, request).await {
                Tried::Answered(answered) => {
                    let (response, leg) = *answered;
                    return self.answer(response, leg, &key, open);
                }
                Tried::Lost(why) => return Err(why),
                Tried::Unsent(unsent, why) => {
                    request = *unsent;
                    last = why;
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        pool.hurry();
        Err(last)
    }

    /// One backend. A connection that turns out to be closed is no answer: then it is tried again on
    /// a new one, if that can do no harm.
    async fn with(
        &self,
        visit: Visit,
        patience: std::time::Duration,
        mut request: Request<Upload>,
    ) -> Tried {
        let key = visit.key().clone();
        let mut visit = Some(visit);
        let shelf = self.shelf(&key);
        while let Some(mut leg) = shelf.take(&key, self.is_repeatable) {
            // One that is the client's own has been counted all the time.
            if leg.visit.is_none() {
                leg.visit = visit.take();
            }
            let again = self.is_repeatable.then(|| copy(&request));
            match self.send(leg, request).await {
                Tried::Unsent(unsent, _) => request = *unsent,
                Tried::Lost(why) => match again {
                    Some(copied) if why == BROKEN => request = copied,
                    _ => return Tried::Lost(why),
                },
                answered @ Tried::Answered(_) => return answered,
            }
            if visit.is_none() {
                break;
            }
        }
        let visit = match visit {
            Some(visit) => visit,
            // It went with the connection.
            None => match self
                .guest
                .web
                .pool(self.asked.host.as_deref())
                .seek(self.guest.facts.peer.ip())
                .next(Instant::now())
            {
                Some(visit) => visit,
                None => return Tried::Unsent(Box::new(request), UNAVAILABLE),
            },
        };
        match self.dial(visit, patience).await {
            Ok(leg) => self.send(leg, request).await,
            Err(why) => Tried::Unsent(Box::new(request), why),
        }
    }

    async fn send(&self, mut leg: Leg, request: Request<Upload>) -> Tried {
        let patience = self.guest.web.timeouts.http_response;
        match timeout(patience, leg.send(request)).await {
            Ok(Ok(response)) => {
                if let Some(visit) = &leg.visit {
                    visit.served();
                }
                Tried::Answered(Box::new((response, leg)))
            }
            Ok(Err(mut error)) => {
                let unsent = error.take_message();
                let error = error.into_error();
                tracing::debug!(id = %self.guest.facts.id, %error, "no answer from the backend");
                if let Some(visit) = leg.visit.as_ref().filter(|_| !leg.is_used && !error.is_user())
                {
                    visit.failed(&error);
                }
                match unsent {
                    // What the client sends is no body, or breaks off.
                    _ if error.is_user() => Tried::Lost(fault(&error)),
                    Some(unsent) => Tried::Unsent(Box::new(unsent), BROKEN),
                    None => Tried::Lost(BROKEN),
                }
            }
            Err(_) => Tried::Lost(LATE),
        }
    }

    /// A new connection, on which nothing has been said yet but who the client is.
    async fn dial(&self, visit: Visit, patience: std::time::Duration) -> Result<Leg, Refusal> {
        let (guest, key) = (self.guest, visit.key());
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
        let link = match timeout(web.timeouts.greeting, securing).await {
            Ok(Ok(Secured::Ready(link, _))) => link,
            Ok(Ok(Secured::Refused(_))) => return Err(failed("it refuses TLS".to_owned())),
            Ok(Err(why)) => return Err(failed(why.to_string())),
            Err(_) => return Err(failed("it does not come to TLS in time".to_owned())),
        };
        Leg::begin(link, visit).await.map_err(|_| BROKEN)
    }

    /// Where connections to this backend wait: one that was announced as this client's is nobody
    /// else's.
    fn shelf(&self, key: &Key) -> &Arc<Shelf> {
        if key.identity.is_announced() { &self.guest.had.own } else { &self.guest.shelf }
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        leg: Leg,
        key: &Key,
        open: Open,
    ) -> Result<Response<Answer>, Refusal> {
        let (mut parts, body) = response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(parts.headers, leg);
        }
        fields::take_hop_by_hop(&mut parts.headers);
        parts.version = Version::HTTP_11;
        // hyper's own, of which nobody else knows anything.
        parts.extensions.clear();
        let way = Way { leg, key: key.clone(), home: self.shelf(key).clone() };
        let patience = self.guest.web.timeouts.http_response;
        let way = if body.is_end_stream() { way.home() } else { Some(way) };
        let body = match way {
            None => Answer::EMPTY,
            Some(way) => Answer::Backends(Box::new(Download::new(body, way, patience, open))),
        };
        Ok(Response::from_parts(parts, body))
    }

    /// The backend speaks something else from now on: what this client has asked for.
    fn switch(&self, headers: HeaderMap, leg: Leg) -> Result<Response<Answer>, Refusal> {
        let to = fields::upgrade(&headers).filter(|_| self.has_upgrade).ok_or(BROKEN)?;
        let (link, inbox, visit) = leg.into_parts();
        let visit = visit.ok_or(BROKEN)?;
        self.guest.switch(Switched { link, inbox, visit });
        let mut response = Response::new(Answer::EMPTY);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        fields::take_hop_by_hop(response.headers_mut());
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, to);
        Ok(response)
    }
}

/// Says who the client is, where the backend is told before anything else.
async fn introduce(mut link: Link, key: &Key, facts: &Facts) -> io::Result<Link> {
    use tokio::io::AsyncWriteExt;

    let mut facts = facts.clone();
    if let Some(tls) = &mut facts.tls {
        // What is spoken with the backend, which may go by it.
        tls.alpn = Some(b"http/1.1".to_vec());
    }
    let header = key.identity.header(&facts);
    if !header.is_empty() {
        link.write_all(&header).await?;
    }
    Ok(link)
}

/// What is wrong with a request's body.
fn fault(error: &hyper::Error) -> Refusal {
    let is_slow =
        std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<TooSlow>);
    if is_slow { SLOW } else { CUT }
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
