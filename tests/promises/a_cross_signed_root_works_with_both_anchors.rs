//! A root that is new, and has been signed by an old one as well: clients that know only the new one can
//! verify us, and so can those that know only the old one.

use std::path::PathBuf;

use rcgen::CertifiedIssuer;

use crate::{
    common::{
        ca::{Kind, authority, issue},
        folder::Folder,
        front::Front,
        mailhost::{Host, Talk},
        tls::NAME,
    },
    stage::s_client,
};

/// The certificates, in a folder: what the admin has under `certs`, and both roots for clients.
struct World {
    folder: Folder,
    host: Host,
}

impl World {
    fn new() -> Self {
        let root = |cn| CertifiedIssuer::self_signed(authority(cn), Kind::Ecdsa.key()).unwrap();
        let (old, new) = (root("Old Root"), root("New Root"));
        // The same name and the same key, by the old root.
        let cross = authority("New Root").signed_by(new.key(), &old).unwrap();
        let ca =
            CertifiedIssuer::signed_by(authority("SSL CA 1"), Kind::Ecdsa.key(), &new).unwrap();
        let leaf = issue(&ca, &[NAME], Kind::Ecdsa, |_| {});
        let folder = Folder::new();
        folder.write("certs/mail.crt", &leaf.cert);
        folder.write("certs/mail.key", &leaf.key);
        // As authorities ship it.
        folder.write("certs/mail.ca-bundle.crt", [cross.pem(), new.pem(), ca.pem()].concat());
        folder.write("old.pem", old.pem());
        folder.write("new.pem", new.pem());
        folder.write("both.pem", [old.pem(), new.pem()].concat());
        folder.write("neither.pem", root("Another Root").pem());
        Self { folder, host: Host::polite(Talk::Imap) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A front on a machine that trusts these authorities.
    fn front(&self, trusted: &str) -> Front {
        let file = format!("SSL_CERT_FILE={}", self.path(trusted).display());
        let config = format!(
            "hostname: {NAME}
certificates: [{}]
backend: {}
listeners:
  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: implicit }}
  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: starttls }}
",
            self.path("certs").display(),
            self.host.backend.address
        );
        let front = Front::launch_under(&["env", "--unset=SSL_CERT_DIR", &file], &config);
        front.wait("it is ready", 0, |line| line["message"] == "ready");
        front
    }

    /// What a client that trusts these alone says, by both doors.
    fn ask(&self, front: &Front, trusted: &str) -> [Result<String, String>; 2] {
        let roots = self.path(trusted);
        [
            s_client(front.address(0), &roots, &["-showcerts"]),
            s_client(front.address(1), &roots, &["-showcerts", "-starttls", "imap"]),
        ]
    }
}

/// Whatever the front's own machine trusts, as long as it has not taken leave of the old root.
#[test]
fn whichever_the_machine_itself_knows() {
    let world = World::new();
    for machine in ["both.pem", "old.pem", "neither.pem"] {
        let front = world.front(machine);
        for client in ["new.pem", "old.pem"] {
            for answer in world.ask(&front, client) {
                let shown = answer.unwrap_or_else(|why| panic!("{client} at {machine}: {why}"));
                assert_eq!(shown.matches("-----BEGIN CERTIFICATE").count(), 3, "{shown}");
            }
        }
        for answer in world.ask(&front, "neither.pem") {
            answer.expect_err("nobody else trusts it");
        }
    }
}

/// On a machine that has dropped the old root, nobody is sent there.
#[test]
fn a_root_that_the_machine_has_dropped_is_not_shown() {
    let world = World::new();
    let front = world.front("new.pem");
    for answer in world.ask(&front, "new.pem") {
        let shown = answer.expect("the new root is enough");
        assert_eq!(shown.matches("-----BEGIN CERTIFICATE").count(), 2, "{shown}");
    }
}
