//! A request on its way to a backend: what belongs to the client's connection is taken out, and what we say
//! is put in.

use std::sync::Arc;

use hyper::{
    Method, Request, StatusCode, Version,
    body::Body,
    header::{CONNECTION, EXPECT, HOST, HeaderValue, TE, UPGRADE},
    http::request::Parts,
};

use super::{
    Guest,
    answer::Refusal,
    courier::{BROKEN, Courier},
    fields, framing,
    guest::Open,
    told::{Host, Told},
    upload::Upload,
};

const CIRCLE: Refusal = Refusal::new(StatusCode::LOOP_DETECTED, "This goes in a circle.\n");

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
    let (came_by, is_empty) = (parts.version, upload.is_end_stream());
    let is_http11 = came_by == Version::HTTP_11;
    let upgrade = if is_http11 { fields::upgrade(&parts.headers) } else { None };
    let waits = is_http11 && !is_empty && fields::expects_consent(&parts.headers);
    let takes_trailers = fields::take_hop_by_hop(&mut parts.headers);
    fields::take_fronts_words(&mut parts.headers, told.is_trusted);
    fields::gather_cookies(&mut parts.headers);
    told.via(came_by, &mut parts.headers);
    parts.version = Version::HTTP_11;
    if takes_trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if host.is_none() {
        // RFC 9112 §3.2: a request without one has to have one all the same.
        parts.headers.insert(HOST, HeaderValue::from_str(&guest.web.hostname).map_err(|_| BROKEN)?);
    }
    if let Some(upgrade) = &upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
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
