//! What is wrong with a file or a certificate: a stable code, how bad it is, and words to mend it by.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use serde::{Serialize, Serializer};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, and nothing is wrong.
    Note,
    /// It is served all the same.
    Warning,
    /// It is not served. What was served in its place before goes on.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What can be wrong. The numbers never change their meaning: scripts and `lint:` name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "`TABLE` says it")]
pub enum Code {
    KeyMismatch,
    KeyEncrypted,
    NoKey,
    Unreadable,
    Damaged,
    NotPem,
    ChainIncomplete,
    SignatureWrong,
    PrivateAuthority,
    SelfSigned,
    Expired,
    NotYetValid,
    ExpiresSoon,
    KeyExposed,
    WeakKey,
    Sha1,
    NoSan,
    NameUnusable,
    DuplicateName,
    NameNotCovered,
    NothingThere,
    PreviousKept,
    TlsaMismatch,
    OrderFailed,
    OrderPending,
}

/// What the default policy does about each, in the order of the numbers.
const TABLE: [(Code, &str, Severity); 25] = [
    (Code::KeyMismatch, "the key does not match", Severity::Error),
    (Code::KeyEncrypted, "the key is encrypted", Severity::Error),
    (Code::NoKey, "there is no key", Severity::Error),
    (Code::Unreadable, "the file cannot be read", Severity::Error),
    (Code::Damaged, "the file is damaged", Severity::Error),
    (Code::NotPem, "the file is not PEM", Severity::Error),
    (Code::ChainIncomplete, "the chain is not complete", Severity::Warning),
    (Code::SignatureWrong, "the issuer's signature is wrong", Severity::Warning),
    (Code::PrivateAuthority, "the authority is a private one", Severity::Note),
    (Code::SelfSigned, "it is self-signed", Severity::Warning),
    (Code::Expired, "it has expired", Severity::Warning),
    (Code::NotYetValid, "it is not valid yet", Severity::Warning),
    (Code::ExpiresSoon, "it expires soon", Severity::Warning),
    (Code::KeyExposed, "others can read the key", Severity::Warning),
    (Code::WeakKey, "the key is weak", Severity::Warning),
    (Code::Sha1, "it is signed with SHA-1", Severity::Warning),
    (Code::NoSan, "it has no subject alternative name", Severity::Warning),
    (Code::NameUnusable, "no client can ask for a name of it", Severity::Warning),
    (Code::DuplicateName, "another certificate has the name too", Severity::Warning),
    (Code::NameNotCovered, "no certificate covers a configured name", Severity::Warning),
    (Code::NothingThere, "there is nothing to serve", Severity::Warning),
    (Code::PreviousKept, "the one before it is served on", Severity::Error),
    (Code::TlsaMismatch, "no TLSA record covers the key", Severity::Error),
    (Code::OrderFailed, "a certificate cannot be had", Severity::Warning),
    (Code::OrderPending, "a certificate is on its way", Severity::Note),
];

impl Code {
    /// All of them, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.into_iter().map(|(code, ..)| code)
    }

    /// What it means, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// How bad it is if the configuration does not say otherwise.
    #[must_use]
    pub fn severity(self) -> Severity {
        TABLE[self as usize].2
    }

    /// Whether there is nothing that could be served, whatever the configuration says.
    #[must_use]
    pub fn is_final(self) -> bool {
        self <= Self::NotPem || self == Self::PreviousKept
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{:03}", *self as usize + 1)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::all().find(|code| code.to_string() == text).ok_or(())
    }
}

/// What the configuration wants done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, and it is not said.
    Ignore,
    /// It is said.
    Warn,
    /// The certificate is not served.
    Refuse,
}

/// What the configuration says about findings, where it differs from the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy(pub BTreeMap<Code, Action>);

impl Policy {
    /// How bad this is; `None`: it is not worth a word.
    #[must_use]
    pub fn severity(&self, code: Code) -> Option<Severity> {
        match self.0.get(&code) {
            None => Some(code.severity()),
            Some(Action::Ignore) => None,
            Some(Action::Warn) => Some(Severity::Warning),
            Some(Action::Refuse) => Some(Severity::Error),
        }
    }

    /// The finding as this policy sees it; `None`: it is not worth a word.
    pub(super) fn judge(&self, mut finding: Finding) -> Option<Finding> {
        // What cannot be used at all is not made usable by a wish.
        if finding.severity <= finding.code.severity() {
            finding.severity = self.severity(finding.code)?;
        }
        Some(finding)
    }

    /// Whether a certificate with this is not served.
    #[must_use]
    pub fn refuses(&self, code: Code) -> bool {
        self.severity(code) == Some(Severity::Error)
    }
}

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The file or folder.
    pub file: PathBuf,
    /// What is wrong, and what to do about it.
    pub text: String,
}

impl Finding {
    /// Something that is as bad as it is by default; a [`Policy`] may see it differently.
    pub fn new(code: Code, file: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), file: file.into(), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.file.display(), self.code, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The enum and its table are written in one order, and the numbers are what users know.
    #[test]
    fn codes_are_what_their_numbers_say() {
        for (n, (code, ..)) in TABLE.into_iter().enumerate() {
            assert_eq!(code as usize, n, "{code:?}");
            assert_eq!(code.to_string().parse(), Ok(code));
        }
        assert_eq!(Code::KeyMismatch.to_string(), "V001");
        assert_eq!(Code::ChainIncomplete.to_string(), "V007");
        assert_eq!(Code::TlsaMismatch.to_string(), "V023");
        assert_eq!(Code::OrderPending.to_string(), "V025");
        assert_eq!("V7".parse::<Code>(), Err(()));
    }
}
