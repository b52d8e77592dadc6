//! Header fields that are one connection's affair, and those that only we may set.

use hyper::{
    HeaderMap, Method,
    header::{
        AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HeaderName, HeaderValue, MAX_FORWARDS, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
};

/// RFC 9110 §7.6.1, and what older clients and servers send.
static OF_A_CONNECTION: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// What `Connection` must not take away, whoever names it: the backend, or we, go by it.
const NOT_NAMED: [&str; 8] = [
    "content-length",
    "content-type",
    "cookie",
    "authorization",
    "expect",
    "host",
    "trailer",
    "via",
];

/// Takes out what belongs to the connection that a message came by: RFC 9110 §7.6.1. Whether the
/// sender would take trailers.
pub(super) fn take_hop_by_hop(headers: &mut HeaderMap) -> bool {
    // Most messages have one of these or none: to look once is cheaper than to look for each.
    let mut out: Vec<HeaderName> =
        headers.keys().filter(|name| OF_A_CONNECTION.contains(name)).cloned().collect();
    let takes_trailers = out.contains(&TE)
        && tokens_of(headers, TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    if out.contains(&CONNECTION) {
        let is_plain = |token: &&str| !["close", "keep-alive"].contains(token);
        let named = tokens_of(headers, CONNECTION).filter(is_plain);
        let named = named.filter_map(|token| token.parse().ok());
        out.extend(named.filter(|name: &HeaderName| !NOT_NAMED.contains(&name.as_str())));
    }
    for name in out {
        headers.remove(name);
    }
    takes_trailers
}

/// The members of all lists of this name.
pub(super) fn tokens_of(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().flat_map(tokens)
}

/// RFC 9113 §8.2.3: crumbs of a cookie are one cookie again where HTTP/1.1 is spoken.
pub(super) fn gather_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// The protocols that a message offers to switch to (RFC 9110 §7.8), where it does so by the book.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    if !tokens_of(headers, CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return None;
    }
    let mut offers = headers.get_all(UPGRADE).iter();
    let offer = offers.next().filter(|_| offers.next().is_none())?;
    // Of several, the backend may take any: none of them may be ours to speak. TLS inside of what
    // we have taken apart would be a door beside the door (RFC 2817), and h2c a way past all of this.
    let is_ours = |token: &str| {
        let name = token.split('/').next().unwrap_or_default();
        ["tls", "h2c", "h2", "http"].iter().any(|ours| name.eq_ignore_ascii_case(ours))
    };
    let mut tokens = tokens(offer);
    tokens.next().filter(|first| !is_ours(first))?;
    (!tokens.any(is_ours)).then(|| offer.clone())
}

/// Whether a request may go on to the next server, counting this one: RFC 9110 §7.6.2.
pub(super) fn may_go_on(method: &Method, headers: &mut HeaderMap) -> bool {
    if ![Method::OPTIONS, Method::TRACE].contains(method) {
        return true;
    }
    let Some(left) = headers.get(MAX_FORWARDS).and_then(number) else { return true };
    if left > 0 {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
    }
    left > 0
}

fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    // One with a sign is none.
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// What we say of our own connection to a backend: RFC 9110 §7.8 and §10.1.4.
pub(super) fn connection(has_te: bool, has_upgrade: bool) -> Option<HeaderValue> {
    let named = match (has_te, has_upgrade) {
        (true, true) => "upgrade, te",
        (true, false) => "te",
        (false, true) => "upgrade",
        (false, false) => return None,
    };
    Some(HeaderValue::from_static(named))
}

/// Whether the client waits for consent before it sends its body (RFC 9110 §10.1.1).
pub(super) fn expects_consent(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether a client logs in with a scheme that counts for the connection, and not for the request: NTLM
/// does, and Negotiate with it inside (RFC 4559 §6).
pub(super) fn logs_a_connection_in(headers: &HeaderMap) -> bool {
    let is_such = |value: &HeaderValue| {
        let scheme = value.as_bytes().split(|b| *b == b' ').next().unwrap_or_default();
        [&b"ntlm"[..], b"negotiate"].iter().any(|such| scheme.eq_ignore_ascii_case(such))
    };
    headers.get_all(AUTHORIZATION).iter().any(is_such)
}

/// Takes out what only a front may say, however a client spells it: many a backend reads `X_Real_IP`
/// and `X-Real-IP` as one (CGI, RFC 3875 §4.1.18). `is_trusted`: the client is a front as well, so
/// that what it says of its own client stays.
pub(super) fn take_fronts_words(headers: &mut HeaderMap, is_trusted: bool) {
    let is_out = |name: &HeaderName| {
        let name = name.as_str();
        let is_spelt_oddly = name.contains('_');
        let plain = if is_spelt_oddly { name.replace('_', "-") } else { String::new() };
        let plain = if is_spelt_oddly { plain.as_str() } else { name };
        if is_spelt_oddly && OF_FRAMING.contains(&plain) {
            return true;
        }
        if ALWAYS.contains(&plain) || plain.starts_with("x-client-cert") {
            return true;
        }
        let is_forwarding =
            plain == "forwarded" || plain == "x-real-ip" || plain.starts_with("x-forwarded-");
        is_forwarding && (is_spelt_oddly || !is_trusted)
    };
    let out: Vec<HeaderName> = headers.keys().filter(|name| is_out(name)).cloned().collect();
    for name in out {
        headers.remove(name);
    }
}

/// What must stand in a message's head, as servers go by it before they have seen the body, and may yet put
/// trailers among the fields of the head: RFC 9110 §6.5.1.
const OF_A_HEAD: [&str; 13] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "max-forwards",
    "set-cookie",
    "trailer",
    "via",
];

/// Takes out of trailers what must not be in them. A front before us says what it says in the head.
pub(super) fn take_from_trailers(trailers: &mut HeaderMap) {
    take_hop_by_hop(trailers);
    take_fronts_words(trailers, false);
    for name in OF_A_HEAD {
        trailers.remove(name);
    }
}

/// What decides where a request ends and whom it is for; with an underscore, some servers take it for the
/// real one.
const OF_FRAMING: [&str; 7] =
    ["connection", "content-length", "expect", "host", "te", "transfer-encoding", "upgrade"];

/// RFC 9440; credentials for a proxy, which we are not; and what CGI would take for `HTTP_PROXY`.
const ALWAYS: [&str; 5] =
    ["client-cert", "client-cert-chain", "proxy", "proxy-authenticate", "proxy-authorization"];

/// The members of a list (RFC 9110 §5.6.1).
pub(super) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value
        .to_str()
        .unwrap_or_default()
        .split(',')
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty())
}
