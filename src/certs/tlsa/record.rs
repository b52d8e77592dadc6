//! One TLSA record.

use std::{fmt, str::FromStr};

use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use crate::certs::{
    Name,
    digest::{hex, sha256, sha512, unhex},
    x509::Parsed,
};

/// Whole certificates in DNS are rare, and DNS ends at 64 KiB.
const LONGEST: usize = 0xffff;

/// What a record is about: the port and the host in its name, `_25._tcp.mail.example.org`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// The host, in lower case, without the dot at the end.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Service {
    /// Whether these records speak of SMTP between servers, for which RFC 7672 has rules of its own.
    #[must_use]
    pub fn is_smtp(&self) -> bool {
        self.port == 25
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "_{}._tcp.{}.", self.port, self.host)
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not _PORT._tcp.HOST, such as _25._tcp.mail.example.org.");
        let mut labels = text.splitn(3, '.');
        let (port, protocol, host) = (labels.next(), labels.next(), labels.next());
        let port = port.and_then(|p| p.strip_prefix('_')?.parse().ok()).ok_or_else(wrong)?;
        if !protocol.is_some_and(|p| p.eq_ignore_ascii_case("_tcp")) {
            return Err(wrong());
        }
        match host.map(str::parse) {
            Some(Ok(Name::Dns(host))) if !host.starts_with('*') => Ok(Self { host, port }),
            Some(Err(why)) => Err(why),
            _ => Err(wrong()),
        }
    }
}

/// What the certificate association means: RFC 6698 §2.1.1, with the names of RFC 7218.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Usage {
    /// 0: an authority that the client trusts anyway.
    PkixTa,
    /// 1: a leaf that the client trusts anyway.
    PkixEe,
    /// 2: an authority, which need not be known to the client.
    DaneTa,
    /// 3: the leaf.
    DaneEe,
}

/// What of the certificate is compared: RFC 6698 §2.1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Selector {
    /// 0: all of it.
    Certificate,
    /// 1: its SubjectPublicKeyInfo.
    Key,
}

/// How it is compared: RFC 6698 §2.1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Matching {
    /// 0: octet by octet.
    Full,
    /// 1: by its SHA-256.
    Sha256,
    /// 2: by its SHA-512.
    Sha512,
}

/// A TLSA record (RFC 6698).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(try_from = "String")]
pub struct Record {
    /// What it is about.
    pub service: Service,
    /// What it means.
    pub(super) usage: Usage,
    /// What is compared.
    pub(super) selector: Selector,
    /// How it is compared.
    pub(super) matching: Matching,
    /// What it is compared with.
    pub(super) data: Vec<u8>,
}

impl Record {
    /// The record `3 1 1` of a SubjectPublicKeyInfo (DER): the form that RFC 7671 §5.1 and RFC 7672
    /// §3.1.1 recommend. It outlives renewals that keep the key.
    #[must_use]
    pub fn of_key(service: Service, spki: &[u8]) -> Self {
        let (usage, selector, matching) = (Usage::DaneEe, Selector::Key, Matching::Sha256);
        Self { service, usage, selector, matching, data: sha256(spki) }
    }

    /// What it means, as its number: RFC 6698 §2.1.1.
    #[must_use]
    pub fn usage(&self) -> u8 {
        self.usage as u8
    }

    /// Whether clients can use it for this service: RFC 7672 §3.1.3 leaves usages 0 and 1 out of SMTP.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !(self.service.is_smtp() && matches!(self.usage, Usage::PkixTa | Usage::PkixEe))
    }

    /// Whether a client that is shown this chain, the leaf first, finds what the record promises.
    ///
    /// A root that the chain leaves out can be found only where the record holds all of it, or of
    /// its key (RFC 7671 §5.2.2, §5.2.3).
    #[must_use]
    pub fn matches(&self, chain: &[CertificateDer<'_>]) -> bool {
        match (self.usage, chain) {
            (_, []) => false,
            (Usage::DaneEe | Usage::PkixEe, [leaf, ..]) => self.is_of(leaf),
            (Usage::DaneTa | Usage::PkixTa, [_, issuers @ ..]) => {
                issuers.iter().any(|issuer| self.is_of(issuer)) || self.has_signed(chain)
            }
        }
    }

    /// Whether it would match any leaf with this SubjectPublicKeyInfo (DER).
    #[must_use]
    pub fn is_of_key(&self, spki: &[u8]) -> bool {
        self.usage == Usage::DaneEe && self.selector == Selector::Key && self.holds(spki)
    }

    fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        match self.selector {
            Selector::Certificate => self.holds(certificate),
            Selector::Key => match Parsed::new(&certificate.clone().into_owned()) {
                Ok(parsed) => self.holds(&parsed.spki),
                Err(_) => false,
            },
        }
    }

    fn holds(&self, compared: &[u8]) -> bool {
        match self.matching {
            Matching::Full => compared == self.data,
            Matching::Sha256 => sha256(compared) == self.data,
            Matching::Sha512 => sha512(compared) == self.data,
        }
    }

    /// Whether it holds the authority that the chain ends under.
    fn has_signed(&self, chain: &[CertificateDer<'_>]) -> bool {
        let parsed = |der: &CertificateDer<'_>| Parsed::new(&der.clone().into_owned()).ok();
        let Some(last) = chain.last().and_then(parsed) else { return false };
        match (self.matching, self.selector) {
            (Matching::Full, Selector::Key) => last.is_signed_by(&self.data),
            (Matching::Full, Selector::Certificate) => {
                parsed(&CertificateDer::from(self.data.as_slice()))
                    .is_some_and(|root| root.is_named_issuer_of(&last) && root.signed(&last))
            }
            _ => false,
        }
    }

    /// Its content, as zone files write it: `3 1 1 0d6f…`.
    #[must_use]
    pub fn content(&self) -> String {
        let (usage, selector, matching) =
            (self.usage as u8, self.selector as u8, self.matching as u8);
        format!("{usage} {selector} {matching} {}", hex(&self.data))
    }

    /// Understands the words behind `TLSA`.
    pub(super) fn parse(service: Service, words: &[&str]) -> Result<Self, String> {
        let [usage, selector, matching, data @ ..] = words else {
            return Err("a usage, a selector, a matching type and hexadecimal digits are wanted: TLSA 3 1 1 0d6f…".to_owned());
        };
        let usage = match usage.parse() {
            Ok(0) => Usage::PkixTa,
            Ok(1) => Usage::PkixEe,
            Ok(2) => Usage::DaneTa,
            Ok(3) => Usage::DaneEe,
            _ => return Err(format!("`{usage}` is no usage: 3 (the leaf) or 2 (its authority)")),
        };
        let selector = match selector.parse() {
            Ok(0) => Selector::Certificate,
            Ok(1) => Selector::Key,
            _ => {
                return Err(format!(
                    "`{selector}` is no selector: 1 (the key) or 0 (the certificate)"
                ));
            }
        };
        let (matching, length) = match matching.parse() {
            Ok(0) => (Matching::Full, None),
            Ok(1) => (Matching::Sha256, Some(32)),
            Ok(2) => (Matching::Sha512, Some(64)),
            _ => {
                return Err(format!(
                    "`{matching}` is no matching type: 1 (SHA-256), 2 (SHA-512) or 0 (all of it)"
                ));
            }
        };
        let data = data.concat();
        let Some(data) = unhex(&data).filter(|data| data.len() <= LONGEST) else {
            return Err("what follows the three numbers is not hexadecimal".to_owned());
        };
        match length {
            Some(length) if data.len() != length => Err(format!(
                "the digest is {} octets long, and it takes {length}: is it cut off?",
                data.len()
            )),
            None if data.is_empty() => Err("there is nothing to compare with".to_owned()),
            _ => Ok(Self { service, usage, selector, matching, data }),
        }
    }

    /// Understands the content in the form of RFC 3597 §5: `\# 35 030101…`.
    pub(super) fn parse_generic(service: Service, words: &[&str]) -> Result<Self, String> {
        let octets = match words {
            ["\\#", length, data @ ..] => unhex(&data.concat())
                .filter(|octets| length.parse() == Ok(octets.len()) && octets.len() >= 3),
            _ => None,
        };
        let Some(octets) = octets else {
            return Err("TYPE52 is followed by \\#, a length and hexadecimal digits".to_owned());
        };
        let numbers: Vec<String> = octets[..3].iter().map(ToString::to_string).collect();
        let data = hex(&octets[3..]);
        Self::parse(service, &[&numbers[0], &numbers[1], &numbers[2], &data])
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} IN TLSA {}", self.service, self.content())
    }
}

impl TryFrom<String> for Record {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Record {
    type Err = String;

    /// A line of a zone file, with the owner's whole name.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let mut zone = super::zone::parse(text);
        match (zone.records.pop(), zone.mistakes.pop()) {
            (_, Some((_, why))) => Err(why),
            (Some((_, record)), None) if zone.records.is_empty() => Ok(record),
            (Some(_), None) => Err("one record is wanted, and here are several".to_owned()),
            (None, None) => Err(format!(
                "`{text}` is not a TLSA record: _25._tcp.mail.example.org. IN TLSA 3 1 1 and hexadecimal digits"
            )),
        }
    }
}
