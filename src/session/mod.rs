//! One client's way through the house. [`serve()`] reads top to bottom.

mod handshake;
mod name;
mod open;
mod relay;
mod serve;
mod summary;
mod web;

use std::{net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::{
    backend::{Pool, Routes},
    certs::Challenges,
    http::{Shelf, Web},
    protocol::{Offer, Protocol, Refusal},
    tls,
    values::{BareNewline, ClientRule, Network, Stop, Timeouts, TlsMode, UnknownName},
};

pub use serve::{Arrival, Via, serve};
pub use summary::{End, Summary, Tried};

/// What a listener means for its sessions. They take it at accept, and keep it.
#[derive(Debug)]
pub struct Policy {
    /// What is spoken.
    pub protocol: Protocol,
    /// How clients come to TLS.
    pub tls: TlsMode,
    /// What becomes of clients that ask for a name that no certificate covers.
    pub unknown_name: UnknownName,
    /// What is wanted of clients' certificates; `None`: nothing. A name may have a rule of its own.
    pub client_certificates: Option<ClientRule>,
    /// What becomes of messages with odd line ends.
    pub bare_newline: BareNewline,
    /// Networks whose clients may go on in clear where TLS is required.
    pub plaintext_from: Vec<Network>,
    /// Networks of fronts before this one.
    pub proxy_from: Vec<Network>,
    /// Where sessions go, and what they are greeted with.
    pub backend: Arc<Pool>,
    /// Where sessions go whose clients ask for a name in their handshake.
    pub routes: Routes,
    /// What the web room goes by, where this is a web listener.
    pub web: Option<Arc<Web>>,
    /// Our own name.
    pub hostname: String,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// The most octets of a frame that are kept for either side.
    pub line: usize,
}

impl Policy {
    /// Whether who comes from there is a front, and has to say whom it brings.
    #[must_use]
    pub fn is_front(&self, peer: IpAddr) -> bool {
        self.proxy_from.iter().any(|net| net.contains(peer))
    }

    /// What a client from there may be offered in clear.
    fn in_clear(&self, peer: IpAddr) -> Offer {
        let is_trusted = self.plaintext_from.iter().any(|net| net.contains(peer));
        match self.tls {
            TlsMode::Implicit => Offer::TLS,
            TlsMode::None => Offer { starttls: false, proceed: true, login: true },
            TlsMode::Starttls => Offer { starttls: true, proceed: is_trusted, login: is_trusted },
            TlsMode::StarttlsOptional => {
                // RFC 4954 §4: between servers, credentials want TLS; a mail program's user has
                // been told that this listener takes them in clear.
                let login =
                    is_trusted || !matches!(self.protocol, Protocol::Smtp | Protocol::Submission);
                Offer { starttls: true, proceed: true, login }
            }
        }
    }

    /// Where a client goes that asks for this name.
    fn pool(&self, sni: Option<&str>) -> &Arc<Pool> {
        sni.and_then(|name| self.routes.pool(name)).unwrap_or(&self.backend)
    }

    /// Whether nobody listens at any address that sessions could go to, and nobody ever has.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.backend.is_absent() && self.routes.pools().all(|pool| pool.is_absent())
    }

    /// Whether a client that has not said yet where it wants to go may be greeted.
    fn is_up(&self) -> bool {
        self.backend.is_up() || self.routes.pools().any(|pool| pool.is_up())
    }

    /// How we take leave in the protocol's words.
    pub fn farewell(&self, why: Refusal, out: &mut Vec<u8>) {
        (self.protocol.row().farewell)(why, &self.hostname, out);
    }

    /// How long a client may take to get past the filter, and whether each octet grants it anew.
    fn patience(&self) -> (Duration, bool) {
        match self.protocol {
            Protocol::Smtp | Protocol::Submission => (self.timeouts.smtp_command, true),
            _ => (self.timeouts.pre_login, false),
        }
    }
}

/// What all sessions share.
#[derive(Debug)]
pub struct House {
    /// Certificates and TLS configurations. Read at a session's handshake, and let go of after it.
    pub tls: Arc<ArcSwap<tls::Server>>,
    /// Answers to certificate authorities that ask whether a name is ours.
    pub challenges: Arc<Challenges>,
    /// Connections to web backends that wait for the next request.
    pub shelf: Arc<Shelf>,
    /// How long sessions may still go on.
    pub stop: watch::Receiver<Stop>,
}
