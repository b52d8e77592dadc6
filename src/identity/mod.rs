//! What is known of a client, and how the backend learns it: one file per dialect.
//!
//! Like the protocol rooms, nothing here reads a socket or a clock.

pub mod announced;
pub mod crc32c;
pub mod proxy;

use std::{fmt, net::SocketAddr};

use serde::Deserialize;

/// The dialect in which a backend learns who the client is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Not at all: the backend takes every client for the front.
    None,
    /// The PROXY protocol, version 2, with TLVs.
    ProxyV2,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::ProxyV2 => "proxy-v2",
        })
    }
}

/// A session's name, the same in our log and in the backend's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u128);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:024x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of a client once it can be told to a backend.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The session's name.
    pub id: SessionId,
    /// Where the client comes from.
    pub peer: SocketAddr,
    /// The address of ours that it came to.
    pub local: SocketAddr,
    /// How many fronts that speak the PROXY protocol it has passed on its way to us.
    pub hops: u8,
    /// What it agreed on with us; `None` in clear.
    pub tls: Option<TlsFacts>,
}

/// What a client and the front agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// As the PROXY specification writes it: `TLSv1.2`, `TLSv1.3`.
    pub version: &'static str,
    /// The suite's name as in the IANA registry.
    pub cipher: &'static str,
    /// The key exchange group's name.
    pub group: &'static str,
    /// The name that the client asked for (RFC 6066 §3), in lower case.
    pub sni: Option<String>,
    /// The protocol that was negotiated (RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The client's certificate; `None` if it has shown none. Few do.
    pub client: Option<Box<ClientCertificate>>,
}

/// A certificate that a client has shown, having its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whether it leads to an authority that is trusted; if not, why. Where it does not, the client
    /// may have written all the rest as it pleased.
    pub verified: Result<(), String>,
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The subject, as text.
    pub subject: String,
    /// The issuer, as text.
    pub issuer: String,
    /// SHA-256 over the certificate, in hexadecimal.
    pub fingerprint: String,
}
