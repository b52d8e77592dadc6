//! The server side's configurations: one per protocol and address with a certificate of its own.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};

use super::{Tickets, resolver::Resolver};
use crate::{certs::CertificateSet, protocol::Protocol};

/// Everything that a handshake needs. Never changes: a reload makes a new one.
#[derive(Debug)]
pub struct Server {
    set: Arc<CertificateSet>,
    configs: HashMap<(Protocol, IpAddr), Arc<ServerConfig>>,
}

/// An address that no certificate is bound to.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The provider of cryptography, named wherever rustls is configured: with a second one in the
/// process, rustls could not choose.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Server {
    /// Configurations for all protocols, with these certificates.
    pub fn new(set: Arc<CertificateSet>, tickets: &Tickets) -> Result<Self, rustls::Error> {
        let provider = provider();
        let mut configs = HashMap::new();
        for protocol in Protocol::ALL {
            for local in set.addresses().chain([ANY]) {
                let resolver = Arc::new(Resolver { set: set.clone(), local });
                // RFC 9325 §3.1.1: nothing older than TLS 1.2.
                let mut config = ServerConfig::builder_with_provider(provider.clone())
                    .with_protocol_versions(&[&TLS13, &TLS12])?
                    .with_no_client_auth()
                    .with_cert_resolver(resolver);
                config.alpn_protocols =
                    protocol.row().alpn.iter().map(|id| id.as_bytes().to_vec()).collect();
                config.ticketer = tickets.0.clone();
                // Tickets resume both versions; a store of our own would be one more thing to bound.
                config.session_storage = Arc::new(NoServerSessionStorage {});
                configs.insert((protocol, local), Arc::new(config));
            }
        }
        Ok(Self { set, configs })
    }

    /// The configuration for a client of this protocol that came to this address of ours.
    #[must_use]
    pub fn config(&self, protocol: Protocol, local: IpAddr) -> Option<Arc<ServerConfig>> {
        let bound = self.configs.get(&(protocol, local.to_canonical()));
        bound.or_else(|| self.configs.get(&(protocol, ANY))).cloned()
    }

    /// The certificates.
    #[must_use]
    pub fn certificates(&self) -> &CertificateSet {
        &self.set
    }
}
