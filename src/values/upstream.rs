//! How backends are reached inside TLS.

use std::{fmt, path::PathBuf, str::FromStr};

/// What is wanted of the TLS to a backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendTls {
    /// When it begins.
    pub mode: BackendTlsMode,
    /// The name that its certificate must be for; `None`: its address.
    pub name: Option<String>,
    /// Whom it is believed.
    pub trust: BackendTrust,
    /// The certificate that we show, and the file with its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// When TLS to a backend begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackendTlsMode {
    /// Before the protocol.
    Implicit,
    /// When we have asked for it.
    Starttls,
}

impl fmt::Display for BackendTlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Implicit => "implicit",
            Self::Starttls => "starttls",
        })
    }
}

/// By what a backend's certificate is verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackendTrust {
    /// By the authorities in these files and folders.
    Files(Vec<PathBuf>),
    /// It is one of these, or has one of these keys: nothing else of it counts.
    Pinned(Vec<Fingerprint>),
    /// By the authorities that this machine trusts.
    System,
}

/// SHA-256 over a certificate, or over its SubjectPublicKeyInfo: `sha256:` and 64 hexadecimal digits,
/// with colons between the octets or without.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Whether this is it, in hexadecimal and in lower case.
    #[must_use]
    pub fn is(&self, digest: &str) -> bool {
        self.0 == digest
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no fingerprint: write sha256: and 64 hexadecimal digits, as openssl x509 -noout -fingerprint -sha256 prints them"
            )
        };
        let digits = text.trim().strip_prefix("sha256:").ok_or_else(wrong)?.replace(':', "");
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        Ok(Self(digits.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_prints_them() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [format!("sha256:{plain}"), format!("sha256:{colons}")] {
            assert!(text.parse::<Fingerprint>().unwrap().is(&plain), "{text}");
        }
        for wrong in [plain.clone(), format!("sha1:{plain}"), "sha256:abc".into()] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}
