//! A handshake by which a certificate authority sees that a name is ours: tls-alpn-01 (RFC 8737).

use std::sync::Arc;

use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::provider;

/// The one protocol that such a client offers.
const ID: &[u8] = b"acme-tls/1";

/// Whether this client is a certificate authority that looks whether a name is ours: RFC 8737 §3
/// wants it to offer nothing else.
#[must_use]
pub fn is_challenge(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else { return false };
    offered.next() == Some(ID) && offered.next().is_none()
}

/// A configuration that shows this certificate, and agrees on nothing but to show it.
pub fn challenge(answer: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let answer: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(answer));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(answer);
    config.alpn_protocols = vec![ID.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
