//! The set with clients that have certificates of their own.

use std::{io::Read, path::PathBuf, sync::Arc};

use rustls::{
    HandshakeKind,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use serde_json::Value;

use crate::{
    common::{
        ca::{Ca, Leaf},
        folder::Folder,
        front::Front,
        mailhost::{Host, Talk},
        peer::connect,
        proxy::{Header, SSL, SSL_CN, tlvs_of},
        s_client::{Said, s_client},
        tls::{Client, der},
    },
    stage::Stage,
};

pub(crate) const REVOKED: u64 = 7;

/// A stage with an authority for clients, its root and its lists on disk.
pub(crate) struct Set {
    pub(crate) stage: Stage,
    pub(crate) host: Host,
    pub(crate) ca: Ca,
}

impl Set {
    pub(crate) fn new() -> Self {
        let set =
            Self { stage: Stage::set(), host: Host::polite(Talk::Imap), ca: Ca::new("Clients") };
        set.write("trust/root.pem", &set.ca.root_pem());
        set.write("crl/lists.pem", &set.ca.revocation_lists(&[REVOKED], 2020..=2999).concat());
        set
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        self.stage.folder.write(name, text)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.stage.folder.path().join(name).display().to_string()
    }

    pub(crate) fn rule(&self, mode: &str, more: &str) -> String {
        format!("{{ mode: {mode}, trust: [{}]{more} }}", self.path("trust"))
    }

    pub(crate) fn with_lists(&self, mode: &str) -> String {
        self.rule(mode, &format!(", crl: [{}]", self.path("crl")))
    }

    /// Listeners with implicit TLS, each with this rule, or, where it is empty, none.
    pub(crate) fn config(&self, rules: &[&str], more: &str) -> String {
        let line = |rule: &&str| match *rule {
            "" => String::new(),
            rule => format!("client_certificates: {rule}"),
        };
        let lines: Vec<String> = rules.iter().map(line).collect();
        let door = ("imap", "implicit", self.host.backend.address);
        let doors: Vec<_> = lines.iter().map(|line| (door, line.as_str())).collect();
        self.stage.config_with(&doors, more)
    }

    pub(crate) fn front(&self, rules: &[&str], more: &str) -> Front {
        Front::start(&self.config(rules, more))
    }

    /// What becomes of a client with this certificate, in words, in the log and at the backend.
    pub(crate) fn visit(
        &self,
        front: &Front,
        n: usize,
        client: Option<&Leaf>,
        more: &[&str],
    ) -> Visit {
        let folder = Folder::new();
        let mut arguments = more.to_vec();
        let (leaf, key, chain) = ("leaf.pem", "key.pem", "chain.pem");
        let paths = [leaf, key, chain].map(|name| folder.path().join(name).display().to_string());
        if let Some(client) = client {
            folder.write(leaf, &client.cert);
            folder.write(key, &client.key);
            folder.write(chain, &client.chain);
            arguments.extend(["-cert", &paths[0], "-key", &paths[1]]);
            if !client.chain.is_empty() {
                arguments.extend(["-cert_chain", &paths[2]]);
            }
        }
        let (mark, callers) = (front.mark(), self.host.callers().len());
        let said = s_client(front.address(n), &arguments);
        let summary = front.summary(mark);
        let header = self.host.callers().get(callers).cloned();
        Visit { said, summary, header }
    }
}

#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) said: Said,
    pub(crate) summary: Value,
    pub(crate) header: Option<Header>,
}

impl Visit {
    /// The SSL TLV: its client bits, the result, and the common name.
    pub(crate) fn told(&self) -> (u8, u32, Option<String>) {
        let header = self.header.as_ref().unwrap_or_else(|| panic!("served: {self:#?}"));
        let value = header.tlv(SSL).expect("the session is under TLS");
        let name = tlvs_of(&value[5..]).into_iter().find(|(kind, _)| *kind == SSL_CN);
        let result = u32::from_be_bytes(value[1..5].try_into().unwrap());
        (value[0], result, name.map(|(_, name)| String::from_utf8(name).unwrap()))
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        self.summary[field].as_str().unwrap_or_else(|| panic!("{field}: {:#}", self.summary))
    }
}

/// A client of the test's own, which keeps tickets.
pub(crate) fn with_certificate(mut client: Client, leaf: &Leaf, key: &Leaf) -> Client {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivateKeyDer::from_pem_slice(key.key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![der(&leaf.cert), der(&leaf.chain)];
    let both = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    client.config.client_auth_cert_resolver = Arc::new(both);
    client
}

/// Greeted, and out again; an alert is an error.
pub(crate) fn enter(client: &Client, front: &Front) -> std::io::Result<HandshakeKind> {
    let mut peer = client.shake(connect(front.address(0)))?;
    let kind = peer.0.conn.handshake_kind().expect("shaken");
    // In TLS 1.3 the alert comes when the client has finished.
    let mut octet = [0];
    peer.0.read_exact(&mut octet)?;
    Talk::Imap.log_out(&mut peer);
    peer.rest();
    Ok(kind)
}
