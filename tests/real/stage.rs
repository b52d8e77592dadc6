//! The set: an authority, a Dovecot, the front before it; and sockets with nothing but TLS around them.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use socket2::{Domain, Socket, Type};

use crate::{
    clients::{Door, How, NAME, Protocol},
    common::{
        ca::{Ca, Kind, Leaf},
        folder::Folder,
        front::{Front, PATIENCE},
        peer::Peer,
    },
    dovecot::{Dovecot, Options, Ssl},
};

/// Each protocol both ways, in the order in which the front listens.
pub(crate) const DOORS: [(Protocol, How); 6] = [
    (Protocol::Imap, How::Starttls),
    (Protocol::Imap, How::Implicit),
    (Protocol::Pop3, How::Starttls),
    (Protocol::Pop3, How::Implicit),
    (Protocol::Sieve, How::Starttls),
    (Protocol::Sieve, How::Implicit),
];

/// How the servers are told who their clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    ProxyV1,
    ProxyV2,
    /// In the words of each protocol: XCLIENT, and ID in IMAP.
    Words,
}

impl Identity {
    pub(crate) const ALL: [Self; 3] = [Self::ProxyV1, Self::ProxyV2, Self::Words];

    /// As the configuration has it, of a server that speaks these protocols.
    pub(crate) fn as_yaml(self) -> &'static str {
        match self {
            Self::ProxyV1 => "proxy-v1",
            Self::ProxyV2 => "proxy-v2",
            Self::Words => "{ smtp: xclient, imap: imap-id, pop3: xclient, sieve: xclient }",
        }
    }
}

/// The front before a Dovecot, both the test's own.
pub(crate) struct Stage {
    pub(crate) front: Front,
    pub(crate) backend: Backend,
}

/// A Dovecot, and the authority that its certificate and the front's come from.
pub(crate) struct Backend {
    pub(crate) ca: Ca,
    pub(crate) leaf: Leaf,
    pub(crate) dovecot: Dovecot,
    pub(crate) root: PathBuf,
    pub(crate) folder: Folder,
    identity: Identity,
}

impl Backend {
    pub(crate) fn new(ssl: Ssl) -> Self {
        Self::with(&Options { ssl, ..Options::default() })
    }

    pub(crate) fn with(options: &Options<'_>) -> Self {
        let ca = Ca::new("Test");
        let leaf = ca.leaf(&[NAME, "localhost"], Kind::Ecdsa);
        let folder = Folder::new();
        let root = ca.write_root(folder.path());
        let dovecot = Dovecot::start(&Options { leaf: Some(&leaf), ..*options });
        Self { ca, leaf, dovecot, root, folder, identity: Identity::ProxyV2 }
    }

    /// The same, and it is told so who its clients are.
    pub(crate) fn told_by(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// The way to Dovecot with no front between; its TLS is its own.
    pub(crate) fn direct(&self, protocol: Protocol) -> Door<'_> {
        let ports = self.dovecot.ports;
        let port = match protocol {
            Protocol::Imap => ports.plain_imap,
            Protocol::Pop3 => ports.plain_pop3,
            Protocol::Sieve => ports.plain_sieve,
        };
        Door { protocol, how: How::Starttls, port, root: &self.root }
    }

    /// Where the front looks for its certificates.
    pub(crate) fn live(&self) -> PathBuf {
        self.folder.path().join("live")
    }

    /// The part of a configuration that says what is behind the front.
    pub(crate) fn as_yaml(&self) -> String {
        let ports = self.dovecot.ports;
        let [imap, pop3, sieve] = match self.identity {
            Identity::ProxyV1 | Identity::ProxyV2 => [ports.imap, ports.pop3, ports.sieve],
            Identity::Words => [ports.plain_imap, ports.plain_pop3, ports.plain_sieve],
        };
        format!(
            "hostname: {NAME}
certificates: [{}]
backends:
  dovecot: {{ address: 127.0.0.1, identity: {}, ports: {{ imap: {imap}, pop3: {pop3}, sieve: {sieve} }} }}
",
            self.live().display(),
            self.identity.as_yaml(),
        )
    }
}

impl Stage {
    pub(crate) fn set(ssl: Ssl) -> Self {
        Self::before(Backend::new(ssl))
    }

    pub(crate) fn before(backend: Backend) -> Self {
        backend.leaf.certbot(&backend.live().join(NAME));
        let mut config = backend.as_yaml();
        config.push_str("listeners:\n");
        for (protocol, how) in DOORS {
            let (protocol, tls) =
                (format!("{protocol:?}").to_lowercase(), format!("{how:?}").to_lowercase());
            config.push_str(&format!(
                "  - {{ bind: \"127.0.0.1:0\", protocol: {protocol}, tls: {tls}, backend: dovecot }}\n"
            ));
        }
        Self { front: Front::start(&config), backend }
    }

    /// All six ways in.
    pub(crate) fn doors(&self) -> Vec<Door<'_>> {
        DOORS.iter().map(|&(protocol, how)| self.door(protocol, how)).collect()
    }

    /// The four that lead to mail.
    pub(crate) fn mail_doors(&self) -> Vec<Door<'_>> {
        self.doors().into_iter().filter(|door| door.protocol != Protocol::Sieve).collect()
    }

    pub(crate) fn door(&self, protocol: Protocol, how: How) -> Door<'_> {
        let n = DOORS.iter().position(|&door| door == (protocol, how)).expect("all six are there");
        Door { protocol, how, port: self.front.port(n), root: &self.backend.root }
    }
}

/// Connects from an address of the test's choice: 127.0.0.0/8 is all ours.
pub(crate) fn call(port: u16, source: Ipv4Addr) -> Peer<TcpStream> {
    call_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), source)
}

/// The same, to any address.
pub(crate) fn call_at(to: SocketAddr, source: Ipv4Addr) -> Peer<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("a loopback address");
    socket.connect(&to.into()).expect("somebody listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Peer(stream)
}

/// What a client needs to know to trust nobody but this root.
pub(crate) fn trust(root: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(root).expect("the root was written");
    roots.add(CertificateDer::from_pem_slice(&pem).expect("PEM")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions");
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// Shakes hands, with the name that everybody asks for.
pub(crate) fn secure(
    peer: Peer<TcpStream>,
    trust: Arc<ClientConfig>,
) -> Peer<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(NAME).expect("a name");
    let mut stream = peer.0;
    let mut tls = ClientConnection::new(trust, name).expect("a client");
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).expect("the handshake succeeds");
    }
    Peer(StreamOwned::new(tls, stream))
}

/// What a server says in clear before anybody asks.
pub(crate) fn greeting<S: std::io::Read + std::io::Write>(
    peer: &mut Peer<S>,
    protocol: Protocol,
) -> String {
    match protocol {
        Protocol::Imap | Protocol::Pop3 => peer.line(),
        Protocol::Sieve => peer.until("OK"),
    }
}

/// Goes in by any door, up to the point where the server waits for the first command in TLS; says, too, how it
/// was greeted there: IMAP and POP3 greet once only, before STARTTLS.
pub(crate) fn enter(
    door: &Door<'_>,
    source: Ipv4Addr,
) -> (Peer<StreamOwned<ClientConnection, TcpStream>>, String) {
    let trust = trust(door.root);
    let mut clear = call(door.port, source);
    let mut greeted = String::new();
    if door.how == How::Starttls {
        greeted = greeting(&mut clear, door.protocol);
        let (upgrade, ok) = match door.protocol {
            Protocol::Imap => ("tls STARTTLS\r\n", "tls OK"),
            Protocol::Pop3 => ("STLS\r\n", "+OK"),
            Protocol::Sieve => ("STARTTLS\r\n", "OK"),
        };
        clear.send(upgrade);
        let granted = clear.line();
        assert!(granted.starts_with(ok), "{granted:?} to {upgrade:?}");
    }
    let mut inside = secure(clear, trust);
    if door.how == How::Implicit || door.protocol == Protocol::Sieve {
        greeted = greeting(&mut inside, door.protocol);
    }
    (inside, greeted)
}
