//! Where rustls asks for a certificate.

use std::{net::IpAddr, sync::Arc};

use rustls::{
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
