//! Which certificate a client gets.

use super::*;

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
        let leaf = ca.leaf(names, ecdsa());
        folder.write(&format!("{n}/all.pem"), format!("{}{}", leaf.cert, leaf.key));
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
        let leaf = ca.leaf(&[name], ecdsa());
        folder.write(&format!("{name}/all.pem"), format!("{}{}", leaf.cert, leaf.key));
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
    let rsa = ca.leaf(&["m.example"], rsa());
    let ec = ca.leaf(&["m.example"], ecdsa());
    folder.write("rsa.pem", format!("{}{}", rsa.cert, rsa.key));
    folder.write("ec.pem", format!("{}{}", ec.cert, ec.key));
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

/// Next year's certificate may lie there already, and last year's still.
#[test]
fn of_two_for_one_name_the_one_that_is_valid_longest_is_served_and_said() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let serve = |name: &str, from: i32, to: i32| {
        let Leaf { cert, key } = ca.issue(&Entity::leaf(&["m.example"]).valid(from, to));
        folder.write(name, format!("{cert}{key}"));
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

/// What an installation has made for itself lasts for ten years, and no client trusts it.
#[test]
fn a_self_signed_one_gives_way_to_one_that_was_issued() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let own = Entity::leaf(&["m.example"]).valid(2020, 3000);
    folder.write("a.pem", format!("{}{}", own.by_itself(), own.key()));
    let Leaf { cert, key } = ca.issue(&Entity::leaf(&["m.example"]).valid(2020, 2990));
    folder.write("b.pem", format!("{cert}{key}"));
    let served = chosen(&set(&folder.load(None)), Some("m.example"), ANYWHERE).0;
    assert_eq!(chain(&served)[0], ders(&[&cert])[0]);
}

/// What the configuration names must be there.
#[test]
fn a_wish_that_no_certificate_covers_is_named() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let leaf = ca.leaf(&["m.example"], ecdsa());
    folder.write("all.pem", format!("{}{}", leaf.cert, leaf.key));
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

/// Clients do not ask for addresses; the configuration can.
#[test]
fn a_certificate_for_an_address_is_bound_to_it() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (a, v4, v6) = (
        ca.leaf(&["a.example"], ecdsa()),
        ca.leaf(&["192.0.2.7"], ecdsa()),
        ca.leaf(&["2001:db8::7"], rsa()),
    );
    folder.write("a.pem", format!("{}{}", a.cert, a.key));
    folder.write("v4.pem", format!("{}{}", v4.cert, v4.key));
    folder.write("v6.pem", format!("{}{}", v6.cert, v6.key));
    let by_address = ["192.0.2.7", "2001:db8::7"];
    let wishes = Wishes {
        by_address: by_address.map(|ip| (ip.parse().unwrap(), ip.to_uppercase())).into(),
        ..Wishes::default()
    };
    let (set, findings) = CertificateSet::new(&folder.load(None), &wishes);
    assert_eq!(said(&findings), Vec::<String>::new());
    for (address, leaf) in by_address.iter().zip([&v4, &v6]) {
        let (certificate, reason) = chosen(&set, None, address);
        assert_eq!(
            (chain(&certificate).remove(0), reason),
            (ders(&[&leaf.cert]).remove(0), Reason::Address)
        );
    }
    assert_eq!(chosen(&set, Some("a.example"), "192.0.2.7").1, Reason::Name);
}
