//! Clients' certificates: asked for where the configuration says so and nowhere else; verified; and told
//! to the log and the backend as they are.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use rustls::ClientConnection;
use serde_json::Value;

use crate::{
    clients::{REVOKED, Set, enter, with_certificate},
    common::{
        ca::{Ca, Kind, Leaf},
        folder::Folder,
        peer::connect,
        s_client::s_client,
        tls::{Client, NAME, VERSIONS},
    },
};

/// What is wrong with a client, and the alert that says so (RFC 8446 §6.2).
type Wrong = (&'static str, u8);

fn clients(ca: &Ca) -> Vec<(&'static str, Leaf, Option<Wrong>)> {
    let with = |change: fn(&mut rcgen::CertificateParams)| {
        ca.leaf_with(&["mta.example.org"], Kind::Ecdsa, |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
            change(params);
        })
    };
    let rsa = ca.leaf(&["mta.example.org"], Kind::Rsa);
    let for_servers = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    };
    vec![
        ("good", ca.client("mta.example.org", 1), None),
        ("good, with RSA and for any use", rsa, None),
        (
            "of another authority",
            Ca::new("Mallory").client("mta.example.org", 1),
            Some(("its issuer is not among those that are trusted", 48)),
        ),
        (
            "of another authority that bears the same name",
            Ca::new("Clients").client("mta.example.org", 1),
            Some(("a signature in its chain is wrong", 51)),
        ),
        (
            "expired",
            with(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)),
            Some(("it has expired", 45)),
        ),
        (
            "of the future",
            with(|params| params.not_before = rcgen::date_time_ymd(2999, 1, 1)),
            Some(("it is not valid yet", 45)),
        ),
        ("revoked", ca.client("mta.example.org", REVOKED), Some(("it is revoked", 44))),
        (
            "for servers",
            with(for_servers),
            Some(("its extended key usage does not name clients (clientAuth)", 43)),
        ),
    ]
}

/// Both modes, both versions, every kind of client: who is served, what the client, the log and the
/// backend are told.
#[test]
fn to_the_log_and_to_the_backend() {
    let set = Set::new();
    let front = set.front(&[&set.with_lists("request"), &set.with_lists("require")], "");
    let clients = clients(&set.ca);
    for version in ["-tls1_2", "-tls1_3"] {
        for (n, mode) in ["request", "require"].into_iter().enumerate() {
            for (kind, leaf, wrong) in &clients {
                let what = format!("{kind}, {mode}, {version}");
                let visit = set.visit(&front, n, Some(leaf), &[version]);
                if let ("require", Some((why, alert))) = (mode, wrong) {
                    assert_eq!(visit.said.alert(), Some(*alert), "{what}: {visit:#?}");
                    assert!(visit.header.is_none(), "{what}: it reached the backend");
                    let end = format!("handshake: the client's certificate is not accepted: {why}");
                    assert!(visit.text("end").starts_with(&end), "{what}: {visit:#?}");
                    assert!(visit.text("end").ends_with(&format!("({alert})")), "{what}");
                    continue;
                }
                assert!(visit.said.is_served(), "{what}: {visit:#?}");
                let told = match wrong {
                    None => (0x07, 0, Some("mta.example.org".to_owned())),
                    Some(_) => (0x07, 1, None),
                };
                assert_eq!(visit.told(), told, "{what}");
                assert_eq!(visit.summary["client_verified"], wrong.is_none(), "{what}");
                assert_eq!(
                    visit.summary["client_unverified"].as_str(),
                    wrong.map(|(why, _)| why),
                    "{what}"
                );
                assert_eq!(visit.text("client_subject"), "CN=mta.example.org");
                let issuers = ["CN=Clients CA 1", "CN=Mallory CA 1"];
                assert!(issuers.contains(&visit.text("client_issuer")), "{what}: {visit:#?}");
                assert_eq!(visit.text("client_fingerprint"), fingerprint(leaf), "{what}");
            }
            let nobody = set.visit(&front, n, None, &[version]);
            if mode == "require" {
                // RFC 8446 §4.4.2.4.
                assert_eq!(nobody.said.alert(), Some(116), "{version}: {nobody:#?}");
                assert!(nobody.header.is_none());
                let end = "handshake: the client has shown no certificate, and must here (client_certificates: require); it was sent certificate_required(116)";
                assert_eq!(nobody.text("end"), end);
            } else {
                assert!(nobody.said.is_served(), "{version}: {nobody:#?}");
                assert_eq!(nobody.told(), (0x01, 1, None));
                assert_eq!(nobody.summary["client_verified"], Value::Null);
            }
        }
    }
}

/// SHA-256, as openssl has it.
fn fingerprint(leaf: &Leaf) -> String {
    let folder = Folder::new();
    let path = folder.write("leaf.pem", &leaf.cert);
    let output = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(path)
        .output()
        .expect("openssl runs");
    let said = String::from_utf8(output.stdout).unwrap();
    let (_, octets) = said.trim().split_once('=').expect("a fingerprint");
    octets.replace(':', "").to_ascii_lowercase()
}

/// The same by another library.
#[test]
fn with_gnutls_as_well() {
    let set = Set::new();
    let front = set.front(&[&set.with_lists("require")], "");
    let mallory = Ca::new("Mallory").client("mta.example.org", 1);
    let good = set.ca.client("mta.example.org", 1);
    for (leaf, is_good) in [(&good, true), (&mallory, false)] {
        let folder = Folder::new();
        let (chain, key) =
            (folder.write("chain.pem", leaf.fullchain()), folder.write("key.pem", &leaf.key));
        let mark = front.mark();
        let output = std::process::Command::new("sh")
            .args(["-c", r#"printf 'o LOGOUT\r\n' | gnutls-cli --x509cafile "$1" --x509certfile "$2" --x509keyfile "$3" --sni-hostname "$4" --verify-hostname "$4" -p "$5" 127.0.0.1 2>&1"#, "sh"])
            .args([set.stage.ca.write_root(folder.path()), chain, key])
            .args([NAME, &front.port(0).to_string()])
            .output()
            .expect("apt-get install gnutls-bin");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary = front.summary(mark);
        if is_good {
            assert_eq!(summary["client_verified"], true, "{summary:#} {said}");
        } else {
            assert!(said.contains("Unknown CA") || said.contains("CA is unknown"), "{said}");
            assert!(summary["end"].as_str().unwrap().contains("is not accepted"), "{summary:#}");
        }
    }
}

/// Some clients cannot stand a long list of authorities: they get none unless it is wished.
#[test]
fn with_hints_only_where_wished() {
    let set = Set::new();
    let rules = [set.rule("request", ""), set.rule("request", ", hints: true")];
    let front = set.front(&[&rules[0], &rules[1], ""], "");
    for version in ["-tls1_2", "-tls1_3"] {
        let said = [0, 1, 2].map(|n| s_client(front.address(n), &[version]).0);
        let wanted = said.each_ref().map(|said| {
            let is_asked = said.contains("Requested Signature Algorithms")
                || said.contains("Client Certificate Types");
            (is_asked, said.contains("CN = Clients Root"))
        });
        assert_eq!(wanted, [(true, false), (true, true), (false, false)], "{version}: {said:#?}");
        assert!(said[0].contains("No client certificate CA names sent"), "{version}");
    }
}

/// A name's rule counts for more than its listener's, and that more than the one for all.
#[test]
fn by_name_by_listener_or_everywhere() {
    let set = Set::new();
    let require = set.rule("require", "");
    let more = format!(
        "client_certificates: {require}
client_certificates_by_name:
  Strict.example.org: {require}
  \"*.lax.example.org\": {{ mode: none }}"
    );
    let front = set.front(&["", "{ mode: none }"], &more);
    let alert = |n: usize, name: &str| s_client(front.address(n), &["-servername", name]).alert();
    assert_eq!(alert(0, NAME), Some(116), "everywhere");
    assert_eq!(alert(0, "a.lax.example.org"), None, "but not for this name");
    assert_eq!(alert(0, "lax.example.org"), Some(116), "a wildcard is one label");
    assert_eq!(alert(0, "a.b.lax.example.org"), Some(116), "a wildcard is one label");
    assert_eq!(alert(1, NAME), None, "and not on this listener");
    assert_eq!(alert(1, "strict.example.org"), Some(116), "but for this name");
    assert_eq!(alert(1, "STRICT.example.org"), Some(116), "in any case");
    let good = set.ca.client("mta.example.org", 1);
    let name = &["-servername", "strict.example.org"];
    let visit = set.visit(&front, 1, Some(&good), name);
    assert!(visit.said.is_served(), "{visit:#?}");
    assert_eq!(visit.told(), (0x07, 0, Some("mta.example.org".into())));
}

/// A certificate without its key proves nothing, also where none is required.
#[test]
fn with_the_key_and_not_only_the_certificate() {
    let set = Set::new();
    let front = set.front(&[&set.rule("request", "")], "");
    let (good, other) =
        (set.ca.client("mta.example.org", 1), set.ca.client("other.example.org", 2));
    for version in VERSIONS {
        let client = Client::speaking(&set.stage.ca, &[version]);
        let thief = with_certificate(client.clone(), &good, &other);
        assert!(enter(&thief, &front).unwrap_err().to_string().contains("DecryptError"));
        let honest = with_certificate(client, &good, &good);
        enter(&honest, &front).expect("the control");
    }
}

/// The alert reaches also those who have said much before they could know: a reset might overtake it.
#[test]
fn and_who_is_refused_is_told_so() {
    let set = Set::new();
    let front = set.front(&[&set.rule("require", "")], "");
    let config = Arc::new(Client::speaking(&set.stage.ca, &[VERSIONS[1]]).config);
    let mut client = ClientConnection::new(config, NAME.try_into().unwrap()).unwrap();
    let mut stream = connect(front.address(0)).0;
    // In one flight with the client's Finished.
    client.writer().write_all(&[b'x'; 32 << 10]).unwrap();
    let error = loop {
        if let Err(error) = client.complete_io(&mut stream) {
            break error.to_string();
        }
    };
    assert!(error.contains("CertificateRequired"), "{error}");
    assert_eq!(stream.read(&mut [0; 16]).expect("an end, and no reset"), 0);
}

/// Old and odd certificates are no reason to lose mail: a key that is too short to be believed counts for
/// nothing, and its owner is served like anybody.
#[test]
fn and_the_odd_ones_are_served_where_nothing_is_required() {
    let set = Set::new();
    let front = set.front(&[&set.rule("request", ""), &set.rule("require", "")], "");
    let folder = Folder::new();
    for (bits, extension) in [("1024", "CA:FALSE"), ("2048", "CA:TRUE"), ("2048", "CA:FALSE")] {
        let odd = self_signed(&folder, bits, extension);
        for version in ["-tls1_2", "-tls1_3"] {
            let arguments = [version, "-cipher", "DEFAULT@SECLEVEL=0"];
            let visit = set.visit(&front, 0, Some(&odd), &arguments);
            assert!(visit.said.is_served(), "{bits}, {extension}, {version}: {visit:#?}");
            assert_eq!(visit.told(), (0x07, 1, None));
            assert_eq!(visit.text("client_subject"), "CN=odd.example.org");
            let visit = set.visit(&front, 1, Some(&odd), &arguments);
            assert!(visit.said.alert().is_some() && visit.header.is_none(), "{visit:#?}");
        }
    }
    // Nobody has seen whether it has such a key, so an authority's word for it is worth nothing.
    let short = issued(&set.ca, &folder, "1024");
    let fine = issued(&set.ca, &folder, "2048");
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = [version, "-cipher", "DEFAULT@SECLEVEL=0"];
        let visit = set.visit(&front, 0, Some(&short), &arguments);
        assert_eq!(visit.told(), (0x07, 1, None), "{visit:#?}");
        let visit = set.visit(&front, 1, Some(&short), &arguments);
        assert!(visit.said.alert().is_some() && visit.header.is_none(), "{visit:#?}");
        let visit = set.visit(&front, 0, Some(&fine), &arguments);
        assert_eq!(visit.told(), (0x07, 0, Some("odd.example.org".into())), "{visit:#?}");
    }
    // Some vouch for themselves.
    let fine = self_signed(&folder, "2048", "CA:FALSE");
    set.write("trust/fine.pem", &fine.cert);
    assert_eq!(front.reload()["message"], "reloaded");
    let visit = set.visit(&front, 0, Some(&fine), &[]);
    assert_eq!(visit.told(), (0x07, 0, Some("odd.example.org".into())), "{visit:#?}");
}

/// Runs openssl in this folder.
fn openssl(folder: &Folder, arguments: &[&str]) {
    let output = std::process::Command::new("openssl")
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A client's certificate for an RSA key of so many bits, which `rcgen` would not make.
fn issued(ca: &Ca, folder: &Folder, bits: &str) -> Leaf {
    folder.write("ca.pem", ca.intermediate.pem());
    folder.write("ca.key", ca.intermediate.key().serialize_pem());
    let key = format!("rsa:{bits}");
    let request = ["req", "-new", "-nodes", "-subj", "/CN=odd.example.org", "-newkey", &key];
    openssl(folder, &[&request[..], &["-keyout", "issued.key", "-out", "issued.csr"]].concat());
    folder.write("v3.cnf", "basicConstraints=CA:FALSE\n");
    let sign = ["x509", "-req", "-in", "issued.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
    let more = ["-CAcreateserial", "-days", "9", "-extfile", "v3.cnf", "-out", "issued.pem"];
    openssl(folder, &[&sign[..], &more].concat());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    Leaf { cert: read("issued.pem"), key: read("issued.key"), chain: ca.intermediate.pem() }
}

fn self_signed(folder: &Folder, bits: &str, extension: &str) -> Leaf {
    let (key, extension) =
        (format!("rsa:{bits}"), format!("basicConstraints=critical,{extension}"));
    let request = ["req", "-x509", "-nodes", "-subj", "/CN=odd.example.org", "-days", "9"];
    let more = ["-newkey", &key, "-addext", &extension, "-out", "odd.pem", "-keyout", "odd.key"];
    openssl(folder, &[&request[..], &more].concat());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    Leaf { cert: read("odd.pem"), key: read("odd.key"), chain: String::new() }
}
