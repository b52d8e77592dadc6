//! `vestibule probe` sees of real servers, and of the front before them, what `openssl s_client` sees.

use std::{path::Path, process::Command};

use crate::{
    clients::{self, NAME},
    common::{
        ca::{Ca, Kind, Leaf},
        folder::Folder,
        probe::{Probe, probe},
    },
    dovecot::{Dovecot, Options, Ssl},
    mailroom::{Mailroom, Way},
    stage::{DOORS, Stage},
};

fn look(port: u16, starttls: Option<&str>, root: &Path) -> Probe {
    let at = format!("127.0.0.1:{port}");
    let mut arguments = vec![at.as_str(), "--sni", NAME, "--trust", root.to_str().unwrap()];
    if let Some(protocol) = starttls {
        arguments.extend(["--starttls", protocol]);
    }
    probe(None, &arguments)
}

/// What openssl's client says, where it verifies with this root.
fn openssl(port: u16, starttls: Option<&str>, root: &Path) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-showcerts", "-connect", &format!("127.0.0.1:{port}")]);
    command.args(["-servername", NAME, "-verify_hostname", NAME]).arg("-CAfile").arg(root);
    if let Some(protocol) = starttls {
        command.args(["-starttls", protocol]);
    }
    String::from_utf8_lossy(&clients::output(command, "openssl")).into_owned()
}

#[track_caller]
fn agree(port: u16, starttls: Option<&str>, root: &Path, injection: Option<&str>) -> Probe {
    let (seen, theirs) = (look(port, starttls, root), openssl(port, starttls, root));
    seen.is_fine();
    assert!(theirs.contains("Verify return code: 0 (ok)"), "{theirs}");
    let chain = seen.report["chain"]["certificates"].as_array().expect("a list");
    assert_eq!(chain.len(), theirs.matches("-----BEGIN CERTIFICATE-----").count(), "{theirs}");
    let version = seen.report["tls"]["version"].as_str().expect("a version");
    assert!(theirs.contains(&format!("New, {version}, Cipher is ")), "{version}: {theirs}");
    assert_eq!(seen.report["injection"]["text"].as_str(), injection, "{:#}", seen.report);
    let inside = seen.report["capabilities_inside_tls"].as_array().expect("a list");
    assert!(!inside.is_empty(), "{:#}", seen.report);
    seen
}

const IGNORES: &str = "the server ignores what comes behind STARTTLS";
const ENDS: &str = "the server ends the session";

#[test]
fn on_dovecot_and_the_front_before_it() {
    let stage = Stage::set(Ssl::Yes);
    let root = &stage.backend.root;
    let ports = stage.backend.dovecot.ports;
    for (port, protocol) in
        [(ports.plain_imap, "imap"), (ports.plain_pop3, "pop3"), (ports.plain_sieve, "sieve")]
    {
        agree(port, Some(protocol), root, Some(ENDS));
    }
    for ((protocol, how), door) in DOORS.into_iter().zip(stage.doors()) {
        let protocol = format!("{protocol:?}").to_lowercase();
        let starttls = (how == clients::How::Starttls).then_some(protocol.as_str());
        agree(door.port, starttls, root, starttls.map(|_| ENDS));
    }
}

#[test]
fn on_postfix_and_the_front_before_it() {
    let room = Mailroom::set();
    let root = &room.servers.dovecot.root;
    for login in [false, true] {
        let port = room.servers.direct(Way::Starttls, login).port;
        agree(port, Some("smtp"), root, Some(IGNORES));
    }
    agree(room.front.port(0), Some("smtp"), root, Some(ENDS));
    agree(room.front.port(1), Some("smtp"), root, Some(ENDS));
    agree(room.front.port(2), None, root, None);
}

/// Leaf and nothing else, as after many a renewal: openssl and the probe miss the same.
#[test]
fn on_a_dovecot_that_sends_its_leaf_alone() {
    let (ca, folder) = (Ca::new("Test"), Folder::new());
    let leaf = Leaf { chain: String::new(), ..ca.leaf(&[NAME], Kind::Ecdsa) };
    let root = &ca.write_root(folder.path());
    let options = Options { ssl: Ssl::Yes, leaf: Some(&leaf), ..Options::default() };
    let dovecot = Dovecot::start(&options);
    let port = dovecot.ports.plain_imap;
    let seen = look(port, Some("imap"), root);
    seen.finds("error", "certificates", Some("V007"), &["CN=Test CA 1"]);
    assert_eq!(seen.report["chain"]["end"]["kind"], "missing");
    let theirs = openssl(port, Some("imap"), root);
    assert!(theirs.contains("Verify return code: 21 "), "{theirs}");
}
