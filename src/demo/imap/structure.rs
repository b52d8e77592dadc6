//! ENVELOPE and BODYSTRUCTURE (RFC 3501 §7.4.2).

use super::{put, put_nstring, put_string};
use crate::demo::message::{Part, Value, addresses, field};

pub(super) fn envelope(message: &Part<'_>, out: &mut Vec<u8>) {
    let text = |name| field(message.header, name);
    put(out, "(");
    put_nstring(out, text("Date").as_deref());
    put(out, " ");
    put_nstring(out, text("Subject").as_deref());
    let from = text("From").unwrap_or_default();
    for name in ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"] {
        // RFC 3501 §7.4.2: Sender and Reply-To fall back to From.
        let fallback = if matches!(name, "Sender" | "Reply-To") { &*from } else { "" };
        let value = text(name).filter(|value| !value.is_empty());
        put(out, " ");
        put_addresses(value.as_deref().unwrap_or(fallback), out);
    }
    for name in ["In-Reply-To", "Message-ID"] {
        put(out, " ");
        put_nstring(out, text(name).as_deref());
    }
    put(out, ")");
}

pub(super) fn body(part: &Part<'_>, extended: bool, out: &mut Vec<u8>) {
    let (kind, subtype) = part.media.name.split_once('/').unwrap_or(("text", "plain"));
    put(out, "(");
    if part.is_multipart() {
        for child in &part.children {
            body(child, extended, out);
        }
        put(out, " ");
        put_string(out, subtype.as_bytes());
        if extended {
            put(out, " ");
            put_parameters(&part.media, out);
        }
    } else {
        put_string(out, kind.as_bytes());
        put(out, " ");
        put_string(out, subtype.as_bytes());
        put(out, " ");
        put_parameters(&part.media, out);
        for name in ["Content-ID", "Content-Description"] {
            put(out, " ");
            put_nstring(out, field(part.header, name).as_deref());
        }
        let encoding = field(part.header, "Content-Transfer-Encoding");
        put(out, " ");
        put_string(out, encoding.as_deref().unwrap_or("7bit").as_bytes());
        put(out, format!(" {}", part.body.len()));
        if let Some(message) = part.message() {
            put(out, " ");
            envelope(message, out);
            put(out, " ");
            body(message, extended, out);
        }
        if kind == "text" || part.message().is_some() {
            put(out, format!(" {}", memchr::memchr_iter(b'\n', part.body).count()));
        }
        if extended {
            put(out, " ");
            put_nstring(out, field(part.header, "Content-MD5").as_deref());
        }
    }
    if extended {
        put(out, " ");
        match field(part.header, "Content-Disposition").map(|text| Value::parse(&text)) {
            Some(disposition) => {
                put(out, "(");
                put_string(out, disposition.name.as_bytes());
                put(out, " ");
                put_parameters(&disposition, out);
                put(out, ")");
            }
            None => put(out, "NIL"),
        }
        for name in ["Content-Language", "Content-Location"] {
            put(out, " ");
            put_nstring(out, field(part.header, name).as_deref());
        }
    }
    put(out, ")");
}

fn put_parameters(value: &Value, out: &mut Vec<u8>) {
    if value.parameters.is_empty() {
        return put(out, "NIL");
    }
    for (n, (key, value)) in value.parameters.iter().enumerate() {
        put(out, if n == 0 { "(" } else { " " });
        put_string(out, key.as_bytes());
        put(out, " ");
        put_string(out, value.as_bytes());
    }
    put(out, ")");
}

fn put_addresses(value: &str, out: &mut Vec<u8>) {
    let list = addresses(value);
    if list.is_empty() {
        return put(out, "NIL");
    }
    put(out, "(");
    for address in list {
        put(out, "(");
        put_nstring(out, address.name.as_deref());
        // The source route, which nobody writes any more.
        put(out, " NIL ");
        put_nstring(out, address.local.as_deref());
        put(out, " ");
        put_nstring(out, address.host.as_deref());
        put(out, ")");
    }
    put(out, ")");
}
