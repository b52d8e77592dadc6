//! TLS to a backend, between the connection (with a PROXY header, where there is one) and all that a
//! session or a probe has to say.

use std::{fmt, io, sync::Arc};

use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName},
};

use super::Key;
use crate::{
    protocol::{Upgrade, Upgraded},
    tls::{Upstream, explain_backend},
    values::BackendTlsMode,
    wire::{Broken, Ear, Inbox, Link, converse},
};

/// A link on which a session or a probe may begin.
#[derive(Debug)]
pub enum Secured {
    /// What has been read of the backend already: a greeting that is not said again inside TLS.
    Ready(Link, Inbox),
    /// The backend refuses, in these octets of its protocol.
    Refused(Vec<u8>),
}

/// Why TLS did not come about.
#[derive(Debug)]
pub enum Insecure {
    /// The dialogue in clear broke off.
    Broken(Broken),
    /// It has STARTTLS among its capabilities and does not grant it; in its words.
    Denied(String),
    /// What answers there does not speak the protocol; in words.
    Garbage(String),
    /// More than consent came in clear: RFC 3207 §6, CVE-2011-0411. Whoever is on the line can have
    /// put it there.
    Injected,
    /// It does not offer STARTTLS.
    NoTls,
    /// The handshake failed.
    Tls {
        /// What went wrong.
        error: io::Error,
        /// The name that its certificate should have been for.
        asked: ServerName<'static>,
    },
}

impl Insecure {
    /// In words that help. `leaf`: the certificate that was shown, as far as that is known.
    #[must_use]
    pub fn words(&self, leaf: Option<&CertificateDer<'_>>) -> String {
        match self {
            Self::Broken(broken) => broken.to_string(),
            Self::Denied(said) => format!(
                "it refuses STARTTLS, which it offers: {said:?}; its log knows why (often its certificate or key cannot be read)"
            ),
            Self::Garbage(why) => why.clone(),
            Self::Injected => "it sends more in clear than its consent to STARTTLS, which somebody on the line may have put there: the connection was given up".to_owned(),
            Self::NoTls => "it does not offer STARTTLS: switch it on there, or write tls: implicit or tls: none".to_owned(),
            Self::Tls { error, asked } => explain_backend(error, asked, leaf).unwrap_or_else(|| {
                if crate::error::is_disconnect(error) {
                    format!("it ends the TLS handshake without a word ({error}): does it speak TLS there?")
                } else {
                    format!("the TLS handshake fails: {error}")
                }
            }),
        }
    }
}

impl fmt::Display for Insecure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words(None))
    }
}

impl std::error::Error for Insecure {}

/// Begins TLS as this backend wants it; without, the link goes on as it is. `most`: octets of a line.
/// There is no clock here: whoever calls sets a deadline.
pub async fn secure(link: Link, key: &Key, host: &str, most: usize) -> Result<Secured, Insecure> {
    let Some(upstream) = &key.tls else { return Ok(Secured::Ready(link, Inbox::default())) };
    let mut link = link;
    let greeting = match upstream.mode() {
        BackendTlsMode::Implicit => Inbox::default(),
        BackendTlsMode::Starttls => {
            let mut nothing = Vec::new();
            match upgrade(&mut Ear::new(&mut link, &mut nothing), key, host, most).await? {
                Consent::Given(greeting) => greeting,
                Consent::Refused(words) => return Ok(Secured::Refused(words)),
            }
        }
    };
    let link = shake(link, key, upstream, upstream.config()).await?;
    Ok(Secured::Ready(link, greeting))
}

/// What came of asking for TLS.
pub(super) enum Consent {
    /// It may begin. What stands for the greeting that is not said again.
    Given(Inbox),
    /// The backend refuses, in these octets of its protocol.
    Refused(Vec<u8>),
}

/// Asks for TLS, in clear.
pub(super) async fn upgrade(
    link: &mut Ear<'_, Link>,
    key: &Key,
    host: &str,
    most: usize,
) -> Result<Consent, Insecure> {
    // The configuration has no STARTTLS where the protocol has none.
    let mut upgrade = Upgrade::new(key.protocol, host).ok_or(Insecure::NoTls)?;
    let mut inbox = Inbox::default();
    let ended = converse(link, &mut upgrade, &mut inbox, most).await;
    match ended.map_err(Insecure::Broken)? {
        Upgraded::Begin(_) if !inbox.is_empty() => Err(Insecure::Injected),
        Upgraded::Begin(said) => {
            let mut greeting = Inbox::default();
            greeting.push(&said);
            Ok(Consent::Given(greeting))
        }
        Upgraded::Denied(said) => Err(Insecure::Denied(said)),
        Upgraded::Garbage(said) => Err(Insecure::Garbage(said)),
        Upgraded::NoTls => Err(Insecure::NoTls),
        Upgraded::Refused(words) => Ok(Consent::Refused(words)),
    }
}

/// Shakes hands, with this configuration of this upstream's.
pub(super) async fn shake(
    link: Link,
    key: &Key,
    upstream: &Upstream,
    config: Arc<ClientConfig>,
) -> Result<Link, Insecure> {
    let asked = upstream.name(&key.target);
    link.secure(config, asked.clone()).await.map_err(|error| Insecure::Tls { error, asked })
}

impl Key {
    /// What broke off, in words that help: a backend that does not like our certificate may say so
    /// only after the handshake (RFC 8446 §4.4.2.4).
    #[must_use]
    pub fn words(&self, broken: &Broken) -> String {
        let explained = match (broken, &self.tls) {
            (Broken::Io(error), Some(upstream)) => {
                explain_backend(error, &upstream.name(&self.target), None)
            }
            _ => None,
        };
        explained.unwrap_or_else(|| broken.to_string())
    }
}
