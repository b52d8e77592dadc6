//! From files on disk to the certificate that a client gets.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::SignatureScheme;

use super::{
    Certificate, CertificateSet, KeyKind, Reason, Severity, Sources, Store, Wish, Wishes, load,
};

/// A root and an intermediate, and what they issue.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

struct Leaf {
    cert: String,
    key: String,
}

fn ecdsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.use_authority_key_identifier_extension = true;
    params
}

impl Authority {
    fn new() -> Self {
        Self::named("")
    }

    fn named(name: &str) -> Self {
        let root =
            CertifiedIssuer::self_signed(authority(&format!("Root{name}")), ecdsa()).unwrap();
        let intermediate =
            CertifiedIssuer::signed_by(authority(&format!("CA 1{name}")), ecdsa(), &root).unwrap();
        Self { root, intermediate }
    }

    fn leaf(&self, names: &[&str], key: &KeyPair) -> Leaf {
        let mut params =
            CertificateParams::new(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>())
                .unwrap();
        params.use_authority_key_identifier_extension = true;
        Leaf {
            cert: params.signed_by(key, &self.intermediate).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A temporary folder.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vestibule-certs-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self, previous: Option<&Store>) -> Store {
        load(&Sources { certificates: vec![self.0.clone()], ..Sources::default() }, previous)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn errors(store: &Store) -> Vec<String> {
    store
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .map(ToString::to_string)
        .collect()
}

fn ders(pem: &[&str]) -> Vec<Vec<u8>> {
    let certificates = |pem: &str| {
        rustls_pemfile::certs(&mut pem.as_bytes()).map(|c| c.unwrap().to_vec()).collect::<Vec<_>>()
    };
    pem.iter().flat_map(|pem| certificates(pem)).collect()
}

fn chain(certificate: &Certificate) -> Vec<Vec<u8>> {
    certificate.sent_chain().iter().map(|c| c.to_vec()).collect()
}

fn set(store: &Store) -> CertificateSet {
    CertificateSet::new(store, &Wishes::default()).0
}

const ANYWHERE: &str = "192.0.2.1";

/// The certificate for a client that can verify everything.
fn chosen(set: &CertificateSet, sni: Option<&str>, local: &str) -> (Arc<Certificate>, Reason) {
    let choice = set.choose(sni, local.parse::<IpAddr>().unwrap());
    let all = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];
    (choice.certificate(&all).unwrap().clone(), choice.reason)
}

/// T21: whatever the files are called and however they are ordered, the leaf comes first, then its
/// issuer, and no root.
#[test]
fn the_chain_is_the_same_from_every_layout() {
    let ca = Authority::new();
    let leaf = ca.leaf(&["mail.example.org"], &ecdsa());
    let (root, issuer) = (ca.root.pem(), ca.intermediate.pem());
    let layouts: [&[(&str, &[&str])]; 5] = [
        &[
            ("live/m/cert.pem", &[&leaf.cert]),
            ("live/m/chain.pem", &[&issuer]),
            ("live/m/fullchain.pem", &[&leaf.cert, &issuer]),
            ("live/m/privkey.pem", &[&leaf.key]),
        ],
        &[("m.crt", &[&leaf.cert]), ("m.key", &[&leaf.key]), ("ca.crt", &[&issuer])],
        &[("all.pem", &[&leaf.key, &root, &issuer, &leaf.cert])],
        &[("all.pem", &["some text\r\n", &leaf.cert, &issuer, &leaf.cert, &root, &leaf.key])],
        &[
            ("sslcert/server.crt", &[&leaf.cert]),
            ("sslcert/server.key", &[&leaf.key]),
            ("sslca/ca.crt", &[&issuer, &root]),
        ],
    ];
    for layout in layouts {
        let folder = Folder::new();
        for (name, parts) in layout {
            folder.write(name, &parts.concat());
        }
        let store = folder.load(None);
        assert_eq!(errors(&store), Vec::<String>::new(), "{layout:?}");
        assert_eq!(store.certificates.len(), 1, "{layout:?}");
        assert_eq!(chain(&store.certificates[0]), ders(&[&leaf.cert, &issuer]), "{layout:?}");
    }
}

/// A file that is named itself brings its key and its chain from beside it, and nothing else.
#[test]
fn a_single_file_finds_its_key_beside_it() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (leaf, other) = (ca.leaf(&["a.example"], &ecdsa()), ca.leaf(&["b.example"], &ecdsa()));
    let file = folder.write("a.crt", &leaf.cert);
    folder.write("a.key", &leaf.key);
    folder.write("b.pem", &format!("{}{}", other.cert, other.key));
    folder.write("notes.txt", "-----BEGIN nothing");
    let pool = Folder::new();
    pool.write("ca.pem", &ca.intermediate.pem());
    let sources = Sources {
        certificates: vec![file],
        intermediates: vec![pool.0.clone()],
        ..Sources::default()
    };
    let store = load(&sources, None);
    assert_eq!(errors(&store), Vec::<String>::new());
    assert_eq!(store.certificates.iter().map(|c| c.label()).collect::<Vec<_>>(), ["a.example"]);
    assert_eq!(chain(&store.certificates[0]), ders(&[&leaf.cert, &ca.intermediate.pem()]));
}

/// T4, T5: exact, then a wildcard for one label, then the address, then the default.
#[test]
fn a_name_goes_before_an_address_and_an_address_before_the_default() {
    let (ca, folder) = (Authority::new(), Folder::new());
    for (n, names) in [
        &["www.example.org"][..],
        &["*.example.org", "example.org"],
        &["b.example.net"],
        &["d.example.net"],
    ]
    .iter()
    .enumerate()
    {
        let leaf = ca.leaf(names, &ecdsa());
        folder.write(&format!("{n}/all.pem"), &format!("{}{}", leaf.cert, leaf.key));
    }
    let wishes = Wishes {
        hostname: "mx.example.com".into(),
        default: Some("d.example.net".into()),
        by_address: [("127.0.0.2".parse().unwrap(), "b.example.net".into())].into(),
        ..Wishes::default()
    };
    let set = CertificateSet::new(&folder.load(None), &wishes).0;
    for (sni, local, label, reason) in [
        (Some("www.example.org"), ANYWHERE, "www.example.org", Reason::Name),
        (Some("www.example.org."), ANYWHERE, "www.example.org", Reason::Name),
        (Some("mail.example.org"), "127.0.0.2", "*.example.org", Reason::Wildcard),
        (Some("example.org"), ANYWHERE, "*.example.org", Reason::Name),
        (Some("a.b.example.org"), ANYWHERE, "d.example.net", Reason::Default),
        (Some("*.example.org"), ANYWHERE, "*.example.org", Reason::Name),
        (Some(".example.org"), ANYWHERE, "d.example.net", Reason::Default),
        (None, "127.0.0.2", "b.example.net", Reason::Address),
        (None, "::ffff:127.0.0.2", "b.example.net", Reason::Address),
        (Some("nobody.example"), "127.0.0.2", "b.example.net", Reason::Address),
        (None, ANYWHERE, "d.example.net", Reason::Default),
    ] {
        let (certificate, why) = chosen(&set, sni, local);
        assert_eq!((certificate.label(), why), (label, reason), "{sni:?} at {local}");
    }
}

/// The default is the one that covers our own name, else the first.
#[test]
fn the_default_follows_the_hostname() {
    let (ca, folder) = (Authority::new(), Folder::new());
    for name in ["a.example", "b.example"] {
        let leaf = ca.leaf(&[name], &ecdsa());
        folder.write(&format!("{name}/all.pem"), &format!("{}{}", leaf.cert, leaf.key));
    }
    let store = folder.load(None);
    let default = |hostname: &str| {
        let set =
            CertificateSet::new(&store, &Wishes { hostname: hostname.into(), ..Wishes::default() })
                .0;
        chosen(&set, None, ANYWHERE).0.label().to_owned()
    };
    assert_eq!(default("B.example"), "b.example");
    assert_eq!(default("c.example"), "a.example");
}

/// T27: of two certificates for one name, the one that the client can verify.
#[test]
fn ecdsa_and_rsa_live_under_one_name() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let rsa = ca.leaf(
        &["m.example"],
        &KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
    );
    let ec = ca.leaf(&["m.example"], &ecdsa());
    folder.write("rsa.pem", &format!("{}{}", rsa.cert, rsa.key));
    folder.write("ec.pem", &format!("{}{}", ec.cert, ec.key));
    let set = set(&folder.load(None));
    let kind = |schemes: &[SignatureScheme]| {
        set.choose(Some("m.example"), ANYWHERE.parse().unwrap())
            .certificate(schemes)
            .unwrap()
            .kind()
    };
    assert_eq!(
        kind(&[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256]),
        KeyKind::Ecdsa
    );
    assert_eq!(kind(&[SignatureScheme::RSA_PSS_SHA256]), KeyKind::Rsa);
    assert_eq!(
        kind(&[SignatureScheme::ED25519]),
        KeyKind::Ecdsa,
        "one must be shown, and the alert tells the rest"
    );
}

/// What goes wrong in a folder.
type Break<'a> = &'a dyn Fn(&Path);

/// O2, O3: what cannot be used is named, and what was served before goes on.
#[test]
fn a_broken_place_keeps_what_it_had() {
    let (ca, another) = (Authority::new(), Authority::named(" of another"));
    let (old, new, other) = (
        ca.leaf(&["m.example"], &ecdsa()),
        ca.leaf(&["m.example"], &ecdsa()),
        another.leaf(&["o.example"], &ecdsa()),
    );
    let full = |leaf: &Leaf| format!("{}{}", leaf.cert, ca.intermediate.pem());
    let together = |leaf: &Leaf| format!("{}{}{}", leaf.cert, another.intermediate.pem(), leaf.key);
    let half = &full(&new)[..full(&new).len() / 3];
    let broken: [(&str, Break<'_>); 6] = [
        ("the key in", &|m| fs::write(m.join("fullchain.pem"), full(&new)).unwrap()),
        ("it is cut short", &|m| fs::write(m.join("fullchain.pem"), half).unwrap()),
        ("the certificate for this key", &|m| fs::remove_file(m.join("fullchain.pem")).unwrap()),
        ("it is empty", &|m| fs::write(m.join("privkey.pem"), "").unwrap()),
        ("there is no private key", &|m| fs::remove_file(m.join("privkey.pem")).unwrap()),
        ("the issuer CN=CA 1 is not at hand", &|m| {
            fs::write(m.join("fullchain.pem"), &new.cert).unwrap();
            fs::write(m.join("privkey.pem"), &new.key).unwrap();
        }),
    ];
    for (why, break_it) in broken {
        let folder = Folder::new();
        folder.write("m/fullchain.pem", &full(&old));
        folder.write("m/privkey.pem", &old.key);
        folder.write("o/all.pem", &together(&other));
        let before = folder.load(None);
        break_it(&folder.0.join("m"));
        let renewed = another.leaf(&["o.example"], &ecdsa());
        folder.write("o/all.pem", &together(&renewed));

        let after = folder.load(Some(&before));
        let said = errors(&after);
        assert!(
            said.len() == 1 && said[0].contains(why) && said[0].contains("/m/"),
            "{why}: {said:?}"
        );
        let served = |name| chain(&chosen(&set(&after), Some(name), ANYWHERE).0).remove(0);
        assert_eq!(served("m.example"), ders(&[&old.cert]).remove(0), "{why}");
        assert_eq!(
            served("o.example"),
            ders(&[&renewed.cert]).remove(0),
            "{why}: others are renewed"
        );

        // Mended, it is served.
        folder.write("m/fullchain.pem", &full(&new));
        folder.write("m/privkey.pem", &new.key);
        let mended = folder.load(Some(&after));
        assert_eq!(errors(&mended), Vec::<String>::new(), "{why}");
        assert_eq!(
            chain(&chosen(&set(&mended), Some("m.example"), ANYWHERE).0),
            ders(&[&full(&new)]),
            "{why}"
        );
    }
}

/// What one place cannot give for a moment, another must not lose.
#[test]
fn an_unreadable_place_keeps_its_authorities_for_the_others() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (a, b) = (ca.leaf(&["a.example"], &ecdsa()), ca.leaf(&["b.example"], &ecdsa()));
    folder.write("a/all.pem", &format!("{}{}{}", a.cert, a.key, ca.intermediate.pem()));
    folder.write("b/all.pem", &format!("{}{}", b.cert, b.key));
    let before = folder.load(None);
    folder.write("a/all.pem", "");
    let after = folder.load(Some(&before));
    assert_eq!(errors(&after).len(), 1, "{:?}", errors(&after));
    let served = chosen(&set(&after), Some("b.example"), ANYWHERE).0;
    assert_eq!(chain(&served), ders(&[&b.cert, &ca.intermediate.pem()]));
}

/// Debian keeps keys in a folder of their own.
#[test]
fn a_key_may_lie_in_another_folder() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let leaf = ca.leaf(&["m.example"], &ecdsa());
    let certificate =
        folder.write("certs/m.pem", &format!("{}{}", leaf.cert, ca.intermediate.pem()));
    let key = folder.write("private/m.key", &leaf.key);
    let store = load(&Sources { certificates: vec![certificate, key], ..Sources::default() }, None);
    assert_eq!(errors(&store), Vec::<String>::new());
    assert_eq!(store.certificates.iter().map(|c| c.label()).collect::<Vec<_>>(), ["m.example"]);
}

/// Next year's certificate may lie there already, and last year's still.
#[test]
fn of_two_for_one_name_the_one_that_is_valid_longest_is_served_and_said() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let serve = |name: &str, from: i32, to: i32| {
        let mut params = CertificateParams::new(vec!["m.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
        let key = ecdsa();
        let cert = params.signed_by(&key, &ca.intermediate).unwrap().pem();
        folder.write(name, &format!("{cert}{}", key.serialize_pem()));
        ders(&[&cert])
    };
    serve("a.pem", 2024, 2990);
    let longest = serve("b.pem", 2020, 3000);
    serve("c.pem", 3500, 4000);
    let (set, findings) = CertificateSet::new(&folder.load(None), &Wishes::default());
    let served = chosen(&set, Some("m.example"), ANYWHERE).0;
    assert_eq!(chain(&served)[0], longest[0]);
    let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
    for file in ["a.pem", "c.pem"] {
        let is_said = |s: &&String| {
            s.contains(&format!("{file}: V019: m.example"))
                && s.contains("b.pem, which is valid until 3000-01-01")
        };
        assert!(said.iter().any(|s| is_said(&s)), "{file}: {said:?}");
    }
    assert_eq!(said.len(), 2, "{said:?}");
}

/// A folder that is taken away is taken out of service: that is how a domain is removed.
#[test]
fn a_removed_place_is_forgotten() {
    let (ca, folder) = (Authority::new(), Folder::new());
    for name in ["a.example", "b.example"] {
        let leaf = ca.leaf(&[name], &ecdsa());
        folder.write(&format!("{name}/all.pem"), &format!("{}{}", leaf.cert, leaf.key));
    }
    let before = folder.load(None);
    fs::remove_dir_all(folder.0.join("b.example")).unwrap();
    let after = folder.load(Some(&before));
    assert_eq!(errors(&after), Vec::<String>::new());
    assert_eq!(after.certificates.iter().map(|c| c.label()).collect::<Vec<_>>(), ["a.example"]);
}

#[test]
fn mistakes_in_files_are_named_with_what_to_do() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let leaf = ca.leaf(&["m.example"], &ecdsa());
    folder.write("good.pem", &format!("{}{}{}", leaf.cert, leaf.key, ca.intermediate.pem()));
    folder.write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.write("binary.crt", "0\u{1}binary");
    folder.write("text.pem", "hello");
    folder.write("README", "certificates live here");
    std::os::unix::fs::symlink("/nowhere", folder.0.join("gone.pem")).unwrap();
    std::os::unix::fs::symlink(&folder.0, folder.0.join("circle")).unwrap();
    let store = folder.load(None);
    let said = errors(&store);
    for (file, why) in [
        ("encrypted.key", "openssl pkey -in"),
        ("binary.crt", "openssl x509 -inform der"),
        ("text.pem", "no PEM block"),
        ("gone.pem", "cannot be read"),
    ] {
        assert!(said.iter().any(|s| s.contains(file) && s.contains(why)), "{file}: {said:?}");
    }
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(store.certificates.len(), 1, "the rest is served");
}

/// What the configuration names must be there.
#[test]
fn a_wish_that_no_certificate_covers_is_named() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let leaf = ca.leaf(&["m.example"], &ecdsa());
    folder.write("all.pem", &format!("{}{}", leaf.cert, leaf.key));
    let wishes = Wishes {
        file: "/etc/v.yaml".into(),
        default: Some("x.example".into()),
        by_address: [("192.0.2.7".parse().unwrap(), "y.example".into())].into(),
        names: vec![Wish { key: "aliases[0]".into(), name: "z.example".into() }],
        ..Wishes::default()
    };
    let (set, findings) = CertificateSet::new(&folder.load(None), &wishes);
    assert_eq!(
        findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "/etc/v.yaml: V020: certificate_by_address: 192.0.2.7: no certificate covers y.example",
            "/etc/v.yaml: V020: default_certificate: no certificate covers x.example",
            "/etc/v.yaml: V020: aliases[0]: no certificate covers z.example",
        ]
    );
    assert_eq!(chosen(&set, None, "192.0.2.7").1, Reason::Default);
    assert!(CertificateSet::new(&Store::default(), &Wishes::default()).0.is_empty());
}
