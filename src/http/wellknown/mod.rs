//! What mail servers and mail programs ask of a mail domain's web host, answered from our own listeners
//! and names: it cannot disagree with what is served.

mod apple;
mod autoconfig;
mod autodiscover;
mod mta_sts;

use hyper::{
    Method, Response, StatusCode,
    header::{ALLOW, HeaderValue},
    http::request::Parts,
};

use super::{Guest, Web, answer, answer::Refusal, body::Answer, told::Host, upload::Upload};
use crate::protocol::Protocol;

/// A listener that mail programs can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// IMAP, POP3 or submission.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Whether TLS comes first; else it is begun with STARTTLS.
    pub is_implicit: bool,
}

/// What is ours to answer.
pub(super) enum Ours {
    /// With this.
    Answer(Response<Answer>),
    /// With what [`read`] makes of the request's body.
    InBody,
}

/// Answers what is ours to answer; `None`: it is the backend's.
pub(super) fn answer(guest: &Guest, host: Option<&Host>, request: &Parts) -> Option<Ours> {
    let shown = |kind, text: &dyn Fn() -> String| Some(Ours::Answer(shown(request, kind, text)));
    let (web, path) = (&guest.web, request.uri.path());
    let rules = &web.rules;
    let host = host?.name.as_str();
    if let Some(policy) = &rules.mta_sts
        && host.starts_with("mta-sts.")
        && path == mta_sts::PATH
    {
        return shown("text/plain", &|| mta_sts::text(policy));
    }
    if rules.autoconfig && autoconfig::is_path(host, path) {
        let domain = domain(host);
        return shown("text/xml; charset=utf-8", &|| autoconfig::text(web, domain));
    }
    if rules.apple_profile && path == apple::PATH {
        let email = email(request.uri.query().unwrap_or_default());
        let kind = "application/x-apple-aspen-config; charset=utf-8";
        return shown(kind, &|| apple::text(web, domain(host), email.as_deref()));
    }
    if rules.autodiscover && path.eq_ignore_ascii_case(autodiscover::PATH) {
        if request.method != Method::POST {
            return Some(Ours::Answer(not_allowed("POST")));
        }
        return Some(Ours::InBody);
    }
    None
}

/// Answers what is asked for in this body.
pub(super) async fn read(web: &Web, mut body: Upload) -> Result<Response<Answer>, Refusal> {
    let text = autodiscover::answer(web, &mut body).await?;
    Ok(answer::text(StatusCode::OK, "text/xml; charset=utf-8", text))
}

fn shown(request: &Parts, kind: &'static str, text: &dyn Fn() -> String) -> Response<Answer> {
    if [Method::GET, Method::HEAD].contains(&request.method) {
        answer::text(StatusCode::OK, kind, text())
    } else {
        not_allowed("GET, HEAD")
    }
}

fn not_allowed(allowed: &'static str) -> Response<Answer> {
    let text = "This can be asked for in another way.\n";
    let mut response: Response<_> = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text).into();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The mail domain that a host speaks for.
fn domain(host: &str) -> &str {
    let services = ["autoconfig.", "autodiscover.", "mail.", "imap.", "www."];
    let inner = services.iter().find_map(|service| host.strip_prefix(service));
    inner.filter(|domain| domain.contains('.')).unwrap_or(host)
}

/// The host for a domain's mail: its own, where the configuration knows of one, or ours.
fn mail_host(web: &Web, domain: &str) -> String {
    let own = ["mail", "imap"].map(|service| format!("{service}.{domain}"));
    own.into_iter().find(|name| web.knows(name)).unwrap_or_else(|| web.hostname.clone())
}

/// The address in `email=` or `emailaddress=`, if it is one that can be written down.
fn email(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| {
        pair.strip_prefix("email=").or_else(|| pair.strip_prefix("emailaddress="))
    })?;
    decoded(value).filter(|address| is_address(address))
}

/// RFC 3986 §2.1; `None`: there is a percent sign with nothing behind it, or what comes out is no text. A
/// plus is one, and no space as forms have it: addresses have the one and not the other.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut octets = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        // `from_str_radix` takes signs as well.
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        octets.push(u8::from_str_radix(digits, 16).ok()?);
        octets.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(octets).ok()
}

/// Whether this is a mail address as nearly all are (RFC 5321 §4.1.2, without quotes).
fn is_address(text: &str) -> bool {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    text.len() <= 254
        && text.split_once('@').is_some_and(|(local, domain)| {
            (1..=64).contains(&local.len())
                && local.bytes().all(is_fit)
                && super::judge::host(domain).is_some()
        })
}

/// Text in XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_written_down() {
        assert_eq!(email("email=a%40example.org").as_deref(), Some("a@example.org"));
        assert_eq!(email("x=y&emailaddress=a@b.example").as_deref(), Some("a@b.example"));
        assert_eq!(email("email=%61%26b%27+c%40b.example").as_deref(), Some("a&b'+c@b.example"));
        for wrong in [
            "",
            "email=",
            "email=a",
            "email=a@",
            "email=<a>@b.example",
            "email=a@b\"c",
            "email=a%4",
            "email=a%40b%",
            "email=a%+4b@c",
            "email=%ff@b.example",
            "email=a%00@b.example",
        ] {
            assert_eq!(email(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_domain_is_what_is_left_of_its_services() {
        assert_eq!(domain("autoconfig.example.org"), "example.org");
        assert_eq!(domain("example.org"), "example.org");
        assert_eq!(domain("mail.org"), "mail.org");
    }
}
