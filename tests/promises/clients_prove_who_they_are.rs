//! Clients' certificates: asked for where the configuration says so and nowhere else; verified to the
//! last list; and told to the log and the backend as they are.

use std::{
    io::{Read, Write},
    path::PathBuf,
    sync::Arc,
};

use rustls::{
    ClientConnection, HandshakeKind,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use serde_json::Value;

use crate::{
    common::{
        ca::{Ca, Kind, Leaf},
        folder::Folder,
        front::Front,
        mailhost::{Host, Talk},
        peer::connect,
        proxy::{Header, SSL, SSL_CN, tlvs_of},
        s_client::{Said, s_client},
        tls::{Client, NAME, VERSIONS, der},
    },
    stage::Stage,
};

const REVOKED: u64 = 7;

/// A stage with an authority for clients, its root and its lists on disk.
struct Set {
    stage: Stage,
    host: Host,
    ca: Ca,
}

impl Set {
    fn new() -> Self {
        let set =
            Self { stage: Stage::set(), host: Host::polite(Talk::Imap), ca: Ca::new("Clients") };
        set.write("trust/root.pem", &set.ca.root_pem());
        set.write("crl/lists.pem", &set.ca.revocation_lists(&[REVOKED], 2020..=2999).concat());
        set
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        self.stage.folder.write(name, text)
    }

    fn path(&self, name: &str) -> String {
        self.stage.folder.path().join(name).display().to_string()
    }

    fn rule(&self, mode: &str, more: &str) -> String {
        format!("{{ mode: {mode}, trust: [{}]{more} }}", self.path("trust"))
    }

    fn with_lists(&self, mode: &str) -> String {
        self.rule(mode, &format!(", crl: [{}]", self.path("crl")))
    }

    /// Listeners with implicit TLS, each with this rule, or, where it is empty, none.
    fn config(&self, rules: &[&str], more: &str) -> String {
        let line = |rule: &&str| match *rule {
            "" => String::new(),
            rule => format!("client_certificates: {rule}"),
        };
        let lines: Vec<String> = rules.iter().map(line).collect();
        let door = ("imap", "implicit", self.host.backend.address);
        let doors: Vec<_> = lines.iter().map(|line| (door, line.as_str())).collect();
        self.stage.config_with(&doors, more)
    }

    fn front(&self, rules: &[&str], more: &str) -> Front {
        Front::start(&self.config(rules, more))
    }

    /// What becomes of a client with this certificate, in words, in the log and at the backend.
    fn visit(&self, front: &Front, n: usize, client: Option<&Leaf>, more: &[&str]) -> Visit {
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
struct Visit {
    said: Said,
    summary: Value,
    header: Option<Header>,
}

impl Visit {
    /// The SSL TLV: its client bits, the result, and the common name.
    fn told(&self) -> (u8, u32, Option<String>) {
        let header = self.header.as_ref().unwrap_or_else(|| panic!("served: {self:#?}"));
        let value = header.tlv(SSL).expect("the session is under TLS");
        let name = tlvs_of(&value[5..]).into_iter().find(|(kind, _)| *kind == SSL_CN);
        let result = u32::from_be_bytes(value[1..5].try_into().unwrap());
        (value[0], result, name.map(|(_, name)| String::from_utf8(name).unwrap()))
    }

    fn text(&self, field: &str) -> &str {
        self.summary[field].as_str().unwrap_or_else(|| panic!("{field}: {:#}", self.summary))
    }
}

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

/// A client of the test's own, which keeps tickets.
fn with_certificate(mut client: Client, leaf: &Leaf, key: &Leaf) -> Client {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivateKeyDer::from_pem_slice(key.key.as_bytes()).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![der(&leaf.cert), der(&leaf.chain)];
    let both = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    client.config.client_auth_cert_resolver = Arc::new(both);
    client
}

/// Greeted, and out again; an alert is an error.
fn enter(client: &Client, front: &Front) -> std::io::Result<HandshakeKind> {
    let mut peer = client.shake(connect(front.address(0)))?;
    let kind = peer.0.conn.handshake_kind().expect("shaken");
    // In TLS 1.3 the alert comes when the client has finished.
    let mut octet = [0];
    peer.0.read_exact(&mut octet)?;
    Talk::Imap.log_out(&mut peer);
    peer.rest();
    Ok(kind)
}

/// rustls verifies no chain when a session is resumed, so none is: whoever is revoked stays out, whatever
/// tickets it has, over SIGHUP too.
#[test]
fn each_time_anew() {
    for version in VERSIONS {
        let set = Set::new();
        let front = set.front(&[&set.with_lists("require")], "");
        let leaf = set.ca.client("mta.example.org", 8);
        let client = with_certificate(Client::speaking(&set.stage.ca, &[version]), &leaf, &leaf);
        for _ in 0..2 {
            assert_eq!(enter(&client, &front).unwrap(), HandshakeKind::Full, "{version:?}");
        }
        set.write("crl/lists.pem", &set.ca.revocation_lists(&[REVOKED, 8], 2020..=2999).concat());
        assert_eq!(front.reload()["message"], "reloaded");
        let error = enter(&client, &front).unwrap_err().to_string();
        assert!(error.contains("CertificateRevoked"), "{version:?}: {error}");
    }
}

/// A ticket from before the rule, from a listener or of a name without one, is no way in.
#[test]
fn also_those_with_a_ticket_from_elsewhere() {
    for version in VERSIONS {
        let set = Set::new();
        let front = set.front(&[""], "");
        let client = Client::speaking(&set.stage.ca, &[version]);
        enter(&client, &front).unwrap();
        assert_eq!(enter(&client, &front).unwrap(), HandshakeKind::Resumed, "the control");
        front.configure(&set.config(&[&set.rule("require", "")], ""));
        assert_eq!(front.reload()["message"], "reloaded");
        let error = enter(&client, &front).unwrap_err().to_string();
        assert!(error.contains("CertificateRequired"), "{version:?}: {error}");
    }
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

/// Once there are lists, each authority needs one that is still good: nobody comes in because a list was
/// kept from us.
#[test]
fn against_lists_that_are_whole_and_of_today() {
    let set = Set::new();
    let rule = set.with_lists("request");
    let front = set.front(&[&rule], "");
    let good = set.ca.client("mta.example.org", 1);
    let unverified = |front: &Front| {
        let visit = set.visit(front, 0, Some(&good), &[]);
        visit.summary["client_unverified"].as_str().map(str::to_owned)
    };
    assert_eq!(unverified(&front), None);

    let [of_leafs, of_root] = set.ca.revocation_lists(&[REVOKED], 2020..=2999);
    let no_list =
        "whether it is revoked cannot be found out: `crl` has no list of one of its issuers";
    for one in [&of_leafs, &of_root] {
        set.write("crl/lists.pem", one);
        assert_eq!(front.reload()["message"], "reloaded");
        assert_eq!(unverified(&front).as_deref(), Some(no_list));
    }

    // Of two lists, the newer one counts, whichever is found first.
    for (first, second) in [("a.pem", "b.pem"), ("b.pem", "a.pem")] {
        std::fs::remove_dir_all(set.path("crl")).unwrap();
        set.write(&format!("crl/{first}"), &set.ca.revocation_lists(&[], 2020..=2999).concat());
        set.write(&format!("crl/{second}"), &set.ca.revocation_lists(&[1], 2021..=2999).concat());
        assert_eq!(front.reload()["message"], "reloaded");
        assert_eq!(unverified(&front).as_deref(), Some("it is revoked"), "{first}");
    }
    std::fs::remove_dir_all(set.path("crl")).unwrap();

    let expired = set.ca.revocation_lists(&[], 2019..=2020);
    set.write("crl/lists.pem", &[expired[0].as_str(), of_root.as_str()].concat());
    let mark = front.mark();
    assert_eq!(front.reload()["message"], "reloaded");
    front.wait("the list is named", mark, |line| {
        line["message"].as_str().is_some_and(|text| {
            text.contains("crl/lists.pem")
                && text.contains("CN=Clients CA 1 has expired on 2020-12-31")
        })
    });
    let has_expired =
        "whether it is revoked cannot be found out: the list of one of its issuers has expired";
    assert_eq!(unverified(&front).as_deref(), Some(has_expired));
}

/// What cannot be used is named with its file, and changes nothing: no start without it, and after a
/// reload the rule of before.
#[test]
fn and_what_they_are_verified_by_is_all_or_nothing() {
    let set = Set::new();
    let rule = set.with_lists("require");
    let front = set.front(&[&rule], "");
    let good = set.ca.client("mta.example.org", 1);
    let root = set.ca.root_pem();
    let lists = set.ca.revocation_lists(&[REVOKED], 2020..=2999).concat();
    let leaf = set.ca.client("mta.example.org", 1).cert;
    for (name, content, why) in [
        ("trust/root.pem", &root[..root.len() / 2], "cut short"),
        ("trust/root.pem", "", "is empty"),
        (
            "trust/root.pem",
            &leaf,
            "is no authority's certificate; put that of its issuer, CN=Clients CA 1, there",
        ),
        ("crl/lists.pem", &lists[..lists.len() / 3], "cut short"),
        ("crl/lists.pem", &root, "no revocation list"),
        (
            "crl/lists.pem",
            "-----BEGIN X509 CRL-----\nMAMBAQE=\n-----END X509 CRL-----\n",
            "a revocation list cannot be read",
        ),
    ] {
        set.write(name, content);
        let mark = front.mark();
        let said = front.reload();
        assert!(said["message"].as_str().unwrap().starts_with("reload changed nothing"), "{why}");
        let place = name.split('/').next().unwrap();
        front.wait(&format!("{why:?} is said of {name}"), mark, |line| {
            let text = line["message"].as_str().unwrap_or_default();
            line["level"] == "ERROR" && text.contains(&set.path(place)) && text.contains(why)
        });
        assert!(set.visit(&front, 0, Some(&good), &[]).said.is_served(), "as before");
        assert_eq!(set.visit(&front, 0, None, &[]).said.alert(), Some(116), "as before");
        let mut other = Front::launch(&set.config(&[&rule], ""));
        assert_eq!(other.exit().code(), Some(78), "{name}: {why}");
        set.write("trust/root.pem", &root);
        set.write("crl/lists.pem", &lists);
    }
    std::fs::remove_dir_all(set.path("trust")).unwrap();
    let mut other = Front::launch(&set.config(&[&rule], ""));
    assert_eq!(other.exit().code(), Some(78));
}

/// A client that came before a reload is judged by what was loaded after it.
#[test]
fn by_what_is_known_at_the_handshake() {
    let set = Set::new();
    let line = |rule: &str| format!("client_certificates: {rule}");
    let rule = line(&set.with_lists("require"));
    let door = ("imap", "starttls", set.host.backend.address);
    let front = Front::start(&set.stage.config_with(&[(door, &rule)], ""));
    let leaf = set.ca.client("mta.example.org", 8);
    let client = with_certificate(set.stage.client(), &leaf, &leaf);
    let waiting = || {
        let mut clear = connect(front.address(0));
        clear.until("* OK");
        clear
    };
    let upgrade = |mut clear: crate::common::peer::Peer<std::net::TcpStream>| {
        clear.send("tls STARTTLS\r\n");
        clear.until("tls OK");
        let mut inside = client.shake(clear).map_err(|e| e.to_string())?;
        inside.0.write_all(b"n NOOP\r\n").map_err(|e| e.to_string())?;
        inside.0.read_exact(&mut [0; 1]).map_err(|e| e.to_string())
    };
    let (before, later) = (waiting(), [waiting(), waiting()]);
    upgrade(before).expect("the control");
    set.write("crl/lists.pem", &set.ca.revocation_lists(&[8], 2020..=2999).concat());
    assert_eq!(front.reload()["message"], "reloaded");
    let [first, second] = later;
    assert!(upgrade(first).unwrap_err().contains("CertificateRevoked"));
    // The rule itself is another: nobody can say what the old one would have asked for by now.
    front.configure(&set.stage.config_with(&[(door, &line(&set.rule("require", "")))], ""));
    assert_eq!(front.reload()["message"], "reloaded");
    assert!(upgrade(second).unwrap_err().contains("InternalError"));
    upgrade(waiting()).expect("by the new rule");
}
