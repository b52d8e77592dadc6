//! Which certificate a client is shown: by the name that it asks for, by the address that it called, by
//! what it can verify; and the whole chain of it.

use std::net::{Ipv4Addr, SocketAddr};

use rustls::pki_types::CertificateDer;

use crate::{
    common::{
        ca::{Ca, Kind, Leaf},
        folder::Folder,
        front::Front,
        hello::{Answer, Hello},
        mailhost::{Host, Talk},
        peer::connect,
        tls::{Client, NAME, VERSIONS, der},
    },
    stage::{Stage, s_client},
};

/// A front on all addresses, with a certificate for each of these sets of names.
struct Shop {
    front: Front,
    leafs: Vec<Leaf>,
    ca: Ca,
    _host: Host,
    folder: Folder,
}

impl Shop {
    fn open(names: &[&[&str]], more: &str, listener: &str) -> Self {
        let (ca, folder, host) = (Ca::new("Test"), Folder::new(), Host::polite(Talk::Imap));
        let mut leafs = Vec::new();
        for (n, names) in names.iter().enumerate() {
            let leaf = ca.leaf(names, Kind::Ecdsa);
            leaf.certbot(&folder.path().join(n.to_string()));
            leafs.push(leaf);
        }
        let front = Front::start(&format!(
            "hostname: {NAME}
certificates: [{}]
backend: {}
{more}
listeners: [ {{ bind: \"0.0.0.0:0\", protocol: imap, tls: implicit{listener} }} ]
",
            folder.path().display(),
            host.backend.address
        ));
        Self { front, leafs, ca, _host: host, folder }
    }

    /// Who comes to this address and sends this hello sees the n-th certificate, or this alert.
    fn answer(&self, to: [u8; 4], hello: &Hello) -> Result<usize, u8> {
        let to = SocketAddr::from((Ipv4Addr::from(to), self.front.port(0)));
        let mut peer = connect(to);
        peer.send(hello.record());
        match Answer::read(&mut peer) {
            Answer::Alert(alert) => Err(alert),
            Answer::End => panic!("no answer"),
            shown => {
                let is_shown = |leaf: &Leaf| der(&leaf.cert)[..] == *shown.leaf();
                Ok(self.leafs.iter().position(is_shown).expect("one of ours"))
            }
        }
    }

    fn asked(&self, name: &str) -> Result<usize, u8> {
        self.answer([127, 0, 0, 1], &Hello::default().asking(name))
    }
}

/// T4; RFC 6066 §3, RFC 9525 §6.3: exact beats wildcard, a wildcard is one label, case does not count.
#[test]
fn exactly_or_by_one_label_in_any_case() {
    let shop = Shop::open(
        &[&[NAME], &["*.example.org"], &["imap.example.org", "Example.NET"], &["a.b.example.org"]],
        "",
        "",
    );
    for (name, shown) in [
        ("mail.example.org", 0),
        ("MAIL.example.ORG", 0),
        ("imap.example.org", 2),
        ("other.example.org", 1),
        ("OTHER.EXAMPLE.ORG", 1),
        ("example.net", 2),
        ("a.b.example.org", 3),
        // The default: two labels, none, another domain, something that only looks like it.
        ("c.b.example.org", 0),
        ("example.org", 0),
        ("www.example.net", 0),
        ("mail.example.org.evil.test", 0),
        ("xmail.example.com", 0),
    ] {
        assert_eq!(shop.asked(name), Ok(shown), "{name}");
    }
}

/// T4, T7; RFC 6066 §3: what is no host name gets an alert or the default certificate, and harms nobody.
#[test]
fn no_name_at_all_is_no_harm() {
    let shop = Shop::open(&[&[NAME], &["*.example.org"], &["192.0.2.7.example.org"]], "", "");
    for name in [
        &b"mail.example.org."[..],
        b"*.example.org",
        b".example.org",
        b"",
        b"192.0.2.7",
        b"2001:db8::7",
        b"[2001:db8::7]",
        b"mail\0.example.org",
        b"mail.example.org\r\n",
        b"\xff\xfe\xfd",
        "m\u{e4}il.example.org".as_bytes(),
        b"a..example.org",
        b"../../etc/passwd",
        &[b'a'; 64],
        &[b'a'; 300],
        &[b'.'; 40],
        &[b'a'; 8000],
    ] {
        let answer = shop.answer([127, 0, 0, 1], &Hello::default().asking(name));
        let is_fine = answer.is_err() || answer == Ok(0);
        assert!(is_fine, "{}: {answer:?}", name.escape_ascii());
        assert_eq!(shop.asked("imap.example.org"), Ok(1), "and goes on");
    }
}

/// RFC 6066 §3 wants no dot at the end. Whoever writes one means the same name, and gets its certificate; the
/// dot goes no further.
#[test]
fn a_dot_at_its_end_changes_nothing() {
    for strict in ["", ", unknown_name: reject"] {
        let shop = Shop::open(&[&[NAME], &["*.example.net"]], "", strict);
        assert_eq!(shop.asked("imap.example.net."), Ok(1));
        assert_eq!(shop.asked("IMAP.Example.NET."), Ok(1));
        let other = shop.asked("imap.example.com.");
        assert_eq!(other, if strict.is_empty() { Ok(0) } else { Err(112) });
        // As OpenSSL sends it, in TLS 1.3.
        let root = shop.ca.write_root(shop.folder.path());
        let name = "imap.example.net";
        let dotted = format!("{name}.");
        let said = s_client(
            shop.front.address(0),
            &root,
            &["-servername", &dotted, "-verify_hostname", name],
        );
        assert!(said.is_ok(), "{said:?}");
        let session = shop.front.wait("a session", 0, |line| !line["cipher"].is_null());
        assert_eq!(
            (&session["sni"], &session["certificate"]),
            (&name.into(), &"*.example.net".into())
        );
    }
}

/// T6; RFC 9325 §3.7: where strict, a name that nothing covers ends in `unrecognized_name` (112); a
/// client without SNI is still served.
#[test]
fn strictly_where_wished() {
    let shop = Shop::open(&[&[NAME], &["*.example.net"]], "", ", unknown_name: reject");
    assert_eq!(shop.asked(NAME), Ok(0));
    assert_eq!(shop.asked("Mail.Example.Org"), Ok(0));
    assert_eq!(shop.asked("a.example.net"), Ok(1));
    for name in ["www.example.org", "a.b.example.net", "example.net"] {
        assert_eq!(shop.asked(name), Err(112), "{name}");
        // In TLS 1.3 it is the same.
        let error = Client::of(&shop.ca).asking(name).shake(connect(shop.front.address(0)));
        let error = error.err().expect("no handshake").to_string();
        assert!(error.contains("UnrecognisedName"), "{name}: {error}");
    }
    assert_eq!(shop.answer([127, 0, 0, 1], &Hello::default()), Ok(0));
}

/// T5: without a name the address decides, then the default; with one the name does, at any address.
#[test]
fn then_the_address_then_the_default() {
    let shop = Shop::open(
        &[
            &["first.example.org"],
            &["two.example.org"],
            &["three.example.org"],
            &["plain.example.org"],
        ],
        "default_certificate: plain.example.org
certificate_by_address: { 127.0.0.2: two.example.org, 127.0.0.3: three.example.org }",
        "",
    );
    let nothing = Hello::default();
    let unknown = Hello::default().asking("who.example.com");
    for hello in [&nothing, &unknown] {
        for (to, shown) in
            [([127, 0, 0, 2], 1), ([127, 0, 0, 3], 2), ([127, 0, 0, 1], 3), ([127, 0, 0, 4], 3)]
        {
            assert_eq!(shop.answer(to, hello), Ok(shown), "at {to:?}");
        }
    }
    for last in 1..5 {
        let hello = Hello::default().asking("first.example.org");
        assert_eq!(shop.answer([127, 0, 0, last], &hello), Ok(0), "at 127.0.0.{last}");
    }
}

/// T8; RFC 6066 §3: the ServerHello acknowledges the name that was used, with an empty extension.
#[test]
fn and_the_name_is_acknowledged() {
    let shop = Shop::open(&[&[NAME]], "", "");
    let extensions = |hello: &Hello| {
        let mut peer = connect(shop.front.address(0));
        peer.send(hello.record());
        match Answer::read(&mut peer) {
            Answer::Flight { extensions, .. } => extensions,
            other => panic!("{other:?}"),
        }
    };
    let name = |list: Vec<(u16, Vec<u8>)>| list.into_iter().find(|(kind, _)| *kind == 0);
    assert_eq!(name(extensions(&Hello::default().asking(NAME))), Some((0, vec![])));
    assert_eq!(name(extensions(&Hello::default())), None);
}

/// T27: of two under one name each client is shown the one that it can verify, by both versions.
#[test]
fn by_what_can_be_verified() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let rsa = stage.ca.leaf(&[NAME], Kind::Rsa);
    rsa.certbot(&stage.live("rsa"));
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let shown = |schemes: &[u16]| {
        let mut peer = connect(front.address(0));
        peer.send(Hello::default().asking(NAME).schemes(schemes).record());
        Answer::read(&mut peer).leaf().to_vec()
    };
    const ECDSA_SHA256: u16 = 0x0403;
    const RSA_PSS_SHA256: u16 = 0x0804;
    const RSA_PKCS1_SHA256: u16 = 0x0401;
    for (schemes, leaf) in [
        (&[RSA_PSS_SHA256, RSA_PKCS1_SHA256][..], &rsa),
        (&[RSA_PKCS1_SHA256], &rsa),
        (&[ECDSA_SHA256], &stage.leaf),
        (&[ECDSA_SHA256, RSA_PSS_SHA256], &stage.leaf),
    ] {
        assert_eq!(shown(schemes), der(&leaf.cert)[..], "{schemes:04x?}");
    }
    for version in VERSIONS {
        let peer = Client::speaking(&stage.ca, &[version]).enter(front.address(0));
        assert_eq!(peer.leaf(), der(&stage.leaf.cert), "the smaller one, where both are good");
    }
}

/// T21: leaf, then intermediate, without the root: also from files of their own in any order, also where
/// the root lies beside them.
#[test]
fn with_its_whole_chain_in_order() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let (leaf, root) = (&stage.leaf, stage.ca.root_pem());
    let layouts: [&[(&str, String)]; 5] = [
        &[
            ("cert.pem", leaf.cert.clone()),
            ("key.pem", leaf.key.clone()),
            ("ca.pem", leaf.chain.clone()),
        ],
        &[("a.crt", leaf.chain.clone()), ("b.crt", leaf.cert.clone()), ("c.key", leaf.key.clone())],
        &[("all.pem", format!("{root}{}{}{}", leaf.chain, leaf.key, leaf.cert))],
        &[
            ("all.pem", format!("{}{}{}{root}", leaf.key, leaf.cert, leaf.chain)),
            ("more.pem", leaf.chain.clone()),
        ],
        &[
            ("x.pem", root.clone()),
            ("y.pem", leaf.chain.repeat(2)),
            ("z.pem", format!("{}{}", leaf.cert, leaf.key)),
        ],
    ];
    let wanted: Vec<CertificateDer<'_>> = vec![der(&leaf.cert), der(&leaf.chain)];
    for (n, layout) in layouts.iter().enumerate() {
        std::fs::remove_dir_all(stage.folder.path().join("live")).unwrap();
        for (name, content) in *layout {
            stage.folder.write(&format!("live/x/{name}"), content);
        }
        let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
        let peer = stage.client().enter(front.address(0));
        assert_eq!(peer.0.conn.peer_certificates().unwrap(), wanted, "layout {n}");
    }
}
