//! Clients' certificates: who is asked for one, and whether it is what it says.
//!
//! rustls verifies a chain during the handshake or not at all. A client that is asked and not
//! obliged must be served with any certificate, so there the handshake proves only that the client
//! has the key, and the verdict is found after it, for those who want to know.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use rustls::{
    CertRevocationListError, CertificateError, DigitallySignedStruct, DistinguishedName, Error,
    RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::provider;
use crate::{
    certs::{self, Client, Code, Finding},
    protocol::Protocol,
    values::{ClientMode, ClientRule},
};

/// The rules of a configuration, with what they go by. Never changes: a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    judges: HashMap<ClientRule, Arc<Judge>>,
    /// `None`: whoever asks for this name is not asked for a certificate, whatever the listener.
    by_name: BTreeMap<String, Option<ClientRule>>,
    wanted: BTreeSet<(Protocol, ClientRule)>,
    findings: Vec<Finding>,
}

impl Clients {
    /// Reads all that is needed for `listeners`, each with its protocol and its rule, and for those
    /// names that have a rule of their own. Blocks. All or nothing.
    pub fn load<'a>(
        listeners: impl IntoIterator<Item = (Protocol, Option<&'a ClientRule>)>,
        by_name: &BTreeMap<String, Option<ClientRule>>,
    ) -> Result<Self, Vec<Finding>> {
        let mut clients = Self { by_name: by_name.clone(), ..Self::default() };
        for (protocol, rule) in listeners {
            let rules = by_name.values().flatten().chain(rule);
            clients.wanted.extend(rules.map(|rule| (protocol, rule.clone())));
        }
        let mut problems = Vec::new();
        let rules: BTreeSet<&ClientRule> = clients.wanted.iter().map(|(_, rule)| rule).collect();
        for rule in rules {
            match Judge::new(rule) {
                Ok((judge, findings)) => {
                    clients.judges.insert(rule.clone(), Arc::new(judge));
                    clients.findings.extend(findings);
                }
                Err(findings) => problems.extend(findings),
            }
        }
        // Two rules may name one file.
        dedup(&mut clients.findings);
        dedup(&mut problems);
        if problems.is_empty() { Ok(clients) } else { Err(problems) }
    }

    /// The rule for a client that asks for this name, where the listener has this one: the name
    /// counts for more, exact before wildcard.
    #[must_use]
    pub fn rule<'a>(
        &'a self,
        sni: Option<&str>,
        listener: Option<&'a ClientRule>,
    ) -> Option<&'a ClientRule> {
        let by_name = sni.filter(|_| !self.by_name.is_empty()).and_then(|name| {
            let name = name.trim_end_matches('.');
            let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
            self.by_name.get(name).or_else(wildcard)
        });
        by_name.map_or(listener, Option::as_ref)
    }

    /// What is worth a word.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The combinations that occur.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (Protocol, &ClientRule, Arc<Judge>)> {
        self.wanted
            .iter()
            .filter_map(|(protocol, rule)| Some((*protocol, rule, self.judges.get(rule)?.clone())))
    }

    pub(super) fn judge(&self, rule: &ClientRule) -> Option<&Arc<Judge>> {
        self.judges.get(rule)
    }
}

fn dedup(findings: &mut Vec<Finding>) {
    let mut unique: Vec<Finding> = Vec::new();
    findings.drain(..).for_each(|f| {
        if !unique.contains(&f) {
            unique.push(f);
        }
    });
    *findings = unique;
}

/// A rule with its authorities and lists.
#[derive(Debug)]
pub struct Judge {
    mode: ClientMode,
    hints: bool,
    webpki: Arc<dyn ClientCertVerifier>,
}

/// What came of a client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it leads to an authority that is trusted; if not, why.
    pub verified: Result<(), String>,
    /// What it says of itself.
    pub client: Client,
}

impl Judge {
    fn new(rule: &ClientRule) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let found = certs::authorities(&rule.trust, &rule.crl)?;
        let (mut roots, mut problems) = (RootCertStore::empty(), Vec::new());
        for (file, der) in found.certificates {
            if let Err(error) = roots.add(der) {
                let text = format!("an authority's certificate cannot be used: {}", why(&error));
                problems.push(Finding::new(Code::Damaged, file, text));
            }
        }
        let roots = Arc::new(roots);
        let builder = || WebPkiClientVerifier::builder_with_provider(roots.clone(), provider());
        if !roots.is_empty() {
            for (file, der) in &found.revocation_lists {
                // One by one, so that the file can be named.
                if let Err(error) = builder().with_crls([der.clone()]).build() {
                    let text = format!("a revocation list cannot be used: {error}");
                    problems.push(Finding::new(Code::Damaged, file, text));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        // Where there are lists, every authority of a chain must have a current one, as in OpenSSL's
        // CRL_CHECK_ALL: whoever can keep a list from us must not be let in for it.
        let webpki = builder()
            .with_crls(found.revocation_lists.into_iter().map(|(_, der)| der))
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| {
                let place = rule.trust.first().cloned().unwrap_or_default();
                vec![Finding::new(Code::Damaged, place, error.to_string())]
            })?;
        Ok((Self { mode: rule.mode, hints: rule.hints, webpki }, found.findings))
    }

    /// Judges the chain that a client has shown in a handshake, leaf first.
    #[must_use]
    pub fn verdict(&self, chain: &[CertificateDer<'_>]) -> Option<Verdict> {
        let (leaf, rest) = chain.split_first()?;
        let verified = if Client::has_usable_key(leaf) {
            let verified = self.webpki.verify_client_cert(leaf, rest, UnixTime::now());
            verified.map(|_| ()).map_err(|error| why(&error))
        } else {
            Err("it cannot be read, or its key is of a kind or size that is not accepted".into())
        };
        Some(Verdict { verified, client: Client::new(leaf) })
    }

    /// A signature that cannot be verified at all is no reason not to serve a client that need not
    /// have a certificate: whether it can depends on the certificate alone, and the verdict, which
    /// is found later, will be against it whatever its chain.
    fn forgive(
        &self,
        leaf: &CertificateDer<'_>,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match checked {
            Err(_) if self.mode == ClientMode::Request && !Client::has_usable_key(leaf) => {
                Ok(HandshakeSignatureValid::assertion())
            }
            checked => checked,
        }
    }
}

impl ClientCertVerifier for Judge {
    fn client_auth_mandatory(&self) -> bool {
        self.mode == ClientMode::Require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        if self.hints { self.webpki.root_hint_subjects() } else { &[] }
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.mode {
            // The verdict is found after the handshake.
            ClientMode::Request => Ok(ClientCertVerified::assertion()),
            ClientMode::Require => self.webpki.verify_client_cert(leaf, rest, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.forgive(leaf, self.webpki.verify_tls12_signature(message, leaf, signature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.forgive(leaf, self.webpki.verify_tls13_signature(message, leaf, signature))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Why a certificate is not accepted.
pub(super) fn why(error: &Error) -> String {
    use CertificateError as E;
    let text = match error {
        Error::InvalidCertificate(error) => match error {
            E::UnknownIssuer => "its issuer is not among those that are trusted",
            E::Expired | E::ExpiredContext { .. } => "it has expired",
            E::NotValidYet | E::NotValidYetContext { .. } => "it is not valid yet",
            E::Revoked => "it is revoked",
            E::UnknownRevocationStatus => {
                "whether it is revoked cannot be found out: `crl` has no list of one of its issuers"
            }
            E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
                "whether it is revoked cannot be found out: the list of one of its issuers has expired"
            }
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
                "its extended key usage does not name clients (clientAuth)"
            }
            E::BadSignature => "a signature in its chain is wrong",
            E::BadEncoding => "it cannot be read",
            other => match words(other).as_str() {
                "ca used as end entity" => {
                    "it is an authority's own (CA:TRUE), which is no client's"
                }
                rare => return format!("it is not made as it should be ({rare})"),
            },
        },
        Error::InvalidCertRevocationList(CertRevocationListError::BadSignature) => {
            "the signature of its issuer's revocation list is wrong"
        }
        Error::InvalidCertRevocationList(rare) => {
            let rare = apart(&format!("{rare:?}"));
            return format!("its issuer's revocation list cannot be used ({rare})");
        }
        other => return other.to_string(),
    };
    text.to_owned()
}

/// What the library calls an error, in words: it has many that are rare, and no text for them.
pub(super) fn words(error: &CertificateError) -> String {
    match error {
        CertificateError::Other(inner) => apart(&inner.to_string()),
        error => apart(&format!("{error:?}")),
    }
}

/// `NameOfAnError { more }` as `name of an error`.
fn apart(name: &str) -> String {
    let mut words = String::new();
    for c in name.chars().take_while(char::is_ascii_alphanumeric) {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}
