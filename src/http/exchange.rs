//! One request and its answer.

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
};

use hyper::{
    Request, Response, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue, STRICT_TRANSPORT_SECURITY},
};

use super::{
    Guest,
    answer::Refusal,
    body::Answer,
    clear,
    courier::Courier,
    forward,
    guest::Open,
    judge::judge,
    streams::Progress,
    upload::Upload,
    wellknown::{self, Ours},
};

/// An answer that is on its way, as hyper wants it.
pub(super) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

/// What becomes of a request.
enum Course {
    /// It is answered.
    Answered(Response<Answer>),
    /// Its body tells what the answer is.
    Read(Upload, Open),
    /// It goes to a backend.
    Goes(Box<Courier>),
}

/// Answers a request. What can be said of it without waiting is found at once: what waits then carries
/// no more than it needs.
pub(super) fn exchange(
    guest: &Arc<Guest>,
    progress: Option<Arc<Progress>>,
    request: Request<Incoming>,
) -> Answering {
    let frame = Frame { is_h2: request.version() == Version::HTTP_2, guest: guest.clone() };
    match respond(guest, Open::new(guest, progress), request) {
        Err(refusal) => Box::pin(ready(Ok(frame.around(Err(refusal))))),
        Ok(Course::Answered(answer)) => Box::pin(ready(Ok(frame.around(Ok(answer))))),
        Ok(Course::Read(upload, open)) => Box::pin(async move {
            let _open = open;
            Ok(frame.around(wellknown::read(&frame.guest.web, upload).await))
        }),
        Ok(Course::Goes(mut courier)) => {
            Box::pin(async move { Ok(frame.around(courier.go().await)) })
        }
    }
}

/// It reads top to bottom: what nobody may ask, what we answer ourselves, what a backend does.
fn respond(guest: &Arc<Guest>, open: Open, request: Request<Incoming>) -> Result<Course, Refusal> {
    let (mut parts, body) = request.into_parts();
    let upload = Upload::new(body, parts.version, guest.web.timeouts.http_body);
    let told = guest.told();
    let host = judge(guest, &told, &mut parts)?;
    if let Some(answer) = clear::challenge(guest, &parts) {
        return Ok(Course::Answered(answer));
    }
    match wellknown::answer(guest, host.as_deref(), &parts) {
        Some(Ours::Answer(answer)) => return Ok(Course::Answered(answer)),
        Some(Ours::InBody) => return Ok(Course::Read(upload, open)),
        None => {}
    }
    if guest.facts.tls.is_none()
        && let Some(answer) = clear::redirect(guest, host.as_deref(), &parts.uri)
    {
        return answer.map(Course::Answered);
    }
    forward::prepare(guest, told, host, parts, upload, open).map(Box::new).map(Course::Goes)
}

/// What is the same around all answers of a connection.
struct Frame {
    guest: Arc<Guest>,
    is_h2: bool,
}

impl Frame {
    fn around(&self, answered: Result<Response<Answer>, Refusal>) -> Response<Answer> {
        // Who frames requests in ways of its own may have meant another end of this one.
        let is_distrusted = answered.as_ref().is_err_and(Refusal::is_clients_fault);
        let mut response = answered.unwrap_or_else(Response::from);
        if is_distrusted && !self.is_h2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let (Some(hsts), Some(_)) = (self.guest.web.rules.hsts, &self.guest.facts.tls)
            && let Ok(value) = HeaderValue::try_from(format!("max-age={}", hsts.as_secs()))
        {
            // RFC 6797 §7.2: never in clear.
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
        }
        response
    }
}
