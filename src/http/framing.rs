//! How messages say where they end, made plain: what two readers could read in two ways goes on in one.

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Body,
    header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING},
    http::{request, response},
};

use super::fields;

/// Methods whose requests are expected to have a body (RFC 9110 §8.6): that there is none is said.
const WITH_CONTENT: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];

/// Whether there is no transfer coding but chunked, once: RFC 9112 §6.1. hyper has made sure of the rest
/// of a request: one length, or chunks at the end.
pub(super) fn is_known(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Says of a request how long it is, where hyper would not: it leaves out a body without a length that
/// comes with GET, and that there is none with POST.
pub(super) fn of_request(parts: &mut request::Parts, body: &impl Body) {
    if body.is_end_stream() {
        if WITH_CONTENT.contains(&parts.method) && !parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
    } else if body.size_hint().exact().is_none() {
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// How far a backend's answer can be trusted to end where it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The next answer comes behind it.
    Whole,
    /// What comes behind it may be a part of it.
    Once,
    /// It cannot be passed on.
    None,
}

/// Leaves an answer one length, or none: RFC 9112 §6.3, RFC 9110 §8.6.
pub(super) fn of_answer(parts: &mut response::Parts) -> Trust {
    if !is_known(&parts.headers) {
        return Trust::None;
    }
    let headers = &mut parts.headers;
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next().cloned() else { return Trust::Whole };
    let is_plain = lengths.next().is_none() && first.as_bytes().iter().all(u8::is_ascii_digit);
    let has_none = parts.status == StatusCode::NO_CONTENT || parts.status.is_informational();
    if has_none || headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
        return if has_none && first == "0" { Trust::Whole } else { Trust::Once };
    }
    if is_plain {
        return Trust::Whole;
    }
    let Some(length) = one_of(fields::tokens_of(headers, CONTENT_LENGTH)) else {
        return Trust::None;
    };
    headers.insert(CONTENT_LENGTH, length.into());
    Trust::Whole
}

/// The number that all of these are.
fn one_of<'a>(mut numbers: impl Iterator<Item = &'a str>) -> Option<u64> {
    let first = numbers.next().filter(|first| first.bytes().all(|b| b.is_ascii_digit()))?;
    numbers.all(|other| other == first).then(|| first.parse().ok())?
}

#[cfg(test)]
mod tests {
    use hyper::Response;

    use super::*;

    /// The length that is left, and the trust.
    fn of(status: u16, fields: &[(&'static str, &'static str)]) -> (Trust, Option<String>) {
        let (mut parts, ()) = Response::builder().status(status).body(()).unwrap().into_parts();
        for (name, value) in fields {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        let trust = of_answer(&mut parts);
        let lengths = parts.headers.get_all(CONTENT_LENGTH).iter().count();
        assert!(trust == Trust::None || lengths <= 1);
        let length = parts.headers.get(CONTENT_LENGTH).map(|l| l.to_str().unwrap().to_owned());
        (trust, length)
    }

    #[test]
    fn an_answer_has_one_length_or_none() {
        let length = |value| ("content-length", value);
        let coding = |value| ("transfer-encoding", value);
        let some = |text: &str| Some(text.to_owned());
        for (status, fields, expected) in [
            (200, vec![], (Trust::Whole, None)),
            (200, vec![length("3")], (Trust::Whole, some("3"))),
            (200, vec![length("3, 3")], (Trust::Whole, some("3"))),
            (200, vec![length("3"), length("3")], (Trust::Whole, some("3"))),
            (200, vec![length("3"), coding("chunked")], (Trust::Once, None)),
            (204, vec![length("0")], (Trust::Whole, None)),
            (204, vec![length("3")], (Trust::Once, None)),
            (304, vec![length("3")], (Trust::Whole, some("3"))),
        ] {
            assert_eq!(of(status, &fields), expected, "{status} {fields:?}");
        }
        for fields in [
            vec![length("3, 4")],
            vec![length("3"), length("4")],
            vec![length("3x")],
            vec![length("-3")],
            vec![coding("gzip, chunked")],
            vec![coding("gzip")],
            vec![coding("chunked"), coding("chunked")],
        ] {
            assert_eq!(of(200, &fields).0, Trust::None, "{fields:?}");
        }
    }
}
