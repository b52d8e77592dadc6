//! A certificate that can be served.

use std::{fmt, path::Path, sync::Arc};

use rustls::{SignatureAlgorithm, SignatureScheme, pki_types::CertificateDer, sign::CertifiedKey};
use serde::Serialize;

use super::{
    Code, Finding,
    chain::{Chain, End, Proof},
    files::Key,
    late::Late,
    x509::Parsed,
};

/// The kind of a key, as far as clients care. In the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// ECDSA or EdDSA: small and fast.
    Ecdsa,
    /// RSA: what old clients need.
    Rsa,
}

impl KeyKind {
    /// What a client has that can verify keys of this kind: RFC 8446 §4.2.3.
    #[must_use]
    pub fn schemes(self) -> &'static [SignatureScheme] {
        match self {
            Self::Ecdsa => &[
                SignatureScheme::ECDSA_NISTP256_SHA256,
                SignatureScheme::ECDSA_NISTP384_SHA384,
                SignatureScheme::ECDSA_NISTP521_SHA512,
                SignatureScheme::ED25519,
            ],
            Self::Rsa => &[
                SignatureScheme::RSA_PSS_SHA256,
                SignatureScheme::RSA_PSS_SHA384,
                SignatureScheme::RSA_PSS_SHA512,
                SignatureScheme::RSA_PKCS1_SHA256,
            ],
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        })
    }
}

/// Who says that a certificate is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Issuance {
    /// An authority that this machine trusts.
    Authority,
    /// An authority that this machine does not know.
    PrivateAuthority,
    /// Nobody but itself.
    SelfSigned,
}

/// A certificate with its key and its chain.
#[derive(Debug)]
pub struct Certificate {
    pub(super) leaf: Arc<Parsed>,
    pub(super) key: Arc<Key>,
    pub(super) chain: Chain,
    /// The file that its leaf came from.
    pub(super) file: Arc<Path>,
    /// The folder whose business it is.
    pub(super) place: Arc<Path>,
    /// Found out before it is first shown.
    proof: Late<Proof>,
}

impl Certificate {
    pub(super) fn new(
        leaf: &Arc<Parsed>,
        key: &Arc<Key>,
        chain: Chain,
        (file, place): (&Arc<Path>, &Arc<Path>),
    ) -> Self {
        Self {
            leaf: leaf.clone(),
            key: key.clone(),
            chain,
            file: file.clone(),
            place: place.clone(),
            proof: Late::default(),
        }
    }

    /// The names that it covers, in lower case.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.leaf.names
    }

    /// All that it is for: its names, and the addresses, which no client asks for by name.
    #[must_use]
    pub fn identifiers(&self) -> Vec<String> {
        let addresses = self.leaf.addresses().map(|address| address.to_string());
        self.leaf.names.iter().cloned().chain(addresses).collect()
    }

    /// The name that it goes by in logs.
    #[must_use]
    pub fn label(&self) -> &str {
        self.leaf.label()
    }

    /// The file that its leaf came from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The kind of its key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        if self.key.signing.algorithm() == SignatureAlgorithm::RSA {
            KeyKind::Rsa
        } else {
            KeyKind::Ecdsa
        }
    }

    /// Its key, for people: `ECDSA P-256`.
    #[must_use]
    pub fn key(&self) -> String {
        self.leaf.key.to_string()
    }

    /// From when to when it is valid, in seconds since 1970.
    #[must_use]
    pub fn valid(&self) -> (i64, i64) {
        (self.leaf.not_before, self.leaf.not_after)
    }

    /// Who says that it is right.
    #[must_use]
    pub fn issuance(&self) -> Issuance {
        match self.chain.end {
            End::SelfSigned => Issuance::SelfSigned,
            End::Trusted if self.proof().has_root => Issuance::Authority,
            _ => Issuance::PrivateAuthority,
        }
    }

    /// Who issued it, as text.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.leaf.issuer.1
    }

    /// The issuers that are sent behind it, as text, and who issued the last of them.
    #[must_use]
    pub fn path(&self) -> (Vec<&str>, &str) {
        let sent = self.sent();
        let last = sent.last().map_or(&*self.leaf, AsRef::as_ref);
        (sent.iter().map(|c| c.subject.1.as_str()).collect(), &last.issuer.1)
    }

    /// Whether the chain ends where a client can be expected to go on by itself.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.chain.end != End::Missing && self.sent().len() == self.chain.issuers.len()
    }

    /// The certificate itself.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf.der
    }

    /// The chain as clients get it: the leaf first, and no root.
    #[must_use]
    pub fn sent_chain(&self) -> Vec<CertificateDer<'static>> {
        let issuers = self.sent().iter().map(|c| c.der.clone());
        std::iter::once(self.leaf.der.clone()).chain(issuers).collect()
    }

    /// Whether a client with these signature schemes can verify it.
    #[must_use]
    pub fn fits(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.signing.choose_scheme(schemes).is_some()
    }

    /// Chain and key, as rustls wants them. Made for each handshake: kept ready, ten thousand would
    /// hold as many copies of the same intermediate.
    #[must_use]
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::new(self.sent_chain(), self.key.signing.clone()))
    }

    /// Whether another shows clients the very same octets, with the same key.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let issuers = |c: &Self| c.chain.issuers.len();
        let mut pairs = self.chain.issuers.iter().zip(&other.chain.issuers);
        self.leaf.der == other.leaf.der
            && self.chain.end == other.chain.end
            && issuers(self) == issuers(other)
            && pairs.all(|(one, other)| one.der == other.der)
    }

    /// Whether the signatures in its chain have been verified, or there are none.
    pub(super) fn is_proven(&self) -> bool {
        !self.chain.is_to_be_proven() || self.proof.get().is_some()
    }

    /// Makes sure of the signatures in its chain, and says which is wrong.
    #[must_use]
    pub fn prove(&self) -> Option<Finding> {
        let text = if let Some(liar) = self.chain.issuers.get(self.sent().len()) {
            format!(
                "what is at hand as {} has the name and the key id of an issuer in this chain, and has not signed it; the chain is sent without it, and clients will fail",
                liar.subject.1
            )
        } else if self.proof().has_root {
            return None;
        } else {
            let last = self.chain.last(&self.leaf);
            format!(
                "the root that is known here as {} has the name and the key id of the issuer of {}, and has not signed it: clients will fail, unless they know another of that name",
                last.issuer.1, last.subject.1
            )
        };
        Some(Finding::new(Code::SignatureWrong, &*self.file, text))
    }

    /// The issuers that have really signed what is before them.
    fn sent(&self) -> &[Arc<Parsed>] {
        self.chain.issuers.get(..self.proof().issuers).unwrap_or_default()
    }

    fn proof(&self) -> Proof {
        self.proof.or_make(|| self.chain.proven(&self.leaf))
    }
}
