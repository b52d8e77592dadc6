//! What backends are told of a client in header fields.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{
    HeaderMap, Version,
    header::{FORWARDED, HeaderName, HeaderValue, VIA},
};

use super::{Guest, judge};
use crate::identity::ClientCertificate;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CERT: HeaderName = HeaderName::from_static("client-cert");
const CERT_VERIFY: HeaderName = HeaderName::from_static("x-client-cert-verify");
const CERT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const CERT_ISSUER: HeaderName = HeaderName::from_static("x-client-cert-issuer");
const CERT_FINGERPRINT: HeaderName = HeaderName::from_static("x-client-cert-fingerprint");

/// What is the same in all requests of a client.
#[derive(Debug)]
pub(super) struct Told {
    client: HeaderValue,
    port: HeaderValue,
    proto: HeaderValue,
    /// RFC 7239: `for` and `proto`.
    forwarded: String,
    /// The host of the last request: most of a client's are for one.
    last: Mutex<Option<Arc<Host>>>,
    certificate: Vec<(HeaderName, HeaderValue)>,
    /// RFC 9110 §7.6.3: our name behind the version by which a request came.
    via: [HeaderValue; 3],
    /// Whether the client is a front, of which we believe what it says of its own client.
    pub(super) is_trusted: bool,
}

/// A host that requests are for.
#[derive(Debug)]
pub(super) struct Host {
    /// Host and port, as the client wrote them.
    pub(super) authority: HeaderValue,
    /// The host alone, in lower case, without brackets and the last dot.
    pub(super) name: String,
    /// RFC 7239: what is said with it.
    forwarded: HeaderValue,
}

/// So many fields are told of each client.
const FIELDS: usize = 5;

/// So many times may a request have passed this front: more, and it goes in a circle.
const MOST_ROUNDS: usize = 5;

impl Told {
    /// `der`: the certificate that the client has shown, if it was verified.
    pub(super) fn of(guest: &Guest) -> Self {
        let (peer, local) = (guest.facts.peer, guest.facts.local);
        let proto = if guest.facts.tls.is_some() { "https" } else { "http" };
        let client = guest.facts.tls.as_ref().map(|tls| tls.client.as_deref());
        let via = |version| value(&format!("{version} {}", guest.web.hostname));
        Self {
            client: value(&peer.ip().to_canonical().to_string()),
            port: value(&local.port().to_string()),
            proto: HeaderValue::from_static(proto),
            forwarded: format!("for={};proto={proto}", node(peer)),
            last: Mutex::default(),
            certificate: client.map_or_else(Vec::new, |c| certificate(c, guest.der.as_deref())),
            via: [via("1.0"), via("1.1"), via("2.0")],
            is_trusted: guest.web.rules.forwarded_from.iter().any(|net| net.contains(peer.ip())),
        }
    }

    /// Whether a request has been here too often.
    pub(super) fn goes_in_a_circle(&self, headers: &HeaderMap) -> bool {
        let ours = |name: &&str| name.as_bytes().eq_ignore_ascii_case(self.name());
        let names = headers.get_all(VIA).iter().flat_map(super::fields::tokens);
        let names = names.filter_map(|via| via.split_ascii_whitespace().nth(1));
        names.filter(ours).count() >= MOST_ROUNDS
    }

    /// Our name, as `Via` has it behind the version.
    fn name(&self) -> &[u8] {
        self.via[1].as_bytes().get("1.1 ".len()..).unwrap_or_default()
    }

    /// RFC 9110 §7.6.3: a gateway says that it was there.
    pub(super) fn via(&self, version: Version, headers: &mut HeaderMap) {
        let [http10, http11, http2] = &self.via;
        let via = match version {
            Version::HTTP_10 => http10,
            Version::HTTP_2 => http2,
            _ => http11,
        };
        headers.append(VIA, via.clone());
    }

    /// Tells of the client. What it said itself is out of the way, unless it is a front: then ours
    /// comes behind it.
    pub(super) fn tell(&self, host: Option<&Host>, headers: &mut HeaderMap) {
        headers.reserve(FIELDS + self.certificate.len());
        headers.append(FOR, self.client.clone());
        for (name, value) in [
            (PROTO, Some(&self.proto)),
            (PORT, Some(&self.port)),
            (HOST, host.map(|host| &host.authority)),
        ] {
            // Of the way from its own client to it, a front knows more than we.
            if let Some(value) = value
                && !(self.is_trusted && headers.contains_key(&name))
            {
                headers.insert(name, value.clone());
            }
        }
        headers.append(
            FORWARDED,
            host.map_or_else(|| value(&self.forwarded), |host| host.forwarded.clone()),
        );
        for (name, value) in &self.certificate {
            headers.insert(name, value.clone());
        }
    }

    /// The host of `host[:port]`; `None`: it is none.
    pub(super) fn host(&self, authority: &str) -> Option<Arc<Host>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = &*last
            && host.authority == authority
        {
            return Some(host.clone());
        }
        let name = judge::host(authority)?;
        // RFC 7239 §4: a token needs no quotes; a colon makes it no token.
        let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let quote = if authority.bytes().all(is_fit) { "" } else { "\"" };
        let forwarded = value(&format!("{};host={quote}{authority}{quote}", self.forwarded));
        let authority = HeaderValue::from_str(authority).ok()?;
        let host = Arc::new(Host { authority, name, forwarded });
        *last = Some(host.clone());
        Some(host)
    }
}

/// RFC 7239 §6: an IPv6 address in brackets and quotes.
fn node(peer: SocketAddr) -> String {
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

/// RFC 9440 for the certificate itself, and its names in words. Of one that was not verified, anybody
/// may be the author: nothing is said of it but that.
fn certificate(
    client: Option<&ClientCertificate>,
    der: Option<&[u8]>,
) -> Vec<(HeaderName, HeaderValue)> {
    let Some(client) = client else { return Vec::new() };
    if let Err(why) = &client.verified {
        return vec![(CERT_VERIFY, value(&format!("FAILED: {why}")))];
    }
    let mut all = vec![(CERT_VERIFY, HeaderValue::from_static("SUCCESS"))];
    let words = [
        (CERT_SUBJECT, &client.subject),
        (CERT_ISSUER, &client.issuer),
        (CERT_FINGERPRINT, &client.fingerprint),
    ];
    // Of a certificate that a front before us has seen, only that is known. A name that is cut, which alone
    // is not in ASCII, could be taken for another that begins so.
    let known = words.into_iter().filter(|(_, text)| !text.is_empty() && text.is_ascii());
    all.extend(known.map(|(name, text)| (name, value(text))));
    // RFC 8941 §3.3.5.
    all.extend(der.map(|der| (CERT, value(&format!(":{}:", base64(der))))));
    all
}

/// A field's value. What a certificate says may be anything: what does not fit is written as `?`.
fn value(text: &str) -> HeaderValue {
    let fit = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let text: String = text.chars().map(fit).collect();
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// RFC 4648 §4.
pub(super) fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, n| {
            bits << 8 | u32::from(group.get(n).copied().unwrap_or_default())
        });
        for n in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * n)) as usize & 63];
            text.push(if n <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_rfc_4648() {
        for (octets, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(octets.as_bytes()), text);
        }
    }

    #[test]
    fn an_address_is_a_node_by_the_book() {
        assert_eq!(node("192.0.2.1:1".parse().unwrap()), "192.0.2.1");
        assert_eq!(node("[::ffff:192.0.2.1]:1".parse().unwrap()), "192.0.2.1");
        assert_eq!(node("[2001:db8::1]:1".parse().unwrap()), "\"[2001:db8::1]\"");
    }
}
