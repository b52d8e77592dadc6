//! The names that a certificate is for: RFC 5280 §4.2.1.6.

use std::net::IpAddr;

use x509_parser::{asn1_rs::Tag, extensions::GeneralName, prelude::X509Certificate};

use super::printable;

/// What a certificate says of itself.
pub(super) struct Names {
    /// What clients can ask for, in lower case.
    pub usable: Vec<String>,
    /// What they cannot.
    pub others: Vec<String>,
    pub has_san: bool,
}

impl Names {
    pub(super) fn of(cert: &X509Certificate<'_>) -> Self {
        let mut names = Self { usable: Vec::new(), others: Vec::new(), has_san: true };
        match cert.subject_alternative_name() {
            Ok(Some(san)) => san.value.general_names.iter().for_each(|name| names.add(name)),
            Err(_) => names.others.push("(subject alternative names that cannot be read)".into()),
            Ok(None) => {
                names.has_san = false;
                let cn = cert.subject().iter_common_name().next().and_then(|cn| cn.as_str().ok());
                names.usable.extend(cn.and_then(dns_name));
            }
        }
        names
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => match dns_name(name) {
                Some(name) => self.usable.push(name),
                None => self.others.push(format!("DNS:{}", printable(name.chars()))),
            },
            // In no known encoding, so most likely in Latin-1.
            GeneralName::Invalid(Tag(2), octets) => {
                let chars = octets.iter().map(|&octet| char::from(octet));
                self.others.push(format!("DNS:{}", printable(chars)));
            }
            GeneralName::IPAddress(octets) => self.others.push(match address(octets) {
                Some(address) => format!("IP:{address}"),
                None => format!("IP:{octets:02x?}"),
            }),
            // Mail addresses and the like are not for us.
            GeneralName::RFC822Name(_) | GeneralName::URI(_) | GeneralName::OtherName(..) => {}
            other => self.others.push(format!("{other:?}").escape_default().to_string()),
        }
    }
}

/// The address that stands so among the other names.
pub(super) fn to_address(other: &str) -> Option<IpAddr> {
    other.strip_prefix("IP:")?.parse().ok()
}

/// The addresses among the SANs.
pub(super) fn addresses(cert: &X509Certificate<'_>) -> Vec<IpAddr> {
    match cert.subject_alternative_name() {
        Ok(Some(san)) => {
            let octets = san.value.general_names.iter().filter_map(|name| match name {
                GeneralName::IPAddress(octets) => Some(octets),
                _ => None,
            });
            octets.filter_map(|octets| address(octets)).collect()
        }
        _ => Vec::new(),
    }
}

/// 4 octets or 16.
fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// A name that a client could ask for, or a wildcard in the one form that RFC 9525 §6.3 knows.
fn dns_name(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let host = name.strip_prefix("*.").unwrap_or(&name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    (host.len() <= 253 && host.split('.').all(is_label)).then_some(name)
}
