//! systemd learns when the front is ready, and in words what clients have to put up with: sd_notify(3).

use std::os::unix::net::UnixDatagram;

use crate::{
    common::{
        ca::Kind,
        front::{Front, PATIENCE},
        mailhost::{Host, Talk},
        tls::NAME,
    },
    stage::Stage,
};

/// In the place of systemd.
struct Manager(UnixDatagram);

impl Manager {
    fn front(stage: &Stage, config: &str) -> (Self, Front) {
        let path = stage.folder.path().join("manager");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a patience");
        let path = format!("NOTIFY_SOCKET={}", path.display());
        let front = Front::launch_under(&["env", &path], config);
        (Self(socket), front)
    }

    /// The state that comes with the next word that the front is ready.
    #[track_caller]
    fn next(&self) -> String {
        loop {
            let mut word = [0; 1024];
            let length = self.0.recv(&mut word).expect("a word in time");
            let word = String::from_utf8_lossy(&word[..length]).into_owned();
            if word.lines().any(|line| line == "READY=1") {
                let status = word.lines().find_map(|line| line.strip_prefix("STATUS="));
                return status.expect("a status").to_owned();
            }
            assert!(word.lines().any(|line| line == "RELOADING=1"), "{word}");
            assert!(word.contains("MONOTONIC_USEC="), "Type=notify-reload needs it: {word}");
        }
    }
}

#[test]
fn in_words_that_follow_the_certificates() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let doors = [("imap", "implicit", host.backend.address)];
    let text = stage.config(&doors, "");
    let (manager, front) = Manager::front(&stage, &text);
    assert_eq!(manager.next(), "");

    std::fs::write(stage.live(NAME).join("privkey.pem"), "").unwrap();
    front.reload();
    assert_eq!(manager.next(), "Some certificates cannot be used; see the log");

    front.configure("nonsense");
    front.reload();
    assert_eq!(manager.next(), "The last reload failed; see the log");

    front.configure(&text);
    stage.ca.leaf(&[NAME], Kind::Ecdsa).certbot(&stage.live(NAME));
    front.reload();
    assert_eq!(manager.next(), "", "all is well again");
}

#[test]
fn of_a_certificate_that_no_client_trusts() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let text = stage.config(&[("imap", "implicit", host.backend.address)], "");
    let own = text.lines().find(|line| line.starts_with("certificates:")).unwrap();
    let (manager, _front) = Manager::front(&stage, &text.replace(own, ""));
    let status = "Clients get a self-signed certificate, which they do not trust; see the log";
    assert_eq!(manager.next(), status);
}
