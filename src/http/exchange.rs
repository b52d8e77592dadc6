//! One request and its answer.

use std::sync::Arc;

use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{HeaderValue, STRICT_TRANSPORT_SECURITY},
};

use super::{Guest, answer::Refusal, body::Answer, forward, guest::Open, judge::judge};

/// Answers a request. It reads top to bottom.
pub(super) async fn exchange(guest: Arc<Guest>, request: Request<Incoming>) -> Response<Answer> {
    let open = Open::new(&guest);
    let (mut parts, body) = request.into_parts();
    let is_h2 = parts.version == Version::HTTP_2;
    let asked = match judge(&guest, &mut parts) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.into(),
    };
    let answered = forward::forward(&guest, asked, parts, body, open).await;
    let mut response = answered.unwrap_or_else(Response::from);
    if let (Some(hsts), Some(_)) = (guest.web.rules.hsts, &guest.facts.tls)
        && let Ok(value) = HeaderValue::try_from(format!("max-age={}", hsts.as_secs()))
    {
        // RFC 6797 §7.2: never in clear.
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
    }
    if is_h2 && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // RFC 9113 §8.6: there is no such answer there.
        let text = "The server switches protocols, which nobody asked for.\n";
        return Refusal::new(StatusCode::BAD_GATEWAY, text).into();
    }
    response
}
