//! Distinguished names as strings: RFC 4514. Who decides by such a string can do so: two names that
//! differ are never one.

use x509_parser::{
    asn1_rs::{Any, Tag, ToDer},
    prelude::{FromDer, X509Certificate},
    x509::{AttributeTypeAndValue, X509Name},
};

/// The longest that is told, in octets. RFC 5280 has 64 letters for each part of a name, and a Greek one
/// takes six octets here.
const LONGEST: usize = 2048;

/// Stands behind what was longer, and nowhere else: all the rest is ASCII.
const CUT: char = '…';

/// The subject and the issuer of a certificate; `None`: it cannot be read.
pub(in crate::certs) fn subject_and_issuer(der: &[u8]) -> Option<(String, String)> {
    let (rest, cert) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then(|| (string(cert.subject()), string(cert.issuer())))
}

/// RFC 4514 §2.1: the last part first.
fn string(name: &X509Name<'_>) -> String {
    let mut text = Text::default();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (n, part) in parts.into_iter().rev().enumerate() {
        for (m, attribute) in part.iter().enumerate() {
            // RFC 4514 §2.2: some parts are several things at once.
            text.push(match (n, m) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => "+",
            });
            text.attribute(attribute);
        }
    }
    text.0
}

/// A string that grows by whole pieces, until one does not fit: no escape is cut in two.
#[derive(Default)]
struct Text(String);

impl Text {
    fn push(&mut self, piece: &str) {
        if self.0.ends_with(CUT) {
            return;
        }
        if self.0.len() + piece.len() > LONGEST {
            self.0.push(CUT);
        } else {
            self.0.push_str(piece);
        }
    }

    /// RFC 4514 §2.3.
    fn attribute(&mut self, attribute: &AttributeTypeAndValue<'_>) {
        let id = attribute.attr_type().to_id_string();
        let short = SHORT.iter().find(|(of, _)| *of == id).map(|(_, short)| *short);
        self.push(short.unwrap_or(&id));
        self.push("=");
        match short.and_then(|_| letters(attribute.attr_value())) {
            Some(value) => self.value(&value),
            None => self.octets(&attribute.attr_value().to_der_vec().unwrap_or_default()),
        }
    }

    /// RFC 4514 §2.4.
    fn value(&mut self, value: &str) {
        let last = value.chars().count().saturating_sub(1);
        for (n, c) in value.chars().enumerate() {
            // At its end a space would not outlive a field of HTTP, whatever stands before it.
            let is_inner_space = c == ' ' && (1..last).contains(&n);
            if "\"+,;<>\\".contains(c) || (c == '#' && n == 0) {
                self.push(&format!("\\{c}"));
            } else if c.is_ascii_graphic() || is_inner_space {
                self.push(c.encode_utf8(&mut [0; 4]));
            } else {
                let octets = c.to_string().into_bytes();
                let escapes = octets.iter().map(|octet| format!("\\{octet:02X}"));
                self.push(&escapes.collect::<String>());
            }
        }
    }

    /// What is no text: the whole of it, as it is encoded.
    fn octets(&mut self, der: &[u8]) {
        self.push("#");
        for octet in der {
            self.push(&format!("{octet:02X}"));
        }
    }
}

/// A value that is text in an encoding that leaves no doubt.
fn letters(value: &Any<'_>) -> Option<String> {
    if !value.header.is_universal() || value.header.is_constructed() {
        return None;
    }
    let text = std::str::from_utf8(value.data);
    match value.tag() {
        Tag::Utf8String => text.ok().map(str::to_owned),
        Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString
        | Tag::T61String => text.ok().filter(|text| text.is_ascii()).map(str::to_owned),
        Tag::BmpString if value.data.len().is_multiple_of(2) => {
            let units = value.data.chunks_exact(2);
            let units = units.map(|unit| unit.iter().fold(0, |all, b| all << 8 | u16::from(*b)));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// RFC 4514 §3, and what else OpenSSL has short names for and certificates of people have in them.
const SHORT: [(&str, &str); 14] = [
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn value(value: &str) -> String {
        let mut text = Text::default();
        text.value(value);
        text.0
    }

    #[test]
    fn values_as_in_rfc_4514() {
        for (plain, escaped) in [
            ("James \"Jim\" Smith, III", "James \\\"Jim\\\" Smith\\, III"),
            ("Before\rAfter", "Before\\0DAfter"),
            ("Lu\u{10d}i\u{107}", "Lu\\C4\\8Di\\C4\\87"),
            ("#a#", "\\#a#"),
            (" a b ", "\\20a b\\20"),
            (" ", "\\20"),
            ("a+b=<c>;\\\0", "a\\+b=\\<c\\>\\;\\\\\\00"),
            ("", ""),
        ] {
            assert_eq!(value(plain), escaped, "{plain:?}");
        }
    }

    #[test]
    fn what_is_no_text_in_no_doubt_is_told_as_octets() {
        let of = |tag, data: &'static [u8]| letters(&Any::from_tag_and_data(tag, data));
        assert_eq!(of(Tag::Utf8String, "ä".as_bytes()).as_deref(), Some("ä"));
        assert_eq!(of(Tag::BmpString, &[0, b'a', 0, 0xe4]).as_deref(), Some("aä"));
        assert_eq!(of(Tag::T61String, b"a").as_deref(), Some("a"));
        for (tag, data) in [
            (Tag::Utf8String, &[0xe4][..]),
            (Tag::BmpString, &[0, b'a', 0]),
            (Tag::BmpString, &[0xd8, 0]),
            (Tag::T61String, "ä".as_bytes()),
            (Tag::OctetString, b"a"),
        ] {
            assert_eq!(of(tag, data), None, "{tag:?} {data:?}");
        }
    }

    #[test]
    fn a_cut_leaves_escapes_whole() {
        for n in 0..6 {
            let long = value(&format!("{}{}", "a".repeat(n), "ä".repeat(LONGEST)));
            let escapes = long.strip_suffix(CUT).unwrap().trim_start_matches('a');
            assert!(LONGEST - long.trim_end_matches(CUT).len() < 6, "{n}");
            assert_eq!(escapes, "\\C3\\A4".repeat(escapes.len() / 6), "{n}");
        }
    }
}
