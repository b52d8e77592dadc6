//! A backend's certificate is verified, or pinned; what is wrong with it is said, and nothing goes there.

use std::net::Ipv4Addr;

use rcgen::date_time_ymd;

use crate::{
    clients::NAME,
    common::{
        ca::{Ca, Kind, Leaf},
        commands::{check_backends, openssl},
        folder::Folder,
        front::Front,
    },
    dovecot::{Dovecot, Options, Ssl},
    postfix::{FOR_DOVECOT, Postfix},
    stage::call,
};

/// A Dovecot that shows this certificate, to a front that has been told this of its TLS.
struct Set {
    dovecot: Dovecot,
    folder: Folder,
}

impl Set {
    fn with(leaf: &Leaf) -> Self {
        let dovecot =
            Dovecot::start(&Options { ssl: Ssl::Yes, leaf: Some(leaf), ..Options::default() });
        Self { dovecot, folder: Folder::new() }
    }

    fn config(&self, tls: &str) -> String {
        let ports = self.dovecot.ports;
        format!(
            "hostname: {NAME}
certificates: [{}]
backends:
  dovecot: {{ address: 127.0.0.1, tls: starttls, {tls}, ports: {{ imap: {}, pop3: {}, sieve: {} }} }}
listeners:
  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: none, backend: dovecot }}
  - {{ bind: \"127.0.0.1:0\", protocol: pop3, tls: none, backend: dovecot }}
  - {{ bind: \"127.0.0.1:0\", protocol: sieve, tls: none, backend: dovecot }}
",
            self.folder.path().join("live").display(),
            ports.imap,
            ports.pop3,
            ports.sieve
        )
    }

    #[track_caller]
    fn is_fine(&self, tls: &str) {
        let (code, seen) = check_backends(&self.config(tls));
        assert_eq!(code, 0, "{tls}: {seen:?}");
        assert!(seen.iter().all(|backend| backend["banner"] == "Backend here."), "{seen:?}");
    }

    /// It is refused, in these words.
    #[track_caller]
    fn is_not(&self, tls: &str, words: &[&str]) {
        let (code, seen) = check_backends(&self.config(tls));
        assert_eq!(code, 2, "{tls}: {seen:?}");
        for backend in seen {
            let finding = &backend["findings"][0];
            assert_eq!(finding["kind"], "insecure", "{backend:#}");
            let text = finding["text"].as_str().unwrap();
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
    }
}

fn root(set: &Set, ca: &Ca) -> String {
    ca.write_root(set.folder.path()).display().to_string()
}

/// The name that counts is `tls_name`, or else the address.
#[test]
fn it_is_for_the_name_that_was_asked_for() {
    let ca = Ca::new("Test");
    let set = Set::with(&ca.leaf(&[NAME], Kind::Ecdsa));
    let root = root(&set, &ca);
    set.is_fine(&format!("tls_name: {NAME}, tls_ca: {root}"));
    let other = ["not for other.example.org, but for mail.example.org", "tls_name"];
    set.is_not(&format!("tls_name: other.example.org, tls_ca: {root}"), &other);
    set.is_not(&format!("tls_ca: {root}"), &["not for 127.0.0.1, but for mail.example.org"]);
    let with_address = Set::with(&ca.leaf(&[NAME, "127.0.0.1"], Kind::Rsa));
    with_address.is_fine(&format!("tls_ca: {root}"));
}

/// Its authority is one of those in `tls_ca`, or of those that this machine trusts.
#[test]
fn it_comes_from_somebody_who_is_trusted() {
    let (ca, other) = (Ca::new("Test"), Ca::new("Other"));
    let set = Set::with(&ca.leaf(&[NAME], Kind::Ecdsa));
    let stranger = other.write_root(set.folder.path()).display().to_string();
    let words = ["no authority that is trusted here", "Test CA 1", "tls_ca", "sha256:"];
    set.is_not(&format!("tls_name: {NAME}, tls_ca: {stranger}"), &words);
    set.is_not(&format!("tls_name: {NAME}"), &words);
}

/// It is valid today.
#[test]
fn it_has_not_expired() {
    let ca = Ca::new("Test");
    let leaf = ca.leaf_with(&[NAME], Kind::Ecdsa, |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 2, 3);
    });
    let set = Set::with(&leaf);
    let root = root(&set, &ca);
    let words = ["expired on 2021-02-03", "renew"];
    set.is_not(&format!("tls_name: {NAME}, tls_ca: {root}"), &words);
}

/// One that is pinned, by itself or by its key, needs nothing else: not a name, not an authority, not today.
#[test]
fn a_pin_is_all_that_counts() {
    let ca = Ca::new("Test");
    let leaf = ca.leaf_with(&["whatever.example"], Kind::Ecdsa, |params| {
        params.not_after = date_time_ymd(2021, 2, 3);
        params.not_before = date_time_ymd(2020, 1, 1);
    });
    let set = Set::with(&leaf);
    set.folder.write("cert.pem", &leaf.cert);
    // As people would find it out.
    let print = openssl(
        set.folder.path(),
        &["x509", "-in", "cert.pem", "-noout", "-fingerprint", "-sha256"],
    );
    let print = print.trim().split_once('=').unwrap().1.to_owned();
    set.is_fine(&format!("tls_fingerprint: \"sha256:{print}\""));
    openssl(
        set.folder.path(),
        &["x509", "-in", "cert.pem", "-noout", "-pubkey", "-out", "key.pem"],
    );
    let key = crate::common::commands::shell(
        set.folder.path(),
        "openssl pkey -pubin -in key.pem -outform der | sha256sum",
    );
    let key = key.split(' ').next().unwrap();
    set.is_fine(&format!("tls_fingerprint: sha256:{key}"));
    let other = "ab".repeat(32);
    set.is_fine(&format!("tls_fingerprint: [sha256:{other}, sha256:{key}]"));
    let right = print.replace(':', "").to_lowercase();
    let words = ["none of those that tls_fingerprint pins", right.as_str()];
    set.is_not(&format!("tls_fingerprint: sha256:{other}"), &words);
}

/// A session goes nowhere where the certificate is wrong, and the summary says why. A reload with the right authority
/// mends it.
#[test]
fn a_session_goes_only_where_it_is_right() {
    let (ca, other) = (Ca::new("Test"), Ca::new("Other"));
    let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
    let set = Set::with(&leaf);
    leaf.certbot(&set.folder.path().join("live").join(NAME));
    let stranger = set.folder.write("stranger.pem", other.root_pem());
    let tls = format!("tls_name: {NAME}, tls_ca: {}", stranger.display());
    let front = Front::start(&set.config(&tls));
    front.wait("it is said", 0, |line| {
        line["level"] == "WARN" && line["message"].to_string().contains("no authority")
    });
    let mark = front.mark();
    let said = call(front.port(0), Ipv4Addr::new(127, 0, 0, 5)).rest();
    assert!(said.starts_with("* BYE [UNAVAILABLE] "), "{said:?}");
    let end = front.summary(mark)["end"].to_string();
    assert!(end.contains("opening") && end.contains("tls_ca"), "{end}");
    // Nothing of the client went there but its address, and an alert.
    let left = set.dovecot.logs(0, &["rip=127.0.0.5", "TLS handshaking"]);
    assert!(left.contains("unknown ca"), "{left}");
    // The file's name is the same, and what is in it is not.
    set.folder.write("stranger.pem", ca.root_pem());
    assert_eq!(front.reload()["message"], "reloaded");
    let mut peer = call(front.port(0), Ipv4Addr::new(127, 0, 0, 5));
    assert_eq!(peer.line(), "* OK Backend here.\r\n");
    peer.send("a LOGIN alice secret\r\n");
    peer.until("a OK");
}

/// Postfix wants a certificate of the front; whoever comes without is told which keys are missing.
#[test]
fn the_front_shows_its_own_where_it_is_wanted() {
    let ca = Ca::new("Test");
    let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
    let folder = Folder::new();
    let root = ca.write_root(folder.path());
    let dovecot = Dovecot::start(&Options { more: FOR_DOVECOT, ..Options::default() });
    let authority = format!("smtpd_tls_CAfile={}", root.display());
    let strict = [
        "smtpd_tls_security_level=encrypt",
        "smtpd_tls_req_ccert=yes",
        "smtpd_tls_loglevel=1",
        &authority,
    ];
    let postfix = Postfix::with(&dovecot, Some(&leaf), &[&strict]);
    let own = ca.client("front.example.org", 7);
    let certificate = folder.write("front.pem", own.fullchain()).display().to_string();
    let key = folder.write("front.key", &own.key).display().to_string();
    let stranger = Ca::new("Other").client("front.example.org", 7);
    let both = folder.write("other.pem", stranger.key.clone() + &stranger.fullchain());
    let config = |more: &str| {
        format!(
            "hostname: {NAME}
certificates: [/nowhere]
backends:
  postfix: {{ address: \"127.0.0.1:{}\", identity: none, tls: starttls, tls_name: {NAME}, tls_ca: {}{more} }}
listeners:
  - {{ bind: \"127.0.0.1:2525\", protocol: smtp, tls: none, backend: postfix }}
",
            postfix.more[0],
            root.display()
        )
    };
    let text = |more: &str| {
        let (_, seen) = check_backends(&config(more));
        seen[0]["findings"][0]["text"].as_str().unwrap_or_default().to_owned()
    };
    assert!(text("").contains("tls_certificate and tls_key"), "{}", text(""));
    let said = text(&format!(", tls_certificate: {}", both.display()));
    assert!(said.contains("tls_certificate"), "{said}");
    let mark = postfix.mark();
    let with = format!(", tls_certificate: {certificate}, tls_key: {key}");
    let (_, seen) = check_backends(&config(&with));
    assert_eq!(seen[0]["banner"], "backend.example.org ESMTP Backend here.", "{seen:?}");
    postfix.logs(mark, &["Trusted TLS connection established from unknown[127.0.0.1]"]);
    // What cannot be used is found before anything is asked of anybody.
    let folder = Folder::new();
    folder.write(
        "v.yaml",
        config(&format!(", tls_certificate: {certificate}, tls_key: {}", both.display())),
    );
    let said =
        crate::common::commands::vestibule(folder.path(), &["check", "--backends", "v.yaml"]);
    assert!(said.failed().contains("V001: the key does not match the certificate in"), "no match");
}
