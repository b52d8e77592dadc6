//! What was seen.

use std::net::SocketAddr;

use serde::Serialize;

use super::{Starttls, Target, Verdict};
use crate::certs::{Code, Judgement, Severity};

/// All that was seen of a server.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The name or address that was given.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The address that answered.
    pub address: Option<SocketAddr>,
    /// The protocol in which TLS was asked for; `None`: the connection begins with it.
    pub starttls: Option<&'static str>,
    /// The name or address that the certificate should be for; a name is sent as SNI, too.
    pub asked: String,
    /// What was said, in clear and inside TLS.
    pub dialogue: Vec<Line>,
    /// What the server can do, as it says before TLS.
    pub capabilities_in_clear: Vec<String>,
    /// The same, inside TLS.
    pub capabilities_inside_tls: Vec<String>,
    /// What was agreed on; `None`: the handshake did not come about.
    pub tls: Option<Tls>,
    /// The certificates and what is to be thought of them.
    pub chain: Option<Judgement>,
    /// Whether something can be smuggled in behind STARTTLS; `None`: there is no STARTTLS here.
    pub injection: Option<Verdict>,
    /// What is worth a word, the worst first.
    pub findings: Vec<Finding>,
}

/// A line of the dialogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Whether it went through TLS.
    pub tls: bool,
    /// `S`: the server; `C`: the client, which is us.
    pub from: char,
    /// Without its end, and without control characters.
    pub text: String,
}

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// `TLSv1.3`, …
    pub version: String,
    /// The cipher suite, by its IANA name.
    pub suite: String,
    /// The group of the key exchange.
    pub key_exchange: Option<String>,
    /// The ALPN ids that were offered.
    pub alpn_offered: Vec<String>,
    /// The one that the server took.
    pub alpn: Option<String>,
}

/// Where in the visit something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Finding the host's address.
    Resolve,
    /// Connecting to it.
    Connect,
    /// The dialogue in clear, up to STARTTLS.
    Clear,
    /// The TLS handshake.
    Handshake,
    /// The certificates that were sent.
    Certificates,
    /// The dialogue inside TLS.
    Inside,
    /// The second visit, with something smuggled in behind STARTTLS.
    Injection,
}

/// Something worth a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where it was found.
    pub phase: Phase,
    /// What it is, if certificates in files can have it, too.
    pub code: Option<Code>,
    /// What is wrong, and what to do about it.
    pub text: String,
}

impl Finding {
    /// Something that ends the visit.
    pub(super) fn error(phase: Phase, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, phase, code: None, text: text.into() }
    }

    pub(super) fn warning(phase: Phase, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(phase, text) }
    }

    pub(super) fn note(phase: Phase, text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(phase, text) }
    }
}

impl Report {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            host: target.host.clone(),
            port: target.port,
            address: None,
            starttls: match target.starttls {
                Starttls::In(protocol) => Some(protocol.name()),
                Starttls::Never => None,
            },
            asked: target.asked.to_string(),
            dialogue: Vec::new(),
            capabilities_in_clear: Vec::new(),
            capabilities_inside_tls: Vec::new(),
            tls: None,
            chain: None,
            injection: None,
            findings: Vec::new(),
        }
    }

    /// The worst of what was found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}
