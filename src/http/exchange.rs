//! One request and its answer.

use std::sync::Arc;

use hyper::{
    Request, Response, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue, STRICT_TRANSPORT_SECURITY},
};

use super::{
    Guest, answer::Refusal, body::Answer, clear, forward, guest::Open, judge::judge,
    streams::Progress, wellknown,
};

/// Answers a request.
pub(super) async fn exchange(
    guest: Arc<Guest>,
    progress: Option<Arc<Progress>>,
    request: Request<Incoming>,
) -> Response<Answer> {
    let is_h2 = request.version() == Version::HTTP_2;
    let answered = respond(&guest, Open::new(&guest, progress), request).await;
    // Who frames requests in ways of its own may have meant another end of this one.
    let is_distrusted = answered.as_ref().is_err_and(Refusal::is_clients_fault);
    let mut response = answered.unwrap_or_else(Response::from);
    if is_distrusted && !is_h2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let (Some(hsts), Some(_)) = (guest.web.rules.hsts, &guest.facts.tls)
        && let Ok(value) = HeaderValue::try_from(format!("max-age={}", hsts.as_secs()))
    {
        // RFC 6797 §7.2: never in clear.
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
    }
    response
}

/// It reads top to bottom: what nobody may ask, what we answer ourselves, what a backend does.
async fn respond(
    guest: &Arc<Guest>,
    open: Open,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Refusal> {
    let (mut parts, mut body) = request.into_parts();
    let asked = judge(guest, &mut parts)?;
    if let Some(answer) = clear::challenge(guest, &parts) {
        return Ok(answer);
    }
    if let Some(answer) = wellknown::answer(guest, &asked, &parts, &mut body).await {
        return Ok(answer);
    }
    if guest.facts.tls.is_none()
        && let Some(answer) = clear::redirect(guest, &asked, &parts.uri)
    {
        return answer;
    }
    forward::forward(guest, asked, parts, body, open).await
}
