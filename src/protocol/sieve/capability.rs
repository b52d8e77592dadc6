//! The capability list (RFC 5804 §1.7), as a client may see it through us.

use super::syntax::{Token, push_string};
use crate::protocol::{Learned, Offer, line::timeless};

/// A capability's name, in upper case, and its value, if these tokens are one.
pub(super) fn parse(tokens: &[Token<'_>]) -> Option<(String, Option<String>)> {
    let text = |token: &Token<'_>| token.string().map(|s| String::from_utf8_lossy(s).into_owned());
    match tokens {
        [name] => Some((text(name)?.to_ascii_uppercase(), None)),
        [name, value] => Some((text(name)?.to_ascii_uppercase(), Some(text(value)?))),
        _ => None,
    }
}

/// Appends a capability as this client may see it, if it may.
pub(super) fn push(name: &str, value: Option<&str>, offer: Offer, out: &mut Vec<u8>) {
    let value = match name {
        // TLS is ours to begin; after UNAUTHENTICATE (RFC 5804 §2.14) nobody would read along.
        "STARTTLS" | "UNAUTHENTICATE" | "XCLIENT" => return,
        // RFC 5804 §1.7: it may be empty where STARTTLS is listed.
        "SASL" if !offer.login => Some(String::new()),
        "SASL" => value.map(without_channel_binding),
        "IMPLEMENTATION" => value.map(timeless),
        _ => value.map(str::to_owned),
    };
    push_string(name.as_bytes(), out);
    if let Some(value) = value {
        out.push(b' ');
        push_string(value.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends what we add to the list.
pub(super) fn push_own(offer: Offer, out: &mut Vec<u8>) {
    if offer.starttls {
        out.extend_from_slice(b"\"STARTTLS\"\r\n");
    }
}

/// What was learned, as this client may see it, up to and with the OK.
pub(super) fn list(learned: &Learned, offer: Offer, out: &mut Vec<u8>) {
    for capability in &learned.capabilities {
        let (name, value) = split(capability);
        push(name, value, offer, out);
    }
    push_own(offer, out);
    push_ok(&learned.banner, out);
}

/// Appends the OK behind a list.
pub(super) fn push_ok(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"OK ");
    push_string(timeless(text).as_bytes(), out);
    out.extend_from_slice(b"\r\n");
}

/// How a capability is kept among the learned: `NAME` or `NAME value`.
pub(super) fn join(name: &str, value: Option<&str>) -> String {
    value.map_or_else(|| name.to_owned(), |value| format!("{name} {value}"))
}

fn split(capability: &str) -> (&str, Option<&str>) {
    capability.split_once(' ').map_or((capability, None), |(name, value)| (name, Some(value)))
}

/// Channel binding (RFC 5802 §6) cannot survive a front that ends TLS.
fn without_channel_binding(mechanisms: &str) -> String {
    let kept =
        mechanisms.split_ascii_whitespace().filter(|m| !m.to_ascii_uppercase().ends_with("-PLUS"));
    kept.collect::<Vec<_>>().join(" ")
}
