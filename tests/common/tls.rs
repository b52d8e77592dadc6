//! A blocking TLS client, which lets a test choose all that matters to a server.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme, StreamOwned, SupportedProtocolVersion,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use super::{
    ca::{Ca, Leaf},
    peer::{Peer, connect},
};

/// The name that the tests' certificate is for, where nothing else is said.
pub const NAME: &str = "mail.example.org";

/// Both versions, as `Client::speaking` wants them.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A client with its cache of tickets; clones share it.
#[derive(Clone)]
pub struct Client {
    pub config: ClientConfig,
    name: ServerName<'static>,
}

impl Client {
    /// Trusts this authority and nobody else.
    pub fn of(ca: &Ca) -> Self {
        Self::speaking(ca, &VERSIONS)
    }

    /// The same, with these versions only.
    pub fn speaking(ca: &Ca, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(ca.root_pem().as_bytes()).expect("PEM");
        roots.add(root).expect("a certificate");
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config, name: ServerName::try_from(NAME).unwrap() }
    }

    /// Takes any certificate, so that a test can look at it.
    pub fn credulous() -> Self {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous(provider())))
            .with_no_client_auth();
        Self { config, name: ServerName::try_from(NAME).unwrap() }
    }

    /// Asks for this name.
    pub fn asking(mut self, name: &str) -> Self {
        self.name = ServerName::try_from(name.to_owned()).expect("a name");
        self
    }

    /// Asks for no name.
    pub fn asking_nothing(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    pub fn alpn(mut self, ids: &[&str]) -> Self {
        self.config.alpn_protocols = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
        self
    }

    /// Every handshake is a full one, with a certificate in it.
    pub fn without_tickets(mut self) -> Self {
        self.config.resumption = Resumption::disabled();
        self
    }

    /// Shakes hands; an alert is an error.
    pub fn shake(
        &self,
        peer: Peer<TcpStream>,
    ) -> io::Result<Peer<StreamOwned<ClientConnection, TcpStream>>> {
        let mut stream = peer.0;
        let mut tls = ClientConnection::new(Arc::new(self.config.clone()), self.name.clone())
            .expect("a client");
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Peer(StreamOwned::new(tls, stream)))
    }

    /// Connects and shakes hands.
    pub fn enter(&self, to: SocketAddr) -> Peer<StreamOwned<ClientConnection, TcpStream>> {
        self.shake(connect(to)).expect("the handshake succeeds")
    }
}

impl Peer<StreamOwned<ClientConnection, TcpStream>> {
    /// The first certificate that the server has shown.
    pub fn leaf(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().expect("a full handshake")[0].clone().into_owned()
    }

    /// Says that nothing more will be said.
    pub fn close_notify(&mut self) {
        self.0.conn.send_close_notify();
        while self.0.conn.wants_write() {
            self.0.conn.write_tls(&mut self.0.sock).expect("the server reads");
        }
    }
}

/// The certificate in a PEM text.
pub fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
}

/// A server that shows this leaf and what belongs to it, and signs with this key, which may be another's.
pub fn server(
    leaf: &Leaf,
    key: &str,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let key = provider().key_provider.load_private_key(key).expect("a key");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(leaf.fullchain().as_bytes())
        .collect::<Result<_, _>>()
        .expect("PEM");
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))));
    config.alpn_protocols = alpn.iter().map(|id| id.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
