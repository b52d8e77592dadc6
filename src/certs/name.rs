//! A name that a certificate can be asked for: checked before anything is made of it.

use std::{fmt, net::IpAddr, str::FromStr};

/// RFC 1035 §2.3.4, as text and without the dot at the end.
const LONGEST: usize = 253;

/// A host name in lower case, a wildcard, or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A host name, or one whose first label is `*`: the one form that RFC 9525 §6.3 knows.
    Dns(String),
    /// An address.
    Address(IpAddr),
}

impl FromStr for Name {
    type Err = String;

    /// Errors name what was written, and what is wanted.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.trim_matches(&['[', ']'][..]).parse() {
            return Ok(Self::Address(address));
        }
        let wrong = |why: &str| Err(format!("`{text}` cannot be in a certificate: {why}"));
        if !text.is_ascii() {
            return wrong(
                "an internationalised name is wanted as its A-labels, which begin with xn-- (`idn2` writes them)",
            );
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        if host.contains('*') {
            return wrong(
                "a wildcard stands for the whole first label, and there is one: *.example.org (RFC 9525 §6.3)",
            );
        }
        if name.len() > LONGEST {
            return wrong("it is longer than 253 octets (RFC 1035 §2.3.4)");
        }
        if host.len() < name.len() && !host.contains('.') {
            return wrong("a wildcard for a whole top-level domain is not accepted by anybody");
        }
        let labels = || host.split('.');
        if labels().any(str::is_empty) {
            return wrong("a label is empty");
        }
        if labels().any(|label| label.len() > 63) {
            return wrong("a label is longer than 63 octets (RFC 1035 §2.3.4)");
        }
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if labels().any(|l| l.starts_with('-') || l.ends_with('-') || !l.bytes().all(is_letter)) {
            return wrong(
                "a host name is made of letters, digits and, inside its labels, hyphens (RFC 1123 §2.1)",
            );
        }
        if labels().next_back().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit())) {
            return wrong("it looks like an address, and is none");
        }
        Ok(Self::Dns(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts_wildcards_and_addresses() {
        for (text, name) in [
            ("Mail.Example.ORG.", "mail.example.org"),
            ("*.example.org", "*.example.org"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("localhost", "localhost"),
            ("1.mx.example.org", "1.mx.example.org"),
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:DB8::1]", "2001:db8::1"),
        ] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_reason() {
        let label = "a".repeat(64);
        let long = format!("{}.example.org", vec!["a".repeat(63); 4].join("."));
        for (text, why) in [
            ("bücher.example", "xn--"),
            ("*", "a wildcard stands for"),
            ("*.*.example.org", "a wildcard stands for"),
            ("m*.example.org", "a wildcard stands for"),
            ("mail.*.org", "a wildcard stands for"),
            ("*.org", "top-level"),
            ("", "empty"),
            ("a..b", "empty"),
            (".example.org", "empty"),
            (label.as_str(), "63 octets"),
            (long.as_str(), "253 octets"),
            ("-a.example.org", "hyphens"),
            ("a_b.example.org", "hyphens"),
            ("a b.example.org", "hyphens"),
            ("a\0b.example.org", "hyphens"),
            ("you@example.org", "hyphens"),
            ("192.0.2.300", "looks like an address"),
        ] {
            let said = text.parse::<Name>().unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
