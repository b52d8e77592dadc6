//! The versions, the application protocols, and what else a handshake may agree on.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{SignatureScheme, client::ResolvesClientCert, sign::CertifiedKey};

use crate::{
    common::{
        ca::Kind,
        front::Front,
        hello::{Answer, Hello},
        mailhost::{Host, TALKS, Talk},
        peer::{Backend, connect},
        tls::{Client, NAME, VERSIONS},
    },
    stage::Stage,
};

fn imaps(stage: &Stage) -> (Front, Host) {
    let host = Host::polite(Talk::Imap);
    (stage.front(&[("imap", "implicit", host.backend.address)], ""), host)
}

/// T1; RFC 8996: SSL 3.0, TLS 1.0 and TLS 1.1 end in `protocol_version` (70); the two others are spoken.
#[test]
fn two_versions_and_no_older_one() {
    let stage = Stage::set();
    let (front, _host) = imaps(&stage);
    for version in [0x0300, 0x0301, 0x0302] {
        let mut peer = connect(front.address(0));
        peer.send(Hello::default().version(version).record());
        let answer = Answer::read(&mut peer);
        assert!(matches!(answer, Answer::Alert(70)), "{version:#x}: {answer:?}");
    }
    for (version, name) in VERSIONS.iter().zip(["TLSv1.2", "TLSv1.3"]) {
        let mark = front.mark();
        let mut peer = Client::speaking(&stage.ca, &[version]).enter(front.address(0));
        peer.until("* OK");
        drop(peer);
        front.wait("the log has the version", mark, |line| line["tls"] == name);
    }
}

/// T10, T12; RFC 7301 §3.2: who offers ids, and none of the listener's own, gets
/// `no_application_protocol` (120); T11: who offers none is served.
#[test]
fn each_listener_has_its_own_alpn() {
    let stage = Stage::set();
    let own = ["imap", "pop3", "managesieve"];
    let hosts = TALKS.map(Host::polite);
    let mut doors = Vec::new();
    for (talk, host) in TALKS.iter().zip(&hosts) {
        doors.extend(["implicit", "starttls"].map(|tls| (talk.name(), tls, host.backend.address)));
    }
    let front = stage.front(&doors, "");
    let hello = |door: usize, talk: Talk| {
        let mut peer = connect(front.address(door));
        if door % 2 == 1 {
            peer.until(talk.greeted());
            peer.send(talk.upgrade().0);
            peer.line();
        }
        peer
    };
    for (n, talk) in TALKS.into_iter().enumerate() {
        for door in [n * 2, n * 2 + 1] {
            for id in ["imap", "pop3", "managesieve", "h2", "http/1.1", "smtp", "IMAP", "imaps"] {
                let mut peer = hello(door, talk);
                peer.send(Hello::default().alpn(&[id]).record());
                match Answer::read(&mut peer) {
                    Answer::Alert(120) => assert_ne!(id, own[n]),
                    Answer::Flight { extensions, .. } => {
                        assert_eq!(id, own[n], "{talk:?}");
                        let agreed = extensions.iter().find(|(kind, _)| *kind == 16).unwrap();
                        let length = u8::try_from(id.len()).unwrap();
                        let wanted = [&[0, length + 1, length], id.as_bytes()].concat();
                        assert_eq!(agreed.1, wanted);
                    }
                    other => panic!("{talk:?}, {id}: {other:?}"),
                }
            }
            let mut peer = hello(door, talk);
            peer.send(Hello::default().alpn(&["h2", own[n]]).record());
            assert!(matches!(Answer::read(&mut peer), Answer::Flight { .. }), "one of two");
            let mut peer = hello(door, talk);
            peer.send(Hello::default().record());
            assert!(matches!(Answer::read(&mut peer), Answer::Flight { .. }), "none at all");
        }
    }
}

/// T17; RFC 8314 §4.2: no client is asked for a certificate.
#[test]
fn no_certificate_is_wanted_of_clients() {
    #[derive(Debug, Default)]
    struct Asked(AtomicBool);
    impl ResolvesClientCert for Asked {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            self.0.store(true, Ordering::Relaxed);
            None
        }

        fn has_certs(&self) -> bool {
            true
        }
    }
    let stage = Stage::set();
    let (front, _host) = imaps(&stage);
    for version in VERSIONS {
        let asked = Arc::new(Asked::default());
        let mut client = Client::speaking(&stage.ca, &[version]);
        client.config.client_auth_cert_resolver = asked.clone();
        client.enter(front.address(0)).until("* OK");
        assert!(!asked.0.load(Ordering::Relaxed), "{version:?}");
    }
}

/// What `openssl s_client` finds out.
fn s_client(front: &Front, arguments: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &front.address(0).to_string(), "-servername", NAME])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("apt-get install openssl");
    // A renegotiation, and, whether or not that was possible, the end.
    child.stdin.take().expect("a pipe").write_all(b"R\n").expect("openssl reads");
    let output = child.wait_with_output().expect("openssl ends");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// T2; RFC 9325 §3.3, §3.5: no compression, RFC 5746 acknowledged, the extended master secret, and no
/// renegotiation.
#[test]
fn nothing_that_was_given_up() {
    let stage = Stage::set();
    // One who says nothing: openssl takes no data in the middle of a renegotiation.
    let silent = Backend::script(|mut peer| drop(peer.rest()));
    let front = stage.front(&[("raw", "implicit", silent.address)], "");
    let seen = s_client(&front, &["-tls1_2", "-comp", "-legacy_renegotiation"]);
    for fact in
        ["Compression: NONE", "Secure Renegotiation IS supported", "Extended master secret: yes"]
    {
        assert!(seen.contains(fact), "{fact}: {seen}");
    }
    assert!(seen.contains("RENEGOTIATING") && seen.contains("no renegotiation"), "{seen}");
}

/// T3, I19; RFC 9325 §4.1: nothing but forward secrecy with AEAD, and what IMAP prescribes among it.
#[test]
fn no_weak_cipher() {
    let stage = Stage::set();
    stage.ca.leaf(&[NAME], Kind::Rsa).certbot(&stage.live("rsa"));
    let (front, _host) = imaps(&stage);
    for weak in
        ["ALL:COMPLEMENTOFALL:!AESGCM:!CHACHA20:@SECLEVEL=0", "kRSA:@SECLEVEL=0", "DHE:@SECLEVEL=0"]
    {
        let seen = s_client(&front, &["-tls1_2", "-cipher", weak]);
        assert!(
            seen.contains("handshake failure") || seen.contains("Cipher is (NONE)"),
            "{weak}: {seen}"
        );
    }
    let seen = s_client(&front, &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]);
    assert!(seen.contains("Cipher is ECDHE-RSA-AES128-GCM-SHA256"), "{seen}");
}

/// T8 in TLS 1.3, where the extension is encrypted.
#[test]
fn the_name_is_acknowledged_in_tls_13_too() {
    let stage = Stage::set();
    let (front, _host) = imaps(&stage);
    let seen = s_client(&front, &["-tls1_3", "-tlsextdebug"]);
    assert!(seen.contains("TLS server extension \"server name\" (id=0), len=0"), "{seen}");
}
