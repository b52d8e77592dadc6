//! Where rustls asks for a certificate.

use std::{net::IpAddr, sync::Arc};

use rustls::{
    SignatureScheme, SupportedCipherSuite,
    crypto::aws_lc_rs::DEFAULT_CIPHER_SUITES,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::certs::CertificateSet;

/// Chooses for clients that came to one address of ours.
///
/// rustls never shows a resolver the local address, hence one for each address that has a
/// certificate of its own. The choice between kinds of keys is made here, where the client's
/// schemes are reduced to what the suites allow.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) set: Arc<CertificateSet>,
    pub(super) local: IpAddr,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let choice = self.set.choose(hello.server_name(), self.local);
        choice.certificate(hello.signature_schemes()).map(|c| c.certified())
    }
}

/// The schemes of a ClientHello, reduced to what its suites allow, as rustls does it before it asks
/// the resolver: in TLS 1.2 the suite, too, decides on the kind of key.
#[must_use]
pub fn schemes(hello: &ClientHello<'_>) -> Vec<SignatureScheme> {
    let suites: Vec<SupportedCipherSuite> = DEFAULT_CIPHER_SUITES
        .iter()
        .filter(|suite| hello.cipher_suites().contains(&suite.suite()))
        .copied()
        .collect();
    let is_allowed = |scheme: &SignatureScheme| {
        suites.iter().any(|suite| match suite {
            SupportedCipherSuite::Tls12(suite) => suite.sign.contains(scheme),
            SupportedCipherSuite::Tls13(_) => true,
        })
    };
    hello.signature_schemes().iter().copied().filter(is_allowed).collect()
}
