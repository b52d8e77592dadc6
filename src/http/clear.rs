//! Requests without TLS: certificate authorities are answered, everybody else is sent to https.

use hyper::{
    HeaderMap, Method, Response, StatusCode, Uri,
    header::{HeaderValue, LOCATION},
    http::request::Parts,
};

use super::{Guest, answer, answer::Refusal, body::Answer, told::Host, web::Clear};

/// RFC 8555 §8.3.
const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// The answer to an authority that looks whether a name is ours; `None`: there is none, so that
/// somebody behind us may have it.
pub(super) fn challenge(guest: &Guest, request: &Parts) -> Option<Response<Answer>> {
    let token = request.uri.path().strip_prefix(CHALLENGE)?;
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        return None;
    }
    let words = guest.challenges.http(token)?;
    let words = words.as_bytes().to_vec();
    Some(answer::text(StatusCode::OK, "application/octet-stream", words))
}

/// Where a request in clear is sent; `None`: on, as it is.
pub(super) fn redirect(
    guest: &Guest,
    host: Option<&Host>,
    uri: &Uri,
) -> Option<Result<Response<Answer>, Refusal>> {
    let Clear::Redirect { port } = guest.web.clear else { return None };
    if uri.path().starts_with(CHALLENGE) {
        return Some(Err(Refusal::new(StatusCode::NOT_FOUND, "There is no such challenge.\n")));
    }
    // Whoever writes a link to us must not choose where it leads: only to what is ours.
    let is_ours =
        |name: &&str| guest.web.knows(name) || guest.tls.load().certificates().covers(name);
    let Some(host) = host.map(|host| host.name.as_str()).filter(is_ours) else {
        let text = "There is no such host here.\n";
        return Some(Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, text)));
    };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    // RFC 9112 §3.3: what is asked of the server as a whole has no path.
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).trim_start_matches('*');
    let Ok(location) = HeaderValue::from_str(&format!("https://{host}{port}{path}")) else {
        return Some(Err(Refusal::bad("The request's target is not one.\n")));
    };
    let mut response = Response::new(Answer::EMPTY);
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(LOCATION, location);
    Some(Ok(response))
}
