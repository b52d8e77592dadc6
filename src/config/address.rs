//! Where a backend is: an address, a host name, a Unix socket.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use crate::values::{Site, Target};

/// A backend's address as it is written. Without a port, that follows from the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Ip(IpAddr),
    Socket(SocketAddr),
    Unix(PathBuf),
    Host { name: String, port: Option<u16> },
}

impl Address {
    /// Whether the port follows from the protocol.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Ip(_) | Self::Host { port: None, .. })
    }

    /// Whether it is on this machine, and has no name that a certificate could be for.
    pub(super) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// The place itself, with this port where it has none.
    pub(super) fn site(&self, usual: u16) -> Site {
        match self {
            Self::Ip(ip) => Site::At(Target::Tcp(SocketAddr::new(*ip, usual))),
            Self::Socket(address) => Site::At(Target::Tcp(*address)),
            Self::Unix(path) => Site::At(Target::Unix(path.clone())),
            Self::Host { name, port } => {
                Site::Host { name: name.clone(), port: port.unwrap_or(usual) }
            }
        }
    }
}

/// Reads an address. The error says what was wanted.
pub(super) fn address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:").or_else(|| text.starts_with('/').then_some(text))
    {
        let path = PathBuf::from(path);
        return if path.is_absolute() { Ok(Address::Unix(path)) } else { Err(wrong(text)) };
    }
    if let Ok(socket) = text.parse() {
        return Ok(Address::Socket(socket));
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Ok(Address::Ip(ip));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().map_err(|_| wrong(text))?)),
        None => (text, None),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if !is_host_name(&name) {
        return Err(wrong(text));
    }
    Ok(Address::Host { name, port })
}

fn wrong(text: &str) -> String {
    format!(
        "`{text}` is not an address: write 10.0.0.5, 10.0.0.5:143, [2001:db8::5]:143, mail.example.org, mail.example.org:143 or unix:/path"
    )
}

/// RFC 1123 §2.1, and the underscore that container names have. A name whose last label is a number
/// is an address with a mistake in it.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names_and_from_mistakes() {
        let host = |name: &str, port| Ok(Address::Host { name: name.into(), port });
        assert_eq!(address("mail.example.org"), host("mail.example.org", None));
        assert_eq!(address("Dovecot_1.:993"), host("dovecot_1", Some(993)));
        assert_eq!(address("localhost:143"), host("localhost", Some(143)));
        assert_eq!(address("::1"), Ok(Address::Ip("::1".parse().unwrap())));
        assert_eq!(address("[::1]"), Ok(Address::Ip("::1".parse().unwrap())));
        assert_eq!(address("/run/x"), Ok(Address::Unix("/run/x".into())));
        for wrong in [
            "",
            ".",
            "10.0.0.500",
            "10.0.0.5:99999",
            "10.0.0",
            "mail.example.org:",
            "mail..org",
            "mail example",
            "a:b",
            "[mail]:25",
            "unix:run/x",
            "http://mail.example.org",
            "mail.example.org:25:26",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
