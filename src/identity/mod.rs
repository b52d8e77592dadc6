//! What is known of a client, and how the backend learns it: one file per dialect.
//!
//! Like the protocol rooms, nothing here reads a socket or a clock.

pub mod announced;
mod crc32c;
pub mod imap_id;
pub mod proxy;
pub mod proxy_v1;
pub mod xclient;

use std::{borrow::Cow, fmt, net::SocketAddr};

use serde::Deserialize;

/// The dialect in which a backend learns who the client is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// Fields in the head of each HTTP request.
    Forwarded,
    /// Fields of IMAP's ID command, which Dovecot believes.
    ImapId,
    /// Not at all: the backend takes every client for the front.
    None,
    /// The PROXY protocol, version 1: addresses and nothing else.
    ProxyV1,
    /// The PROXY protocol, version 2, with TLVs.
    ProxyV2,
    /// The XCLIENT command of Postfix, and of Dovecot.
    Xclient,
}

impl Identity {
    /// What is sent in one write, before any other octet: a PROXY header, or nothing.
    #[must_use]
    pub fn header(self, facts: &Facts) -> Vec<u8> {
        match self {
            Self::ProxyV1 => proxy_v1::header(facts),
            Self::ProxyV2 => proxy::header(facts),
            Self::Forwarded | Self::ImapId | Self::None | Self::Xclient => Vec::new(),
        }
    }

    /// The same for a connection of our own, which brings no client.
    #[must_use]
    pub fn local(self) -> Vec<u8> {
        match self {
            Self::ProxyV1 => proxy_v1::local(),
            Self::ProxyV2 => proxy::local(),
            Self::Forwarded | Self::ImapId | Self::None | Self::Xclient => Vec::new(),
        }
    }

    /// Whether the backend is told before anything else, so that a connection is one client's for good.
    #[must_use]
    pub fn is_announced(self) -> bool {
        matches!(self, Self::ProxyV1 | Self::ProxyV2)
    }

    /// Whether the backend is told in words of its protocol, once it has greeted. It then believes
    /// such words, and no client's may reach it.
    #[must_use]
    pub fn is_spoken(self) -> bool {
        matches!(self, Self::ImapId | Self::Xclient)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forwarded => "forwarded",
            Self::ImapId => "imap-id",
            Self::None => "none",
            Self::ProxyV1 => "proxy-v1",
            Self::ProxyV2 => "proxy-v2",
            Self::Xclient => "xclient",
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
    /// What it agreed on with us, or with the front that brought it; `None` in clear.
    pub tls: Option<TlsFacts>,
    /// The name of its address, where the dialect tells one and the name leads back to the address.
    pub name: Option<String>,
}

/// What a client agreed on with us; or with a front before us, as far as that tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// As the PROXY specification writes it: `TLSv1.2`, `TLSv1.3`.
    pub version: Cow<'static, str>,
    /// The suite's name as in the IANA registry; a front before us may have names of its own.
    pub cipher: Cow<'static, str>,
    /// The key exchange group's name; empty where a front before us has not told.
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

/// A certificate that a client has shown, having its key. What a front before us does not tell of it
/// is empty.
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

/// A client of tests.
#[cfg(test)]
pub(crate) fn facts(peer: &str, local: &str, tls: Option<TlsFacts>) -> Facts {
    let (peer, local) = (peer.parse().unwrap(), local.parse().unwrap());
    Facts { id: SessionId(0xab), peer, local, hops: 0, tls, name: None }
}

/// What a client of tests has agreed on with us.
#[cfg(test)]
pub(crate) fn tls(sni: Option<&str>, alpn: Option<&[u8]>) -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        group: "X25519",
        sni: sni.map(str::to_owned),
        alpn: alpn.map(<[u8]>::to_vec),
        resumed: false,
        client: None,
    }
}
