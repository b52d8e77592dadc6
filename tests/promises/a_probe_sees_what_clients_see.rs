//! `vestibule probe` tells what a client is shown: by our front, and by servers of all other kinds.

use std::path::{Path, PathBuf};

use crate::{
    common::{
        ca::{Ca, Kind, Leaf},
        folder::Folder,
        mailhost::{Host, TALKS, Talk},
        probe::{Probe, probe, say},
        tls::NAME,
    },
    openssl::{SServer, openssl, shown},
    stage::Stage,
};

/// Through STARTTLS and through implicit TLS, with all that there is to see.
#[test]
fn of_our_front() {
    let stage = Stage::set();
    let root = stage.ca.write_root(stage.folder.path());
    let root = root.to_str().unwrap();
    for talk in TALKS {
        let host = Host::polite(talk);
        let backend = host.backend.address;
        let front = stage
            .front(&[(talk.name(), "starttls", backend), (talk.name(), "implicit", backend)], "");
        let at = front.address(0).to_string();
        let seen = probe(None, &[&at, "--starttls", talk.name(), "--sni", NAME, "--trust", root]);
        seen.is_fine();
        let report = &seen.report;
        assert_eq!(report["tls"]["version"], "TLSv1.3", "{report:#}");
        assert_eq!(report["tls"]["suite"], "TLS_AES_256_GCM_SHA384");
        assert_eq!(report["tls"]["key_exchange"], "X25519MLKEM768");
        let alpn = if talk == Talk::Sieve { "managesieve" } else { talk.name() };
        assert_eq!(report["tls"]["alpn"], alpn);
        assert_eq!(report["chain"]["path"], serde_json::json!([0, 1]));
        assert_eq!(report["chain"]["end"]["kind"], "trusted");
        assert_eq!(report["chain"]["end"]["root"], "CN=Test Root");
        assert_eq!(report["chain"]["name"]["covered_by"], NAME);
        assert_eq!(report["injection"]["verdict"], "safe");
        assert_eq!(report["injection"]["text"], "the server ends the session", "{talk:?}");
        let has_starttls = |list: &str| {
            let list = report[list].as_array().unwrap().iter();
            list.filter(|c| ["STARTTLS", "STLS"].contains(&c.as_str().unwrap())).count()
        };
        assert_eq!(has_starttls("capabilities_in_clear"), 1, "{report:#}");
        assert_eq!(has_starttls("capabilities_inside_tls"), 0, "{report:#}");
        assert!(!report["capabilities_inside_tls"].as_array().unwrap().is_empty(), "{report:#}");

        // Where the port says nothing, the server's first word does.
        let at = front.address(1).to_string();
        let seen = probe(None, &[&at, "--sni", NAME, "--trust", root]);
        seen.is_fine();
        assert_eq!(seen.report["injection"], serde_json::Value::Null);
        assert_eq!(
            seen.report["capabilities_inside_tls"], report["capabilities_inside_tls"],
            "{talk:?}"
        );
        assert_eq!(shown(front.address(1), &[]), 2);
    }
}

/// Who is asked for nothing gets what people want to read.
#[test]
fn in_words() {
    let stage = Stage::set();
    let root = stage.ca.write_root(stage.folder.path());
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "starttls", host.backend.address)], "");
    let at = front.address(0).to_string();
    let (exit, text) =
        say(None, &[&at, "--starttls", "imap", "--sni", NAME, "--trust", root.to_str().unwrap()]);
    assert_eq!(exit, 0, "{text}");
    for part in [
        "TLS by STARTTLS (imap), for mail.example.org",
        "\nDialogue in clear\n  S: * OK ",
        "\n  C: s STARTTLS\n  S: s OK ",
        "\nDialogue inside TLS\n  C: c CAPABILITY\n",
        "\n  version       TLSv1.3\n",
        "\n  #0 CN=mail.example.org (leaf)\n     names   mail.example.org\n     issuer  CN=Test CA 1\n     signed  by #1, verified (ecdsa-with-SHA256)\n     key     ECDSA P-256\n",
        "\n  chain   #0 -> #1 -> CN=Test Root, trusted here\n  name    mail.example.org is covered\n",
        "\nSTARTTLS injection\n  safe: the server ends the session\n\nAll is well.\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

/// Files for `openssl s_server`.
struct Files {
    ca: Ca,
    folder: Folder,
    root: PathBuf,
}

impl Files {
    fn new() -> Self {
        let (ca, folder) = (Ca::new("Test"), Folder::new());
        let root = ca.write_root(folder.path());
        Self { ca, folder, root }
    }

    /// Shows this leaf, and these certificates behind it.
    fn serve(&self, leaf: &Leaf, rest: &[String], more: &[&str]) -> SServer {
        let cert = self.folder.write("cert.pem", &leaf.cert);
        let key = self.folder.write("key.pem", &leaf.key);
        let rest = (!rest.is_empty()).then(|| self.folder.write("rest.pem", rest.concat()));
        SServer::start(&cert, &key, rest.as_deref(), more)
    }

    fn probe(&self, server: &SServer) -> Probe {
        self.probe_on(server, None, &["--trust", self.root.to_str().unwrap()])
    }

    fn probe_on(&self, server: &SServer, machine: Option<&Path>, more: &[&str]) -> Probe {
        probe(machine, &[&[server.address.to_string().as_str(), "--sni", NAME], more].concat())
    }
}

#[test]
fn of_a_server_with_nothing_wrong() {
    let files = Files::new();
    let leaf = files.ca.leaf(&[NAME], Kind::Rsa);
    let chain = [files.ca.intermediate.pem()];
    let server = files.serve(&leaf, &chain, &[]);
    files.probe(&server).is_fine();
    assert_eq!(shown(server.address, &[]), 2);
    // This machine's own trust store does, too.
    let server = files.serve(&leaf, &chain, &[]);
    let seen = files.probe_on(&server, Some(&files.root), &[]);
    seen.is_fine();
    assert_eq!(seen.report["chain"]["certificates"][0]["key"], "RSA 2048");
    assert_eq!(seen.report["chain"]["certificates"][1]["signer"]["kind"], "trusted");
    // Without either, the authority is a private one.
    let server = files.serve(&leaf, &chain, &[]);
    let seen = files.probe_on(&server, None, &[]);
    seen.finds("warning", "certificates", Some("V009"), &["CN=Test Root", "private"]);
}

#[test]
fn of_chains_that_are_not_as_they_should_be() {
    let files = Files::new();
    let leaf = files.ca.leaf(&[NAME], Kind::Ecdsa);
    let (root, middle) = (files.ca.root_pem(), files.ca.intermediate.pem());
    let stranger = Ca::new("Other").intermediate.pem();
    for (rest, severity, code, words) in [
        (vec![], "error", Some("V007"), "CN=Test CA 1"),
        (vec![middle.clone(), middle.clone()], "warning", None, "sent twice"),
        (vec![middle.clone(), root.clone()], "note", None, "need not be sent"),
        (vec![middle.clone(), stranger.clone()], "warning", None, "does not belong"),
        (vec![stranger], "error", Some("V007"), "CN=Test CA 1"),
    ] {
        let server = files.serve(&leaf, &rest, &[]);
        let seen = files.probe(&server);
        seen.finds(severity, "certificates", code, &[words]);
        let count = seen.report["chain"]["certificates"].as_array().unwrap().len();
        assert_eq!(count, shown(server.address, &[]), "{rest:?}");
        assert_eq!(count, rest.len() + 1);
    }
}

#[test]
fn of_leafs_that_are_not_as_they_should_be() {
    let files = Files::new();
    let chain = [files.ca.intermediate.pem()];
    let of_the_past = files.ca.leaf_with(&[NAME], Kind::Ecdsa, |p| {
        p.not_before = rcgen::date_time_ymd(2020, 1, 1);
        p.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let seen = files.probe(&files.serve(&of_the_past, &chain, &[]));
    seen.finds("error", "certificates", Some("V011"), &["2021-01-01"]);
    assert!(seen.report["chain"]["certificates"][0]["days_left"].as_i64().unwrap() < -1_000);

    let of_another = files.ca.leaf(&["other.example.org"], Kind::Ecdsa);
    let seen = files.probe(&files.serve(&of_another, &chain, &[]));
    seen.finds("error", "certificates", Some("V020"), &["other.example.org", NAME]);

    let wild = files.ca.leaf(&["*.example.org"], Kind::Ecdsa);
    let seen = files.probe(&files.serve(&wild, &chain, &[]));
    seen.is_fine();
    assert_eq!(seen.report["chain"]["name"]["covered_by"], "*.example.org");
}

/// What openssl makes in one line, as old as it gets.
fn self_signed(folder: &Folder, more: &[&str]) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.path().join("own.pem"), folder.path().join("own.key"));
    let [c, k] = [&cert, &key].map(|p| p.to_str().unwrap());
    let subject = format!("/CN={NAME}");
    openssl(
        &[
            &["req", "-x509", "-nodes", "-days", "90", "-subj", &subject, "-keyout", k, "-out", c],
            more,
        ]
        .concat(),
    );
    (cert, key)
}

#[test]
fn of_certificates_that_vouch_for_themselves() {
    let files = Files::new();
    let san = format!("subjectAltName=DNS:{NAME}");
    let (cert, key) = self_signed(&files.folder, &["-newkey", "rsa:2048", "-addext", &san]);
    let seen = files.probe(&SServer::start(&cert, &key, None, &[]));
    seen.finds("warning", "certificates", Some("V010"), &["self-signed"]);
    let server = SServer::start(&cert, &key, None, &[]);
    files.probe_on(&server, None, &["--trust", cert.to_str().unwrap()]).is_fine();
}

/// The certificates of an old server: no SAN, SHA-1, 1024 bits, TLS 1.2 at most.
#[test]
fn of_servers_from_another_time() {
    let files = Files::new();
    let legacy = ["-cipher", "DEFAULT:@SECLEVEL=0"];
    let (cert, weak) = self_signed(&files.folder, &["-newkey", "rsa:1024", "-sha1"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let server = SServer::start(&cert, &weak, None, &[&legacy[..], &[version]].concat());
        let seen = files.probe(&server);
        seen.finds("error", "certificates", Some("V015"), &["1024 bits"]);
        seen.finds("error", "certificates", Some("V017"), &["RFC 9525"]);
        seen.finds("error", "handshake", None, &["1024 bits"]);
        let version = version.replace("-tls", "TLSv").replace('_', ".");
        assert_eq!(seen.report["tls"]["version"], version);
    }
    // A certificate of version 1, which has no extensions, is one all the same.
    let [request, key, old] = ["v1.csr", "v1.key", "v1.pem"]
        .map(|name| files.folder.path().join(name).to_str().unwrap().to_owned());
    let subject = format!("/CN={NAME}");
    openssl(&[
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-subj", &subject, "-out",
        &request,
    ]);
    openssl(&["x509", "-req", "-in", &request, "-signkey", &key, "-days", "90", "-out", &old]);
    assert!(openssl(&["x509", "-in", &old, "-noout", "-text"]).contains("Version: 1 "));
    for version in ["-tls1_2", "-tls1_3"] {
        let server = SServer::start(Path::new(&old), Path::new(&key), None, &[version]);
        let seen = files.probe(&server);
        seen.finds("warning", "certificates", Some("V010"), &["self-signed"]);
        assert!(seen.findings().iter().all(|(_, phase, ..)| *phase != "handshake"), "{seen:?}");
    }
    // SHA-1 by somebody else is worse than by oneself, where nobody looks at it.
    let ca = files.folder.write("sha1/ca.key", files.ca.root.key().serialize_pem());
    let request = files.folder.path().join("request.pem");
    let [ca, request, key, old] = [&ca, &request, &weak, &files.folder.path().join("old.pem")]
        .map(|p| p.to_str().unwrap().to_owned());
    openssl(&["req", "-new", "-key", &key, "-subj", "/CN=old", "-out", &request]);
    openssl(&[
        "x509",
        "-req",
        "-sha1",
        "-in",
        &request,
        "-CA",
        files.root.to_str().unwrap(),
        "-CAkey",
        &ca,
        "-days",
        "9",
        "-out",
        &old,
    ]);
    let server = SServer::start(Path::new(&old), Path::new(&key), None, &legacy);
    let seen = files.probe(&server);
    seen.finds("error", "certificates", Some("V016"), &["ecdsa-with-SHA1"]);
}
