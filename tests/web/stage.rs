//! The set: an authority, a certificate, a folder, and configurations around them.

use std::{net::SocketAddr, path::PathBuf};

use crate::common::{
    ca::{Ca, Kind, Leaf},
    folder::Folder,
    front::Front,
    tls::{Client, NAME},
};

/// What is there before the front starts.
pub(crate) struct Stage {
    pub(crate) ca: Ca,
    pub(crate) folder: Folder,
}

impl Stage {
    /// With one certificate, for [`NAME`] and `web.example.org`.
    pub(crate) fn set() -> Self {
        let stage = Self { ca: Ca::new("Test"), folder: Folder::new() };
        stage.certify(&[NAME, "web.example.org"]);
        stage.folder.write("root.pem", stage.ca.root_pem());
        stage
    }

    /// One more certificate.
    pub(crate) fn certify(&self, names: &[&str]) -> Leaf {
        let leaf = self.ca.leaf(names, Kind::Ecdsa);
        leaf.certbot(&self.folder.path().join("live").join(names[0]));
        leaf
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// A front with one listener for https and these lines in it, and this backend behind it.
    pub(crate) fn front(&self, backend: &str, listener: &str) -> Front {
        Front::start(&self.config(&format!("w: {{ {backend} }}"), &tls(listener)))
    }

    /// A configuration with these backends and listeners.
    pub(crate) fn config(&self, backends: &str, listeners: &str) -> String {
        let live = self.folder.path().join("live");
        format!(
            "hostname: {NAME}\ncertificates: [{}]\nbackends: {{ {backends} }}\nlisteners:\n{listeners}",
            live.display()
        )
    }

    /// A client in TLS that speaks this protocol.
    pub(crate) fn client(&self, alpn: &[&str]) -> Client {
        Client::of(&self.ca).alpn(alpn)
    }
}

/// A listener with TLS, and these lines.
pub(crate) fn tls(lines: &str) -> String {
    let comma = if lines.is_empty() { "" } else { ", " };
    format!(
        "  - {{ bind: \"127.0.0.1:0\", protocol: http, tls: implicit, backend: w{comma}{lines} }}\n"
    )
}

/// One in clear.
pub(crate) fn clear(lines: &str) -> String {
    tls(lines).replace("tls: implicit", "tls: none")
}

/// A backend's address, as the configuration writes it.
pub(crate) fn at(address: SocketAddr) -> String {
    format!("address: \"{address}\"")
}
