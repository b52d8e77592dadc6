//! What no backend must see, and which host a request is for.

use std::sync::Arc;

use hyper::{Method, StatusCode, Uri, Version, header::HOST, http::request::Parts};

use super::{
    Guest,
    answer::Refusal,
    framing,
    told::{Host, Told},
};

/// Looks a request over, and leaves it in the form in which it goes on: a path, and one `Host`. The host
/// that it is for; `None`: HTTP/1.0 need not say.
pub(super) fn judge(
    guest: &Guest,
    told: &Told,
    request: &mut Parts,
) -> Result<Option<Arc<Host>>, Refusal> {
    if request.method == Method::CONNECT {
        // RFC 9110 §9.3.6: that is for proxies which clients have been told of.
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "This is no proxy.\n"));
    }
    if !framing::is_known(&request.headers) {
        // RFC 9112 §6.1: what we do not know, we cannot take off.
        let text = "There is no transfer coding here but chunked.\n";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    if request.headers.values().any(|value| is_padded(value.as_bytes())) {
        // RFC 9113 §8.2.1: a malformed request. HTTP/1.1 has taken the spaces for its own.
        return Err(Refusal::bad("There are spaces around a value.\n"));
    }
    let authority = authority(request)?;
    let host = authority.map(|authority| told.host(authority).ok_or(NO_HOST)).transpose()?;
    request.uri = target(&request.uri, &request.method)?;
    if let Some(host) = &host {
        request.headers.insert(HOST, host.authority.clone());
    }
    if is_misdirected(guest, host.as_deref().map(|host| host.name.as_str())) {
        // RFC 9110 §15.5.20: the client comes again, on a connection of its own.
        let text = "This connection is not for that host.\n";
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, text));
    }
    Ok(host)
}

fn is_padded(value: &[u8]) -> bool {
    [value.first(), value.last()].into_iter().flatten().any(|octet| b" \t".contains(octet))
}

const NO_HOST: Refusal = Refusal::bad("The host is not a host.\n");

/// RFC 9112 §3.2, RFC 9113 §8.3.1.
fn authority(request: &Parts) -> Result<Option<&str>, Refusal> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Refusal::bad("There are two Hosts.\n"));
    }
    let target = request.uri.authority();
    let is_h2 = request.version == Version::HTTP_2;
    // HTTP/1.1 has one even where the target says the same; HTTP/2 has `:authority` instead.
    let is_wanted = request.version == Version::HTTP_11 || (is_h2 && target.is_none());
    if host.is_none() && is_wanted {
        return Err(Refusal::bad("There is no Host.\n"));
    }
    let Some(target) = target else {
        return host.map(|host| host.to_str().map_err(|_| NO_HOST)).transpose();
    };
    let target = target.as_str();
    if is_h2 && host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(target.as_bytes())) {
        return Err(Refusal::bad("There are two hosts.\n"));
    }
    // RFC 9112 §3.2.2: in absolute form, the target counts and Host does not.
    Ok(Some(target))
}

/// The request's target as servers expect it: RFC 9112 §3.2.1 and §3.2.4.
fn target(uri: &Uri, method: &Method) -> Result<Uri, Refusal> {
    const ODD: Refusal = Refusal::bad("The request's target is not one.\n");
    if let Some(scheme) = uri.scheme_str() {
        if !["http", "https"].contains(&scheme) {
            return Err(ODD);
        }
    } else if uri.authority().is_some() {
        return Err(ODD);
    }
    let path = uri.path_and_query().ok_or(ODD)?;
    let is_fit =
        path.as_str().starts_with('/') || (path.as_str() == "*" && *method == Method::OPTIONS);
    if !is_fit {
        return Err(ODD);
    }
    let mut parts = hyper::http::uri::Parts::default();
    parts.path_and_query = Some(path.clone());
    Uri::from_parts(parts).map_err(|_| ODD)
}

/// The host of `host[:port]`, in lower case, without brackets and the last dot: RFC 3986 §3.2.2.
pub(super) fn host(authority: &str) -> Option<String> {
    let (host, rest) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        (address, rest)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let (host, rest) = authority.split_at(end);
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_fit);
        let is_host = host.len() <= 253 && host.split('.').all(is_label);
        (is_host.then_some(host)?, rest)
    };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => {}
        Some("") => {}
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse::<u16>().ok()?;
        }
        _ => return None,
    }
    Some(host.to_ascii_lowercase())
}

/// Whether a request is for a host that this connection does not stand for.
///
/// Who asked for a name in the handshake may ask for what the certificate covers, as browsers do that
/// reuse a connection (RFC 9113 §9.1.1). Who asked for none took what there was, and may ask for all;
/// but nobody gets around what a name wants of its clients.
fn is_misdirected(guest: &Guest, host: Option<&str>) -> bool {
    let Some(tls) = &guest.facts.tls else { return false };
    // In the handshake with a front before us, it was shown another certificate than ours.
    let sni = tls.sni.as_deref().filter(|_| guest.ends_tls);
    if host.is_none() || host == sni {
        return false;
    }
    let server = guest.tls.load();
    if !server.asks_the_same(sni, host, guest.web.client_certificates.as_ref()) {
        return true;
    }
    let (Some(_), Some(host)) = (sni, host) else { return false };
    match guest.shown.as_ref().and_then(std::sync::Weak::upgrade) {
        Some(certificate) => !covers(certificate.names(), host),
        // It has been replaced since.
        None => !server.certificates().covers(host),
    }
}

/// RFC 9525 §6.3: exact, or a wildcard for the first label.
fn covers(names: &[String], host: &str) -> bool {
    let parent = host.split_once('.').map(|(_, parent)| parent);
    names.iter().any(|name| {
        name == host || name.strip_prefix("*.").is_some_and(|rest| Some(rest) == parent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_perhaps_a_port() {
        for (authority, expected) in [
            ("Mail.Example.ORG", "mail.example.org"),
            ("mail.example.org.", "mail.example.org"),
            ("mail.example.org:8443", "mail.example.org"),
            ("mail.example.org:", "mail.example.org"),
            ("192.0.2.1:443", "192.0.2.1"),
            ("[2001:DB8::1]:443", "2001:db8::1"),
            ("a_b.example", "a_b.example"),
        ] {
            assert_eq!(host(authority).as_deref(), Some(expected), "{authority}");
        }
        for wrong in [
            "",
            ".",
            "a..b",
            "a..",
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a:99999",
            "[::1",
            "[x]",
            "[::1]x",
            "a,b",
            "a:1:2",
            "a\"b",
            "ä.example",
            "a#b",
            "a?b",
            "%61",
        ] {
            assert_eq!(host(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn targets_become_paths() {
        let of = |uri: &str, method| target(&uri.parse().unwrap(), &method).map(|u| u.to_string());
        assert_eq!(of("/a?b", Method::GET).unwrap(), "/a?b");
        assert_eq!(of("//a/b", Method::GET).unwrap(), "//a/b");
        assert_eq!(of("http://a.example", Method::GET).unwrap(), "/");
        assert_eq!(of("https://a.example/x", Method::GET).unwrap(), "/x");
        assert_eq!(of("*", Method::OPTIONS).unwrap(), "*");
        for (odd, method) in
            [("*", Method::GET), ("a.example:443", Method::GET), ("ftp://a/", Method::GET)]
        {
            assert!(of(odd, method).is_err(), "{odd}");
        }
    }
}
