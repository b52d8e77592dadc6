//! Whether a certificate is for the server that was asked for: RFC 9525.

use std::{fmt, net::IpAddr};

use rustls::pki_types::ServerName;

/// What a client wants to reach, and looks for in the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// RFC 9525 §6.4: the address itself, in a SAN of that kind.
    Address(IpAddr),
    /// RFC 9525 §6.3: a DNS name, in lower case and without a dot at its end.
    Name(String),
}

impl Reference {
    /// Reads a host as people write it. The error says what is wrong with it.
    pub fn new(host: &str) -> Result<Self, String> {
        if let Ok(address) = host.parse() {
            return Ok(Self::Address(address));
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if !name.is_ascii() {
            return Err(format!("{host:?}: TLS wants internationalised names as xn--…"));
        }
        match ServerName::try_from(name.as_str()) {
            Ok(ServerName::DnsName(_)) => Ok(Self::Name(name)),
            _ => Err(format!("{host:?} is no host name and no address")),
        }
    }

    /// What goes into the handshake; an address is not sent (RFC 6066 §3).
    pub fn server_name(&self) -> Result<ServerName<'static>, String> {
        match self {
            Self::Address(address) => Ok(ServerName::from(*address)),
            Self::Name(name) => ServerName::try_from(name.clone()).map_err(|e| e.to_string()),
        }
    }

    /// The name or address among these that it is found in. Names are in lower case.
    pub(super) fn found_in(&self, names: &[String], addresses: &[IpAddr]) -> Option<String> {
        match self {
            Self::Address(address) => addresses.contains(address).then(|| address.to_string()),
            Self::Name(name) => names.iter().find(|presented| covers(presented, name)).cloned(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// RFC 9525 §6.3: a wildcard is the whole of the first label and stands for one label.
fn covers(presented: &str, name: &str) -> bool {
    match presented.strip_prefix("*.") {
        Some(domain) => name.split_once('.').is_some_and(|(_, rest)| rest == domain),
        None => presented == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_by_the_book() {
        let names = ["mail.example.org", "*.example.net"].map(str::to_owned);
        for (asked, found) in [
            ("mail.example.org", Some("mail.example.org")),
            ("MAIL.example.org.", Some("mail.example.org")),
            ("mx.example.net", Some("*.example.net")),
            ("a.mx.example.net", None),
            ("example.net", None),
            ("example.org", None),
        ] {
            let asked = Reference::new(asked).unwrap();
            assert_eq!(asked.found_in(&names, &[]).as_deref(), found, "{asked}");
        }
    }

    #[test]
    fn an_address_is_no_name() {
        let asked = Reference::new("192.0.2.1").unwrap();
        assert_eq!(asked.found_in(&["192.0.2.1".to_owned()], &[]), None);
        assert!(asked.found_in(&[], &["192.0.2.1".parse().unwrap()]).is_some());
    }

    #[test]
    fn what_is_neither_is_told() {
        for wrong in ["", "a b", "-", "mäil.example.org", "a..b", "[::1]"] {
            assert!(Reference::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
