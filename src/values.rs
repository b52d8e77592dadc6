//! Newtypes that more than one room uses. Each can only hold what its name says.

mod acme;
mod network;
mod place;
mod quantity;
mod upstream;
mod web;

use std::{fmt, time};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

pub use acme::{
    Acme, Challenge, ExternalAccount, NextKey, OrderedKey, server_name as acme_server_name,
};
pub use network::Network;
pub use place::{Balance, MOST_MEMBERS, Site, Target};
pub use quantity::{Duration, Size};
pub use upstream::{BackendTls, BackendTlsMode, BackendTrust, Fingerprint};
pub use web::{MtaSts, MtaStsMode, WebRules};

/// Reads a value that is written as text, and says what was wanted where it is not.
macro_rules! written_as_text {
    ($($name:ident: $wanted:literal),+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($wanted)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_any(Text)
            }
        }
    )+};
}

written_as_text!(
    Duration: "a number and a unit, such as 500ms, 10s, 5m, 2h or 1d",
    Fingerprint: "sha256: and 64 hexadecimal digits",
    Network: "an address, or CIDR such as 192.0.2.0/24",
    Size: "a number and a unit, such as 512B, 16KiB or 1MiB"
);

/// How a listener's clients come to TLS.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// The handshake comes first (RFC 8314 §3).
    Implicit,
    /// Never.
    None,
    /// They have to ask for it before anything else counts.
    Starttls,
    /// They may ask for it, and may as well go on in clear: RFC 3207 §4 wants that of port 25.
    StarttlsOptional,
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Implicit => "implicit",
            Self::None => "none",
            Self::Starttls => "starttls",
            Self::StarttlsOptional => "starttls-optional",
        })
    }
}

/// What becomes of a client that asks for a name that no certificate covers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownName {
    /// It gets the certificate that a client without SNI would get.
    #[default]
    Default,
    /// It gets the alert `unrecognized_name`: RFC 9325 §3.7.
    Reject,
}

/// What becomes of a message in which line ends are not what RFC 5321 §2.3.8 wants.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum BareNewline {
    /// Everything passes, and only CRLF.CRLF is an end. A backend that reads differently is on its
    /// own.
    Pass,
    /// No CR and no LF may stand alone.
    Reject,
    /// A dot that is alone on its line by any reading must be so by the strict one; the rest passes.
    #[default]
    StrictEod,
}

/// What is wanted of clients' certificates, and what they are verified by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientRule {
    /// Whether a client without one is served.
    pub mode: ClientMode,
    /// Files and folders with the authorities' certificates.
    pub trust: Vec<std::path::PathBuf>,
    /// Files and folders with revocation lists. Empty: nobody is revoked.
    pub crl: Vec<std::path::PathBuf>,
    /// Whether clients are told which authorities are trusted.
    pub hints: bool,
}

/// What becomes of a client that has no certificate, or one that cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientMode {
    /// It is served all the same, and the backend is told.
    Request,
    /// It gets an alert.
    Require,
}

impl fmt::Display for ClientMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Require => "require",
        })
    }
}

/// How much of a hurry we are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// None at all.
    No,
    /// No new sessions; those that are there may end by themselves.
    Drain,
    /// Every session says good-bye.
    Now,
}

/// How long each phase of a session may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a front's connection to the end of its PROXY header. The specification wants at least
    /// 3 s, which is one lost segment.
    pub proxy: time::Duration,
    /// From the client's first octet of TLS, or its connection, to the end of the handshake.
    pub handshake: time::Duration,
    /// Until a backend accepts a connection.
    pub connect: time::Duration,
    /// Until a backend has greeted. Postfix' postscreen waits six seconds on purpose.
    pub greeting: time::Duration,
    /// Until an IMAP, POP3 or ManageSieve client has logged in.
    pub pre_login: time::Duration,
    /// Between two SMTP commands: RFC 5321 §4.5.3.2.7.
    pub smtp_command: time::Duration,
    /// Between two requests of a web client, the head of the next one included.
    pub http_idle: time::Duration,
    /// Without an octet of a request's or an answer's body that a web client sends or takes.
    pub http_body: time::Duration,
    /// Without an octet of a backend's answer to a web client. ActiveSync waits for up to an hour.
    pub http_response: time::Duration,
    /// Without an octet either way. RFC 9051 §5.4 wants at least 30 minutes.
    pub idle: time::Duration,
    /// From the backend's end to ours.
    pub closing: time::Duration,
    /// From SIGTERM to the end of the sessions that are still there.
    pub drain: time::Duration,
    /// Between two probes of a backend that is well.
    pub probe: time::Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = time::Duration::from_secs;
        Self {
            proxy: seconds(5),
            handshake: seconds(10),
            connect: seconds(5),
            greeting: seconds(60),
            pre_login: seconds(180),
            smtp_command: seconds(300),
            http_idle: seconds(60),
            http_body: seconds(60),
            http_response: seconds(65 * 60),
            idle: seconds(31 * 60),
            closing: seconds(5),
            drain: seconds(30),
            probe: seconds(30),
        }
    }
}
