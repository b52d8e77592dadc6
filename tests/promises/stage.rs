//! The set: an authority, a certificate, and the front before backends of the test's own.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::common::{
    ca::{Ca, Kind, Leaf},
    folder::Folder,
    front::{Front, PATIENCE},
    mailhost::Talk,
    peer::{Peer, connect},
    tls::{Client, NAME},
};

/// What is there before the front starts.
pub(crate) struct Stage {
    pub(crate) ca: Ca,
    pub(crate) leaf: Leaf,
    pub(crate) folder: Folder,
}

/// A listener: its protocol, how it comes to TLS, where it goes.
pub(crate) type Door<'a> = (&'a str, &'a str, SocketAddr);

impl Stage {
    /// With one certificate, for [`NAME`].
    pub(crate) fn set() -> Self {
        let ca = Ca::new("Test");
        let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
        let stage = Self { ca, leaf, folder: Folder::new() };
        stage.leaf.certbot(&stage.live(NAME));
        stage
    }

    /// Where the front looks for the certificates of this name.
    pub(crate) fn live(&self, name: &str) -> PathBuf {
        self.folder.path().join("live").join(name)
    }

    /// A configuration with these listeners, each on a port of 127.0.0.1, and these lines.
    pub(crate) fn config(&self, doors: &[Door<'_>], more: &str) -> String {
        let mut text = format!(
            "hostname: {NAME}\ncertificates: [{}]\n{more}\nbackends:\n",
            self.folder.path().join("live").display()
        );
        for (n, (_, _, backend)) in doors.iter().enumerate() {
            text.push_str(&format!("  b{n}: {{ address: \"{backend}\", identity: proxy-v2 }}\n"));
        }
        text.push_str("listeners:\n");
        for (n, (protocol, tls, _)) in doors.iter().enumerate() {
            text.push_str(&format!(
                "  - {{ bind: \"127.0.0.1:0\", protocol: {protocol}, tls: {tls}, backend: b{n} }}\n"
            ));
        }
        text
    }

    /// The same, with these lines in its n-th listener.
    pub(crate) fn config_with(&self, doors: &[(Door<'_>, &str)], more: &str) -> String {
        let plain: Vec<Door<'_>> = doors.iter().map(|(door, _)| *door).collect();
        let mut text = self.config(&plain, more);
        for (n, (_, lines)) in doors.iter().enumerate().filter(|(_, (_, lines))| !lines.is_empty())
        {
            text =
                text.replace(&format!("backend: b{n} }}"), &format!("backend: b{n}, {lines} }}"));
        }
        text
    }

    /// The front, ready, with these listeners and these lines.
    pub(crate) fn front(&self, doors: &[Door<'_>], more: &str) -> Front {
        Front::start(&self.config(doors, more))
    }

    /// A client that trusts the stage's authority.
    pub(crate) fn client(&self) -> Client {
        Client::of(&self.ca)
    }

    /// Goes in by STARTTLS, up to the point where the server waits for the first command in TLS.
    pub(crate) fn upgrade(
        &self,
        talk: Talk,
        to: SocketAddr,
    ) -> Peer<StreamOwned<ClientConnection, TcpStream>> {
        let mut clear = connect(to);
        clear.until(talk.greeted());
        let (command, consent) = talk.upgrade();
        clear.send(command);
        assert!(clear.line().starts_with(consent), "{command:?} is granted");
        let mut inside = self.client().shake(clear).expect("the handshake succeeds");
        if talk == Talk::Sieve {
            inside.until("OK");
        }
        inside
    }
}

/// Connects from an address of the test's choice: 127.0.0.0/8 is all ours.
pub(crate) fn call(to: SocketAddr, source: Ipv4Addr) -> Peer<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("a loopback address");
    socket.connect(&to.into()).expect("somebody listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Peer(stream)
}

/// What OpenSSL's client says, which trusts the authorities in this file alone: `Ok` if it could verify
/// what it was shown, for [`NAME`].
pub(crate) fn s_client(to: SocketAddr, roots: &Path, more: &[&str]) -> Result<String, String> {
    let patience = PATIENCE.as_secs().to_string();
    let output = Command::new("timeout")
        .args([&patience, "openssl", "s_client", "-connect", &to.to_string()])
        .args(["-servername", NAME, "-verify_hostname", NAME, "-verify_return_error"])
        .args(["-no-CApath", "-no-CAstore", "-CAfile"])
        .arg(roots)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let is_fine = output.status.success() && said.contains("Verify return code: 0 (ok)");
    if is_fine { Ok(said) } else { Err(said) }
}
