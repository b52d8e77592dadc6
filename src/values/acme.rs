//! What is wanted of a certificate authority that issues by itself (ACME, RFC 8555).

use std::{net::IpAddr, path::PathBuf};

/// The authority, the account with it, and what is ordered there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The address of its directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// That of its staging directory, where orders are tried out.
    pub staging: Option<String>,
    /// Certificates of authorities that its own web server is trusted by, besides the system's.
    pub trust: Option<PathBuf>,
    /// Where it writes to: `mailto:` addresses.
    pub contact: Vec<String>,
    /// Whether its terms have been agreed to, in so many words.
    pub agree_to_terms: bool,
    /// The account with it that ours is bound to (RFC 8555 §7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// Which of the certificates that it offers is wanted; `None`: the usual one.
    pub profile: Option<String>,
    /// How it finds out that a name is ours.
    pub challenge: Challenge,
    /// The names of each certificate.
    pub domains: Vec<Vec<String>>,
    /// The keys that each is ordered for.
    pub keys: Vec<OrderedKey>,
    /// What the next certificate's key is.
    pub next_key: NextKey,
    /// Where account and certificates are kept.
    pub folder: PathBuf,
}

/// Another account with the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its name there.
    pub key_id: String,
    /// The file with the key that the authority has given, in base64url.
    pub key_file: PathBuf,
}

/// How an authority finds out that a name is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// It asks on port 80 (RFC 8555 §8.3).
    Http01,
    /// It shakes hands on port 443 (RFC 8737).
    TlsAlpn01,
    /// It asks DNS (RFC 8555 §8.4), where this program puts the answer.
    Dns01 {
        /// The program.
        hook: PathBuf,
        /// How long it may take.
        timeout: std::time::Duration,
    },
}

impl Challenge {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 { .. } => "dns-01",
        }
    }
}

/// A kind of key that a certificate is ordered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderedKey {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA with 2048 bits.
    Rsa2048,
}

impl OrderedKey {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ecdsa => "ecdsa",
            Self::Rsa2048 => "rsa2048",
        }
    }
}

/// What the key of a renewed certificate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextKey {
    /// A new one.
    #[default]
    New,
    /// The one that it has: TLSA records stay right.
    Same,
    /// A new one that is made as soon as the certificate before it is there, so that its TLSA record
    /// can be published long before it is used.
    Staged,
}

/// The name of an identifier for tls-alpn-01: of an address, its name in DNS (RFC 8738 §6).
#[must_use]
pub fn server_name(identifier: &str) -> String {
    match identifier.parse() {
        Ok(IpAddr::V4(v4)) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(v6)) => {
            let digits =
                v6.octets().into_iter().rev().map(|o| format!("{:x}.{:x}.", o & 15, o >> 4));
            digits.chain(["ip6.arpa".to_owned()]).collect()
        }
        Err(_) => identifier.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::server_name;

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        assert_eq!(server_name("192.0.2.10"), "10.2.0.192.in-addr.arpa");
        let six = "0.".repeat(23) + "8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(server_name("2001:db8::").len(), six.len() + 2);
        assert!(server_name("2001:db8::1").starts_with("1.0.0.0."));
        assert!(server_name("2001:db8::1").ends_with(".8.b.d.0.1.0.0.2.ip6.arpa"));
        assert_eq!(server_name("mail.example.org"), "mail.example.org");
    }
}
