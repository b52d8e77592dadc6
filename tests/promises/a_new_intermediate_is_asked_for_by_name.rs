//! The leaf was renewed under a new intermediate, and only the old one is at hand: the front says which
//! is missing, shows clients nothing worse than before, and is well as soon as the file is there.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::{
    common::{
        ca::{Authority, Ca, Kind, Leaf, issue},
        folder::Folder,
        front::Front,
        mailhost::{Host, Talk},
        peer::connect,
        tls::{Client, NAME, der},
    },
    stage::s_client,
};

/// Where the new intermediate can be had.
const URL: &str = "http://ca.example.org/ssl-ca-2.der";

/// An authority that has changed its intermediate, and what the admin has of it.
struct Office {
    ca: Ca,
    new: Authority,
    folder: Folder,
    host: Host,
}

impl Office {
    /// "SSL CA 1" is at hand, in a pool.
    fn open() -> Self {
        let ca = Ca::new("SSL");
        let new = ca.another("SSL CA 2");
        let folder = Folder::new();
        folder.write("pool/ssl-ca-1.pem", ca.intermediate.pem());
        folder.write("root.pem", ca.root_pem());
        Self { ca, new, folder, host: Host::polite(Talk::Imap) }
    }

    /// Puts a leaf in place, without a chain.
    fn install(&self, leaf: &Leaf) {
        self.folder.write("certs/mail.crt", &leaf.cert);
        let key = self.folder.write("certs/mail.key", &leaf.key);
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn new_leaf(&self) -> Leaf {
        issue(&self.new, &[NAME], Kind::Ecdsa, |params| {
            // id-ad-caIssuers: RFC 5280 §4.2.2.1.
            let tagged = |tag: u8, content: &[u8]| {
                [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
            };
            let method = tagged(0x06, &[0x2b, 6, 1, 5, 5, 7, 0x30, 2]);
            let access = [method, tagged(0x86, URL.as_bytes())].concat();
            let content = tagged(0x30, &tagged(0x30, &access));
            let id = [1, 3, 6, 1, 5, 5, 7, 1, 1];
            let extension = rcgen::CustomExtension::from_oid_content(&id, content);
            params.custom_extensions.push(extension);
        })
    }

    /// As on 993 and on 143.
    fn front(&self) -> Front {
        let below = self.folder.path().display();
        Front::start(&format!(
            "hostname: {NAME}
certificates: [{below}/certs]
intermediates: [{below}/pool]
backend: {}
listeners:
  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: implicit }}
  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: starttls }}
",
            self.host.backend.address
        ))
    }

    /// Whether those who trust the root alone can come in, by either door; they are shown this leaf.
    fn lets_in(&self, front: &Front, leaf: &Leaf) {
        let client = Client::of(&self.ca).without_tickets();
        let mut implicit = client.enter(front.address(0));
        implicit.until("* OK");
        Talk::Imap.log_in(&mut implicit);
        let mut clear = connect(front.address(1));
        clear.until("* OK");
        clear.send(Talk::Imap.upgrade().0);
        clear.until(Talk::Imap.upgrade().1);
        let mut inside = client.shake(clear).expect("the handshake succeeds");
        Talk::Imap.log_in(&mut inside);
        for peer in [implicit, inside] {
            assert_eq!(peer.leaf(), der(&leaf.cert));
            assert_eq!(peer.0.conn.peer_certificates().unwrap().len(), 2);
        }
        let root = self.folder.path().join("root.pem");
        s_client(front.address(0), &root, &[]).expect("by implicit TLS");
        s_client(front.address(1), &root, &["-starttls", "imap"]).expect("by STARTTLS");
    }
}

/// What is said under this code since then, at this level.
fn said(front: &Front, mark: usize, level: &str, code: &str) -> Vec<String> {
    let is_it = |line: &&Value| {
        line["level"] == level && line["message"].as_str().is_some_and(|m| m.contains(code))
    };
    let lines = front.log();
    lines[mark..].iter().filter(is_it).map(|line| line["message"].to_string()).collect()
}

/// It names the file, the certificate, the missing issuer, and where it can be had.
fn is_asked_for(said: &[String]) {
    assert_eq!(said.len(), 1, "{said:?}");
    for part in ["certs/mail.crt", NAME, "SSL CA 2", URL] {
        assert!(said[0].contains(part), "{part}: {said:?}");
    }
}

/// At a reload the old one, whose chain is complete, goes on being served.
#[test]
fn at_a_reload_the_old_one_is_served_on() {
    let office = Office::open();
    let (old, new) = (office.ca.leaf(&[NAME], Kind::Ecdsa), office.new_leaf());
    office.install(&old);
    let front = office.front();
    office.lets_in(&front, &old);

    office.install(&new);
    let mark = front.mark();
    front.reload();
    is_asked_for(&said(&front, mark, "WARN", "V007"));
    let kept = said(&front, mark, "ERROR", "V022");
    assert!(kept.len() == 1 && kept[0].contains("SSL CA 2"), "{kept:?}");
    office.lets_in(&front, &old);

    office.folder.write("pool/ssl-ca-2.pem", office.new.pem());
    let mark = front.mark();
    assert_eq!(front.reload()["message"], "reloaded");
    for level in ["WARN", "ERROR"] {
        assert_eq!(said(&front, mark, level, ": V0"), Vec::<String>::new());
    }
    office.lets_in(&front, &new);
    // And it no longer needs the old one.
    fs::remove_file(office.folder.path().join("pool/ssl-ca-1.pem")).unwrap();
    front.reload();
    office.lets_in(&front, &new);
}

/// At a start there is nothing better: it is served with a warning.
#[test]
fn at_a_start_it_is_served_and_said() {
    let office = Office::open();
    let new = office.new_leaf();
    office.install(&new);
    let front = office.front();
    is_asked_for(&said(&front, 0, "WARN", "V007"));
    let root = office.folder.path().join("root.pem");
    let failed = s_client(front.address(0), &root, &["-showcerts"]).unwrap_err();
    assert!(failed.contains("unable to get local issuer certificate"), "{failed}");
    assert_eq!(failed.matches("-----BEGIN CERTIFICATE").count(), 1, "the leaf alone: {failed}");

    // Beside the leaf is as good as in the pool.
    office.folder.write("certs/ssl-ca-2.crt", office.new.pem());
    assert_eq!(front.reload()["message"], "reloaded");
    office.lets_in(&front, &new);
}

/// Who wants to be strict is: nothing is served, and the start says why.
#[test]
fn a_strict_policy_refuses_it() {
    let office = Office::open();
    office.install(&office.new_leaf());
    let below = office.folder.path().display();
    let mut front = Front::launch(&format!(
        "hostname: {NAME}
certificates: [{below}/certs]
intermediates: [{below}/pool]
lint: {{ V007: refuse }}
backend: {}
listeners: [ {{ bind: \"127.0.0.1:0\", protocol: imap, tls: implicit }} ]
",
        office.host.backend.address
    ));
    assert_eq!(front.exit().code(), Some(78), "EX_CONFIG");
    let log: String = front.log().iter().map(|line| format!("{line}\n")).collect();
    assert!(log.contains("V007") && log.contains("SSL CA 2"), "{log}");
}
