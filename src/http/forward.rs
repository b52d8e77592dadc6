//! A request on its way to a backend: what belongs to the client's connection is taken out, and what we say
//! is put in.

use std::sync::{Arc, atomic::Ordering};

use hyper::{
    Method, Request, StatusCode, Version,
    body::Body,
    header::{CONNECTION, EXPECT, HOST, HeaderValue, TE, UPGRADE},
    http::request::Parts,
};

use super::{
    Guest,
    answer::{BROKEN, Refusal},
    courier::Courier,
    fields, framing,
    guest::Open,
    told::{Host, Told},
    upload::Upload,
};

const CIRCLE: Refusal = Refusal::new(StatusCode::LOOP_DETECTED, "This goes in a circle.\n");

/// RFC 9110 §9.3.7: an answer to OPTIONS that has nothing to tell.
const LAST: Refusal = Refusal::new(StatusCode::NO_CONTENT, "");

/// To send back what came is to show what scripts should not see, as cookies.
const NO_MIRROR: Refusal =
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "This shows nobody what it was asked.\n");

/// Makes a request ready for any backend.
pub(super) fn prepare(
    guest: &Arc<Guest>,
    told: Arc<Told>,
    host: Option<Arc<Host>>,
    mut parts: Parts,
    mut upload: Upload,
    open: Open,
) -> Result<Courier, Refusal> {
    if told.goes_in_a_circle(&parts.headers) {
        return Err(CIRCLE);
    }
    if !fields::may_go_on(&parts.method, &mut parts.headers) {
        return Err(if parts.method == Method::TRACE { NO_MIRROR } else { LAST });
    }
    let (came_by, is_empty) = (parts.version, upload.is_end_stream());
    let is_http11 = came_by == Version::HTTP_11;
    let upgrade = if is_http11 { fields::upgrade(&parts.headers) } else { None };
    let waits = is_http11 && !is_empty && fields::expects_consent(&parts.headers);
    if fields::logs_a_connection_in(&parts.headers) {
        guest.had.logs_in.store(true, Ordering::Relaxed);
    }
    let takes_trailers = fields::take_hop_by_hop(&mut parts.headers);
    fields::take_fronts_words(&mut parts.headers, told.is_trusted);
    fields::gather_cookies(&mut parts.headers);
    told.via(came_by, &mut parts.headers);
    parts.version = Version::HTTP_11;
    if takes_trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(connection) = fields::connection(takes_trailers, upgrade.is_some()) {
        parts.headers.insert(CONNECTION, connection);
    }
    if host.is_none() {
        // RFC 9112 §3.2: a request without one has to have one all the same.
        parts.headers.insert(HOST, HeaderValue::from_str(&guest.web.hostname).map_err(|_| BROKEN)?);
    }
    if let Some(upgrade) = &upgrade {
        parts.headers.insert(UPGRADE, upgrade.clone());
    }
    framing::of_request(&mut parts, &upload);
    if waits {
        consent(&mut parts, upload.behind_consent());
    } else {
        parts.headers.remove(EXPECT);
    }
    Ok(Courier {
        guest: guest.clone(),
        is_repeatable: is_empty && is_idempotent(&parts.method),
        has_upgrade: upgrade.is_some(),
        moved: upload.moved(),
        request: Some(Request::from_parts(parts, upload)),
        again: None,
        told,
        host,
        open: Some(open),
    })
}

/// Whether to ask twice is to ask once: RFC 9110 §9.2.2, with the registry of methods that is kept for it.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE"
            // RFC 4918 §9, RFC 5323 §2; not LOCK.
            | "PROPFIND" | "PROPPATCH" | "MKCOL" | "COPY" | "MOVE" | "UNLOCK" | "SEARCH"
            // RFC 3253 §3 to §13, RFC 3744 §8, RFC 4791 §5.
            | "VERSION-CONTROL" | "REPORT" | "CHECKOUT" | "CHECKIN" | "UNCHECKOUT" | "MKWORKSPACE"
            | "UPDATE" | "LABEL" | "MERGE" | "BASELINE-CONTROL" | "MKACTIVITY" | "ACL" | "MKCALENDAR"
    )
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
