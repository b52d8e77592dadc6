//! The one line that a session leaves behind.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Policy, Via};
use crate::{
    error::SessionError,
    identity::{Facts, SessionId, TlsFacts},
    protocol::{Refusal, Side},
    tls::ClientAlert,
    values::Target,
};

/// How a session ended that came to an end as sessions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// One side closed, and then the other.
    Closed(Side),
    /// The client closed without saying so, as truncation attacks do: RFC 8446 §6.1.
    Truncated,
    /// The backend refused, in its own words.
    BackendRefused,
    /// We ended it, and said why.
    Refused(Refusal),
}

/// Where a session was, or would have been.
#[derive(Debug, Default)]
pub struct Tried {
    /// The backend that it was with, or that failed it last; `None`: it did not come to that.
    pub last: Option<Target>,
    /// How many there were, with those that failed it.
    pub count: u32,
}

/// All that is said of a session.
#[derive(Debug)]
pub struct Summary {
    /// The session's name.
    pub id: SessionId,
    /// Where the client came from.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// The front that brought it.
    pub via: Option<Box<Via>>,
    /// What was agreed on with us; `None` in clear, and where nothing was.
    pub tls: Option<TlsFacts>,
    /// The name that the client asked for in a handshake that failed.
    pub asked: Option<String>,
    /// The certificate that was shown.
    pub certificate: Option<String>,
    /// The backends that were tried.
    pub tried: Tried,
    /// How many requests there were, where it spoke HTTP.
    pub requests: Option<u64>,
    /// Octets from the client to the backend, and back.
    pub octets: [u64; 2],
    /// Whether the login succeeded, where that can be seen.
    pub logged_in: bool,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub end: Result<End, SessionError>,
    begin: Instant,
}

impl Summary {
    /// All that a backend can be told of the client, its name in DNS aside.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            name: None,
            id: self.id,
            peer: self.peer,
            local: self.local,
            hops: self.via.as_ref().map_or(0, |via| via.hops),
            tls: self.known_tls().cloned(),
        }
    }

    /// What the client agreed on: with us, which we have seen; otherwise with the front that brought it,
    /// which says so.
    pub(super) fn known_tls(&self) -> Option<&TlsFacts> {
        self.tls.as_ref().or_else(|| self.via.as_ref()?.tls.as_deref())
    }

    /// A session that begins now.
    pub(super) fn new(
        id: SessionId,
        peer: SocketAddr,
        local: SocketAddr,
        via: Option<Box<Via>>,
    ) -> Self {
        Self {
            id,
            peer,
            local,
            via,
            tls: None,
            asked: None,
            certificate: None,
            tried: Tried::default(),
            requests: None,
            octets: [0; 2],
            logged_in: false,
            duration: Duration::ZERO,
            end: Ok(End::Closed(Side::Client)),
            begin: Instant::now(),
        }
    }

    pub(super) fn ended(mut self, end: Result<End, SessionError>) -> Self {
        self.duration = self.begin.elapsed();
        self.end = end;
        self
    }

    /// The alert that the client ended it with.
    #[must_use]
    pub fn alert(&self) -> Option<&ClientAlert> {
        self.end.as_ref().err()?.source.downcast_ref()
    }

    /// Says it. RFC 8314 §4 wants the TLS version and cipher to be logged.
    pub fn log(&self, policy: &Policy) {
        let tls = self.tls.as_ref();
        let via = self.via.as_deref();
        let via_tls = via.and_then(|v| v.tls.as_deref());
        let client = tls.and_then(|t| t.client.as_deref());
        let end = match &self.end {
            Ok(End::Closed(Side::Client)) => "closed by the client".to_owned(),
            Ok(End::Closed(Side::Backend)) => "closed by the backend".to_owned(),
            Ok(End::Truncated) => "cut off by the client".to_owned(),
            Ok(End::BackendRefused) => "refused by the backend".to_owned(),
            Ok(End::Refused(why)) => why.text().to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::info!(
            id = %self.id,
            peer = %self.peer,
            listener = %self.local,
            via = via.map(|v| tracing::field::display(v.front)),
            via_id = via.and_then(|v| v.id.as_deref()),
            via_tls = via_tls.map(|t| t.version.as_ref()),
            via_cipher = via_tls.map(|t| t.cipher.as_ref()),
            protocol = policy.protocol.name(),
            sni = tls.and_then(|t| t.sni.as_deref()).or(self.asked.as_deref()),
            certificate = self.certificate.as_deref(),
            tls = tls.map(|t| t.version.as_ref()),
            cipher = tls.map(|t| t.cipher.as_ref()),
            group = tls.map(|t| t.group),
            alpn = tls.and_then(|t| t.alpn.as_deref()).map(|a| String::from_utf8_lossy(a).into_owned()),
            resumed = tls.map(|t| t.resumed),
            client_verified = client.map(|c| c.verified.is_ok()),
            client_unverified = client.and_then(|c| c.verified.as_ref().err()).map(String::as_str),
            client_subject = client.map(|c| c.subject.as_str()),
            client_issuer = client.map(|c| c.issuer.as_str()),
            client_fingerprint = client.map(|c| c.fingerprint.as_str()),
            backend = self.tried.last.as_ref().map(tracing::field::display),
            tries = (self.tried.count > 1).then_some(self.tried.count),
            login = self.logged_in,
            requests = self.requests,
            up = self.octets[0],
            down = self.octets[1],
            alert = self.alert().map(ClientAlert::name),
            milliseconds = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            end,
            "session"
        );
    }
}
