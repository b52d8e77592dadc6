//! `vestibule csr`: the request says what was asked, and no key is ever written over.

use std::fs;

use crate::common::{
    commands::{mode, names, openssl, shell, vestibule},
    folder::Folder,
};

const REQUEST: [&str; 9] = [
    "req",
    "-in",
    "m.csr",
    "-noout",
    "-verify",
    "-text",
    "-nameopt",
    "utf8,sep_comma_plus",
    "-subject",
];

#[test]
fn it_holds_names_and_subject() {
    let folder = Folder::new();
    let here = folder.path();
    let arguments = [
        "csr",
        "--name",
        "mail.example.org",
        "--name",
        "*.example.org",
        "--name",
        "192.0.2.7",
        "--org",
        "Bücher & Söhne",
        "--unit",
        "Mail",
        "--city",
        "Köln",
        "--state",
        "NRW",
        "--country",
        "de",
        "--email",
        "you@example.org",
        "--key",
        "rsa3072",
        "--out",
        "m",
    ];
    let said = vestibule(here, &arguments).with(0);
    assert!(said.contains("vestibule import --key m.key --cert"), "{said}");
    assert_eq!(names(here), ["m.csr", "m.key"]);
    assert_eq!(mode(&here.join("m.key")), 0o600);
    let text = openssl(here, &REQUEST);
    for wanted in [
        "verify OK",
        "subject=C=DE,ST=NRW,L=Köln,O=Bücher & Söhne,OU=Mail,CN=mail.example.org,emailAddress=you@example.org",
        "DNS:mail.example.org, DNS:*.example.org, IP Address:192.0.2.7",
        "Public-Key: (3072 bit)",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    shell(here, "diff <(openssl pkey -in m.key -pubout) <(openssl req -in m.csr -noout -pubkey)");
}

#[test]
fn a_key_that_is_there_is_used_only_on_demand_and_never_written_over() {
    let folder = Folder::new();
    let here = folder.path();
    vestibule(here, &["csr", "--name", "a.example.org", "--out", "m"]).with(0);
    let key = fs::read_to_string(here.join("m.key")).unwrap();
    fs::remove_file(here.join("m.csr")).unwrap();
    let said = vestibule(here, &["csr", "--name", "a.example.org", "--out", "m"]).failed();
    assert!(said.contains("m.key: it is there already") && said.contains("--use-key"), "{said}");
    assert_eq!(names(here), ["m.key"], "not even the request is written");

    vestibule(here, &["csr", "--name", "b.example.org", "--use-key", "m.key", "--out", "m"])
        .with(0);
    assert_eq!(fs::read_to_string(here.join("m.key")).unwrap(), key);
    shell(here, "diff <(openssl pkey -in m.key -pubout) <(openssl req -in m.csr -noout -pubkey)");
    let said =
        vestibule(here, &["csr", "--name", "b.example.org", "--use-key", "m.key", "--out", "m"]);
    let said = said.failed();
    assert!(said.contains("m.csr: it is there already"), "{said}");

    let arguments = ["csr", "--name", "d.example.org", "--out", "d", "--json"];
    let said: serde_json::Value =
        serde_json::from_str(&vestibule(here, &arguments).with(0)).unwrap();
    assert_eq!((&said["request"], &said["key"]), (&"d.csr".into(), &"d.key".into()));

    // Keys of others, in their forms.
    openssl(here, &["genrsa", "-traditional", "-out", "rsa.key", "2048"]);
    openssl(here, &["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "ec.key"]);
    for kind in ["rsa", "ec"] {
        let key = format!("{kind}.key");
        vestibule(here, &["csr", "--name", "c.example.org", "--use-key", &key, "--out", kind])
            .with(0);
        openssl(here, &["req", "-in", &format!("{kind}.csr"), "-noout", "-verify"]);
        let same = format!(
            "diff <(openssl pkey -in {key} -pubout) <(openssl req -in {kind}.csr -noout -pubkey)"
        );
        shell(here, &same);
    }
}

#[test]
fn what_makes_no_sense_makes_no_request() {
    let folder = Folder::new();
    let here = folder.path();
    openssl(
        here,
        &["genpkey", "-algorithm", "RSA", "-aes128", "-pass", "pass:x", "-out", "locked.key"],
    );
    openssl(here, &["ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "odd.key"]);
    folder.write("text.key", "hello");
    folder.write("empty.key", "");
    let before = names(here);
    let long = "x".repeat(65);
    for (arguments, why) in [
        (&["--name", "münchen.example"][..], "xn--"),
        (&["--name", "*.*.example.org"], "wildcard"),
        (&["--name", "a.example", "--country", "Germany"], "two letters"),
        (&["--name", "a.example", "--country", "D1"], "two letters"),
        (&["--name", "a.example", "--org", ""], "org: it is empty"),
        (&["--name", "a.example", "--org", &long], "longer than 64"),
        (&["--name", "a.example", "--unit", "a\nb"], "control character"),
        (&["--name", "a.example", "--email", "you"], "is not an address"),
        (&["--name", "a.example", "--email", "ü@example.org"], "is not an address"),
        (&["--name", "a.example", "--key", "rsa1024"], "rsa2048"),
        (&["--name", "a.example", "--use-key", "locked.key"], "openssl pkey -in locked.key"),
        (&["--name", "a.example", "--use-key", "odd.key"], "cannot be used"),
        (&["--name", "a.example", "--use-key", "text.key"], "no PEM block"),
        (&["--name", "a.example", "--use-key", "empty.key"], "it is empty"),
        (&["--name", "a.example", "--use-key", "none.key"], "cannot be read"),
        (&["--name", "a.example", "--use-key", "odd.key", "--key", "ecdsa"], "cannot be used with"),
        (&[], "--name"),
    ] {
        let said = vestibule(here, &[&["csr", "--out", "m"], arguments].concat()).failed();
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    assert_eq!(names(here), before);
}
