//! Answers of our own.

use hyper::{
    Response, StatusCode,
    body::Bytes,
    ext::ReasonPhrase,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
    http::Extensions,
};

use super::body::Answer;

/// Why a request is not passed on, or what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// What the client is told.
    pub(super) text: &'static str,
}

impl Refusal {
    pub(super) const fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, text }
    }

    /// Whether a request was none by the book.
    pub(super) fn is_clients_fault(&self) -> bool {
        [StatusCode::BAD_REQUEST, StatusCode::NOT_IMPLEMENTED].contains(&self.status)
    }

    pub(super) const fn bad(text: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

/// What a backend says cannot be passed on, or is nothing.
pub(super) const BROKEN: Refusal =
    Refusal::new(StatusCode::BAD_GATEWAY, "The server does not answer as it should.\n");

/// Seconds until a backend that is down is worth another try: by then it has been probed again.
const RETRY: HeaderValue = HeaderValue::from_static("10");

impl From<Refusal> for Response<Answer> {
    fn from(refusal: Refusal) -> Self {
        let mut response = text(refusal.status, "text/plain; charset=utf-8", refusal.text);
        if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY);
        }
        response
    }
}

/// Of all that hyper says besides of an answer, only the words behind its status are for the client: hyper
/// has them where they are not the usual ones, and none of its own for statuses that it does not know.
pub(super) fn keep_reason(status: StatusCode, extensions: &mut Extensions) {
    const NONE: ReasonPhrase = ReasonPhrase::from_static(b"");
    let said = extensions.remove::<ReasonPhrase>().filter(|said| *said != NONE);
    extensions.clear();
    if let Some(said) = said.or_else(|| status.canonical_reason().is_none().then_some(NONE)) {
        extensions.insert(said);
    }
}

/// A short text.
pub(super) fn text(
    status: StatusCode,
    kind: &'static str,
    text: impl Into<Bytes>,
) -> Response<Answer> {
    let text: Bytes = text.into();
    let mut response = Response::new(Answer::Ours(Some(text).filter(|text| !text.is_empty())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    if !status.is_success() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
