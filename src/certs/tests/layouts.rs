//! Every layout in which people keep certificates, and every form of them.

use super::*;

/// A leaf with its whole family.
struct Family {
    ca: Authority,
    leaf: Leaf,
    fullchain: String,
}

impl Family {
    fn of(names: &[&str]) -> Self {
        let ca = Authority::new();
        let leaf = ca.leaf(names, ecdsa());
        let fullchain = format!("{}{}", leaf.cert, ca.issuer_pem);
        Self { ca, leaf, fullchain }
    }

    /// From this folder comes one certificate, whose chain is leaf and intermediate, and nothing is
    /// wrong where the root is trusted.
    fn is_whole_in(&self, folder: &Folder, what: &str) {
        self.is_whole(&folder.load_trusting(&[&self.ca.root_pem]), what);
    }

    fn is_whole(&self, store: &Store, what: &str) {
        assert_eq!(said(&store.findings), Vec::<String>::new(), "{what}");
        assert_eq!(only_chain(store), ders(&[&self.fullchain]), "{what}");
    }
}

/// T21: `live/NAME/` links into `archive/NAME/`, and a renewal moves the links.
#[test]
fn certbot() {
    let family = Family::of(&["example.org", "mail.example.org"]);
    let folder = Folder::new();
    let live = Sources { certificates: vec![folder.path("live")], ..Sources::default() };
    let renew = |n: u32, leaf: &Leaf| {
        for (name, text) in [
            ("cert", leaf.cert.clone()),
            ("chain", family.ca.issuer_pem.clone()),
            ("fullchain", format!("{}{}", leaf.cert, family.ca.issuer_pem)),
            ("privkey", leaf.key.clone()),
        ] {
            folder.write(&format!("archive/example.org/{name}{n}.pem"), text);
            let to = format!("../../archive/example.org/{name}{n}.pem");
            folder.link(&to, &format!("live/example.org/{name}.pem"));
        }
    };
    folder.write("live/README", "This directory contains your keys and certificates.\n");
    folder.write("renewal/example.org.conf", "version = 2.1.0\n");
    renew(1, &family.leaf);
    let anchors = anchors(&[&family.ca.root_pem]);
    let first = trusting(&anchors, &live, None);
    family.is_whole(&first, "at first");
    assert_eq!(first.certificates[0].names(), ["example.org", "mail.example.org"]);

    let renewed =
        family.ca.issue(&Entity::leaf(&["example.org", "mail.example.org"]).valid(2026, 4097));
    renew(2, &renewed);
    let second = trusting(&anchors, &live, Some(&first));
    assert_eq!(said(&second.findings), Vec::<String>::new());
    assert_eq!(only_chain(&second), ders(&[&renewed.cert, &family.ca.issuer_pem]));
    // All of `/etc/letsencrypt`, with every version that there ever was: the last one is served.
    let all = trusting(&anchors, &folder.sources(), None);
    assert_eq!(said(&all.findings), Vec::<String>::new());
    let served = chosen(&set(&all), Some("example.org"), ANYWHERE).0;
    assert_eq!(chain(&served)[0], ders(&[&renewed.cert])[0]);
}

/// What certbot lays beside what is served from only repeats it: it is read where that is not whole.
#[test]
fn certbots_parts_are_read_where_they_are_needed() {
    let family = Family::of(&["example.org"]);
    let folder = Folder::new();
    let lay = |name: &str, text: &str| {
        folder.write(&format!("archive/{name}1.pem"), text);
        folder.link(&format!("../../archive/{name}1.pem"), &format!("live/example.org/{name}.pem"));
    };
    let live = Sources { certificates: vec![folder.path("live")], ..Sources::default() };
    let anchors = anchors(&[&family.ca.root_pem]);
    let damaged = "-----BEGIN CERTIFICATE-----\n";
    lay("cert", damaged);
    lay("chain", damaged);
    lay("fullchain", &family.fullchain);
    lay("privkey", &family.leaf.key);
    let whole = trusting(&anchors, &live, None);
    family.is_whole(&whole, "the parts are not needed");

    lay("chain", &family.ca.issuer_pem);
    lay("fullchain", &family.leaf.cert);
    let store = trusting(&anchors, &live, Some(&whole));
    assert_eq!(codes(&store), ["V005"], "cert.pem");
    lay("cert", &family.leaf.cert);
    family.is_whole(&trusting(&anchors, &live, Some(&store)), "the chain is in its part");

    // In the middle of a renewal: its links are moved in this order.
    let renewed = family.ca.leaf(&["example.org"], ecdsa());
    lay("fullchain", &family.fullchain);
    let before = trusting(&anchors, &live, None);
    lay("cert", &renewed.cert);
    lay("privkey", &renewed.key);
    let store = trusting(&anchors, &live, Some(&before));
    let served = chosen(&set(&store), Some("example.org"), ANYWHERE).0;
    assert_eq!(chain(&served), ders(&[&renewed.cert, &family.ca.issuer_pem]));
}

#[test]
fn acme_sh() {
    let family = Family::of(&["example.org"]);
    let request = CertificateParams::new(vec!["example.org".to_owned()]).unwrap();
    let request = request.serialize_request(&ecdsa()).unwrap().pem().unwrap();
    let folder = Folder::of(&[
        ("example.org_ecc/example.org.cer", &family.leaf.cert),
        ("example.org_ecc/example.org.key", &family.leaf.key),
        ("example.org_ecc/ca.cer", &family.ca.issuer_pem),
        ("example.org_ecc/fullchain.cer", &family.fullchain),
        ("example.org_ecc/example.org.csr", &request),
        ("example.org_ecc/example.org.csr.conf", "[ req_distinguished_name ]\n"),
        ("example.org_ecc/example.org.conf", "Le_Domain='example.org'\nLe_Keylength='ec-256'\n"),
        ("account.conf", "LOG_FILE='/dev/null'\n"),
        ("ca/acme.example.org/directory/account.json", "{}"),
        ("http.header", "HTTP/2 200\r\n"),
    ]);
    family.is_whole_in(&folder, "acme.sh");
}

/// The key of the account lies beside the certificates, and is the key of none.
#[test]
fn lego() {
    for name in ["example.org", "_.example.org"] {
        let family = Family::of(&[&name.replace('_', "*")]);
        let at = |end: &str| format!("certificates/{name}.{end}");
        let folder = Folder::of(&[
            (&at("crt"), &family.fullchain),
            (&at("issuer.crt"), &family.ca.issuer_pem),
            (&at("key"), &family.leaf.key),
            (&at("json"), "{ \"domain\": \"example.org\" }"),
            (
                "accounts/acme-v02.api.example.org/me@example.org/keys/me@example.org.key",
                &ecdsa().serialize_pem(),
            ),
        ]);
        family.is_whole_in(&folder, name);
    }
}

#[test]
fn caddy() {
    let family = Family::of(&["example.org"]);
    let at = |end: &str| {
        format!("certificates/acme-v02.api.letsencrypt.org-directory/example.org/example.org.{end}")
    };
    let folder = Folder::of(&[
        (&at("crt"), &family.fullchain),
        (&at("key"), &family.leaf.key),
        (&at("json"), "{\"sans\":[\"example.org\"],\"issuer_data\":{}}"),
        ("locks/issue_cert_example.org.lock", "{}"),
        ("last_clean.json", "{}"),
        ("instance.uuid", "8d2c0f3e-0d3f-4d3e-9d7c-0c1f8d6f1a11"),
    ]);
    family.is_whole_in(&folder, "Caddy");
}

#[test]
fn kerio() {
    let family = Family::of(&["mail.example.org"]);
    let folder = Folder::of(&[
        ("sslcert/server.crt", &family.leaf.cert),
        ("sslcert/server.key", &family.leaf.key),
        ("sslca/intermediate.crt", &family.ca.issuer_pem),
        ("sslca/root.crt", &family.ca.root_pem),
    ]);
    family.is_whole_in(&folder, "Kerio");
    // With its intermediates named as such.
    let sources = Sources {
        certificates: vec![folder.path("sslcert")],
        intermediates: vec![folder.path("sslca")],
        ..Sources::default()
    };
    family.is_whole(&trusting(&anchors(&[&family.ca.root_pem]), &sources, None), "its two folders");
}

/// Many in one folder: each finds its own key, and all share an issuer.
#[test]
fn pairs_in_one_folder() {
    let (ca, folder) = (Authority::new(), Folder::new());
    folder.write("ca-bundle.crt", format!("{}{}", ca.root_pem, ca.issuer_pem));
    let mut wanted = Vec::new();
    for n in 10..40 {
        let name = format!("host{n}.example.org");
        let leaf = ca.leaf(&[&name], ecdsa());
        folder.write(&format!("{name}.crt"), &leaf.cert);
        folder.write(&format!("{name}.key"), &leaf.key);
        wanted.push((name, ders(&[&leaf.cert, &ca.issuer_pem])));
    }
    let store = folder.load_trusting(&[&ca.root_pem]);
    assert_eq!(said(&store.findings), Vec::<String>::new());
    let served: Vec<_> =
        store.certificates.iter().map(|c| (c.label().to_owned(), chain(c))).collect();
    assert_eq!(served, wanted);
}

/// The chain is completed from a folder that is only there for that; what is wrong in it is said, and
/// nothing of it is served.
#[test]
fn intermediates_in_a_pool() {
    let family = Family::of(&["example.org"]);
    let folder = Folder::of(&[
        ("example.org.crt", &family.leaf.cert),
        ("example.org.key", &family.leaf.key),
    ]);
    let other = Authority::named(" of others").leaf(&["other.example.org"], ecdsa());
    let pool = Folder::of(&[
        ("2026/ca.pem", &family.ca.issuer_pem),
        ("other.pem", &format!("{}{}", other.cert, other.key)),
    ]);
    let sources = Sources { intermediates: vec![pool.0.clone()], ..folder.sources() };
    let anchors = anchors(&[&family.ca.root_pem]);
    family.is_whole(&trusting(&anchors, &sources, None), "a pool");
    // A single file does as well.
    let sources = Sources { intermediates: vec![pool.path("2026/ca.pem")], ..folder.sources() };
    family.is_whole(&trusting(&anchors, &sources, None), "a file");
    assert_eq!(codes(&folder.load_trusting(&[&family.ca.root_pem])), ["V007"], "without it");
}

/// All orders of these.
fn permutations<'a>(of: &[&'a str]) -> Vec<Vec<&'a str>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for n in 0..of.len() {
        let mut rest = of.to_vec();
        let first = rest.remove(n);
        for mut tail in permutations(&rest) {
            tail.insert(0, first);
            all.push(tail);
        }
    }
    all
}

/// One file, in any order, in any of the forms that editors, terminals and `cat` make of it.
#[test]
fn one_file_in_any_order() {
    let family = Family::of(&["example.org"]);
    let (leaf, ca) = (&family.leaf, &family.ca);
    let folder = Folder::new();
    let mut orders = permutations(&[&leaf.key, &leaf.cert, &ca.issuer_pem, &ca.root_pem]);
    orders.extend(permutations(&[&leaf.key, &leaf.cert, &ca.issuer_pem]));
    orders.push(vec![&leaf.cert, &ca.issuer_pem, &leaf.cert, &ca.issuer_pem, &leaf.key]);
    for order in &orders {
        let whole = order.concat();
        let crlf = order.concat().replace('\n', "\r\n");
        let bare: Vec<&str> = order.iter().map(|block| block.trim_end()).collect();
        for (what, text) in [
            ("as it is", whole.clone()),
            ("CRLF", crlf.clone()),
            ("a byte order mark", format!("\u{feff}{whole}")),
            ("a byte order mark and CRLF", format!("\u{feff}{crlf}")),
            ("no line ends between blocks", bare.concat()),
            ("no line end at the end", bare.join("\n")),
            ("empty lines", bare.join("\n\n\n")),
            (
                "text between blocks",
                bare.join(
                    "\nsubject=CN = example.org\n    Not After : Jan  1 00:00:00 2030 GMT\n\n",
                ),
            ),
            ("text in front", format!("Bag Attributes\n    localKeyID: 54\r\nKey: <No>\n{whole}")),
            ("blanks at the ends of lines", whole.replace('\n', " \n")),
        ] {
            folder.write("all.pem", text);
            family.is_whole_in(&folder, &format!("{what}: {order:?}"));
        }
    }
}

/// A file that is named itself brings its key and its chain from beside it, and nothing else.
#[test]
fn a_single_file_finds_its_key_beside_it() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (leaf, other) = (ca.leaf(&["a.example"], ecdsa()), ca.leaf(&["b.example"], ecdsa()));
    let file = folder.write("a.crt", &leaf.cert);
    folder.write("a.key", &leaf.key);
    folder.write("b.pem", format!("{}{}", other.cert, other.key));
    folder.write("notes.txt", "-----BEGIN nothing");
    let pool = Folder::new();
    pool.write("ca.pem", &ca.issuer_pem);
    let sources = Sources {
        certificates: vec![file],
        intermediates: vec![pool.0.clone()],
        ..Sources::default()
    };
    let store = load(&sources, None);
    assert_eq!(errors(&store), Vec::<String>::new());
    assert_eq!(store.certificates.iter().map(|c| c.label()).collect::<Vec<_>>(), ["a.example"]);
    assert_eq!(chain(&store.certificates[0]), ders(&[&leaf.cert, &ca.issuer_pem]));
}

/// Debian keeps keys in a folder of their own.
#[test]
fn a_key_may_lie_in_another_folder() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let leaf = ca.leaf(&["m.example"], ecdsa());
    let certificate = folder.write("certs/m.pem", format!("{}{}", leaf.cert, ca.issuer_pem));
    let key = folder.write("private/m.key", &leaf.key);
    let store = load(&Sources { certificates: vec![certificate, key], ..Sources::default() }, None);
    assert_eq!(errors(&store), Vec::<String>::new());
    assert_eq!(store.certificates.iter().map(|c| c.label()).collect::<Vec<_>>(), ["m.example"]);
}
