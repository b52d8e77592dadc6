//! The server side's configurations: one per protocol, address with a certificate of its own, and
//! rule about clients' certificates.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::{Clients, Judge, Tickets, resolver::Resolver};
use crate::{
    certs::CertificateSet,
    protocol::Protocol,
    values::{ClientMode, ClientRule},
};

/// Everything that a handshake needs. Never changes: a reload makes a new one.
#[derive(Debug)]
pub struct Server {
    set: Arc<CertificateSet>,
    clients: Clients,
    configs: HashMap<(Protocol, IpAddr), Arc<ServerConfig>>,
    /// For those that are asked for a certificate.
    asking: HashMap<ClientRule, HashMap<(Protocol, IpAddr), Arc<ServerConfig>>>,
}

/// What one handshake goes by.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What rustls is told.
    pub config: Arc<ServerConfig>,
    /// Who judges the client's certificate, if one is asked for.
    pub judge: Option<Arc<Judge>>,
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
    pub fn new(
        set: Arc<CertificateSet>,
        tickets: &Tickets,
        clients: Clients,
    ) -> Result<Self, rustls::Error> {
        let provider = provider();
        let config = |protocol, local, clients| config(&provider, &set, protocol, local, clients);
        let mut configs = HashMap::new();
        for protocol in Protocol::ALL {
            for local in set.addresses().chain([ANY]) {
                let mut config = config(protocol, local, WebPkiClientVerifier::no_client_auth())?;
                config.ticketer = tickets.0.clone();
                configs.insert((protocol, local), Arc::new(config));
            }
        }
        let mut asking: HashMap<ClientRule, HashMap<_, _>> = HashMap::new();
        for (protocol, rule, judge) in clients.wanted() {
            let configs = asking.entry(rule.clone()).or_default();
            for local in set.addresses().chain([ANY]) {
                // Without tickets: rustls never verifies the chain of a session that is resumed, so
                // that one who was revoked since, or who came where nobody asked, would be let in.
                let mut config = config(protocol, local, judge.clone())?;
                config.send_tls13_tickets = 0;
                configs.insert((protocol, local), Arc::new(config));
            }
        }
        Ok(Self { set, clients, configs, asking })
    }

    /// What a client of this protocol gets that came to this address of ours and asks for this name.
    /// `rule` is its listener's; a name may have one of its own.
    ///
    /// `None`: the rule was changed since the client came, and obliges it, so that nobody can say
    /// any more whether it may come in.
    #[must_use]
    pub fn terms(
        &self,
        protocol: Protocol,
        local: IpAddr,
        sni: Option<&str>,
        rule: Option<&ClientRule>,
    ) -> Option<Terms> {
        let find = |configs: &HashMap<_, Arc<ServerConfig>>| {
            let bound = configs.get(&(protocol, local.to_canonical()));
            bound.or_else(|| configs.get(&(protocol, ANY))).cloned()
        };
        let plain = || Some(Terms { config: find(&self.configs)?, judge: None });
        let Some(rule) = self.clients.rule(sni, rule) else { return plain() };
        match (self.asking.get(rule).and_then(find), self.clients.judge(rule)) {
            (Some(config), Some(judge)) => Some(Terms { config, judge: Some(judge.clone()) }),
            _ if rule.mode == ClientMode::Request => plain(),
            _ => None,
        }
    }

    /// Whether clients that ask for these two names are asked for the same themselves.
    #[must_use]
    pub fn asks_the_same(
        &self,
        one: Option<&str>,
        other: Option<&str>,
        rule: Option<&ClientRule>,
    ) -> bool {
        self.clients.rule(one, rule) == self.clients.rule(other, rule)
    }

    /// The certificates.
    #[must_use]
    pub fn certificates(&self) -> &CertificateSet {
        &self.set
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    set: &Arc<CertificateSet>,
    protocol: Protocol,
    local: IpAddr,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, rustls::Error> {
    let resolver = Arc::new(Resolver { set: set.clone(), local });
    // RFC 9325 §3.1.1: nothing older than TLS 1.2.
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(resolver);
    config.alpn_protocols = protocol.row().alpn.iter().map(|id| id.as_bytes().to_vec()).collect();
    // Tickets resume both versions; a store of our own would be one more thing to bound.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
