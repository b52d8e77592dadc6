//! `vestibule self-signed`: what it makes is what clients want of a server, and renewing it changes
//! nothing that they hold on to.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::common::{
    ca::{Ca, Kind},
    commands::{mode, names, openssl, shell, vestibule},
    folder::Folder,
    tls::NAME,
};

fn text(folder: &Path, file: &str) -> String {
    openssl(folder, &["x509", "-in", file, "-noout", "-text"])
}

/// Key and certificate belong together, and the certificate verifies for its names.
fn verify(folder: &Path, file: &str, name: &str) {
    openssl(
        folder,
        &[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            name,
            "-CAfile",
            file,
            file,
        ],
    );
    let public = shell(
        folder,
        &format!(
            "diff <(openssl pkey -in {file} -pubout) <(openssl x509 -in {file} -noout -pubkey)"
        ),
    );
    assert_eq!(public, "", "the key is the certificate's");
}

#[test]
fn it_covers_its_names_and_is_ours_alone() {
    let folder = Folder::new();
    let here = folder.path();
    let arguments = [
        "self-signed",
        "--name",
        "Mail.Example.ORG",
        "--name",
        "*.example.net",
        "--name",
        "192.0.2.7",
        "--name",
        "2001:db8::7",
        "--days",
        "90",
        "--out",
        "a.pem",
    ];
    let said = vestibule(here, &arguments).with(0);
    assert!(said.contains("a.pem: self-signed for mail.example.org, *.example.net"), "{said}");
    assert_eq!(mode(&here.join("a.pem")), 0o600);
    assert_eq!(names(here), ["a.pem"], "nothing is left over");

    let text = text(here, "a.pem");
    for wanted in [
        "Version: 3",
        "Issuer: CN = mail.example.org\n",
        "Subject: CN = mail.example.org\n",
        "DNS:mail.example.org, DNS:*.example.net, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7",
        "TLS Web Server Authentication",
        "CA:FALSE",
        "prime256v1",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // RFC 5280 §4.1.2.2: positive, of at most 20 octets.
    let serial = openssl(here, &["x509", "-in", "a.pem", "-noout", "-serial"]);
    let serial = serial.trim().trim_start_matches("serial=").to_owned();
    assert!(serial.len() == 32 && ("40"..="7F").contains(&&serial[..2]), "{serial}");
    // Valid now, and for no longer than was asked.
    let ends = |days: u32| {
        let seconds = (days * 86_400).to_string();
        let mut command = std::process::Command::new("openssl");
        command.args(["x509", "-in", "a.pem", "-noout", "-checkend", &seconds]);
        !command.current_dir(here).output().expect("openssl runs").status.success()
    };
    assert!((ends(90), ends(89)) == (true, false), "it is valid for 90 days");
    verify(here, "a.pem", "mail.example.org");
    verify(here, "a.pem", "any.example.net");

    vestibule(here, &["self-signed", "--name", "mail.example.org", "--out", "b.pem"]).with(0);
    let said = vestibule(here, &["self-signed", "--refresh", "b.pem", "--json"]).with(0);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["file"], &said["renewed"]), (&"b.pem".into(), &true.into()));
    let other = openssl(here, &["x509", "-in", "b.pem", "-noout", "-serial"]);
    assert!(!other.contains(&serial), "serial numbers are random");
}

#[test]
fn every_kind_of_key_can_be_had_and_renewed() {
    let folder = Folder::new();
    let here = folder.path();
    for (kind, shown) in [
        ("ecdsa", "NIST CURVE: P-256"),
        ("ecdsa384", "NIST CURVE: P-384"),
        ("rsa2048", "Public-Key: (2048 bit)"),
        ("rsa3072", "Public-Key: (3072 bit)"),
        ("ed25519", "ED25519 Public-Key"),
    ] {
        let file = format!("{kind}.pem");
        vestibule(here, &["self-signed", "--name", NAME, "--key", kind, "--out", &file]).with(0);
        assert!(text(here, &file).contains(shown), "{kind}");
        verify(here, &file, NAME);
        vestibule(here, &["self-signed", "--refresh", &file]).with(0);
        verify(here, &file, NAME);
    }
}

/// A common name holds 64 letters; a name may have more.
#[test]
fn a_long_name_is_in_the_alternative_names_alone() {
    let folder = Folder::new();
    let long = format!("{}.{}.example.org", "a".repeat(40), "b".repeat(40));
    let make = |names: &[&str], file: &str| {
        let mut arguments = vec!["self-signed", "--out", file];
        names.iter().for_each(|name| arguments.extend(["--name", name]));
        vestibule(folder.path(), &arguments).with(0);
        text(folder.path(), file)
    };
    let alone = make(&[&long], "a.pem");
    assert!(
        alone.contains(&format!("DNS:{long}")) && alone.contains("Subject: CN = self-signed\n")
    );
    verify(folder.path(), "a.pem", &long);
    let second = make(&[&long, "mail.example.org"], "b.pem");
    assert!(second.contains("Subject: CN = mail.example.org\n"), "{second}");
}

#[test]
fn renewing_keeps_all_but_the_dates() {
    let folder = Folder::new();
    let here = folder.path();
    // Not ours: with a subject, extensions and a key of its own form.
    let made = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "2",
        "-set_serial",
        "0x8001",
        "-subj",
        "/C=DE/O=Example/OU=A+OU=B/CN=old.example.org",
        "-addext",
        "subjectAltName=DNS:old.example.org,DNS:*.example.net,IP:192.0.2.7,email:you@example.org",
        "-addext",
        "nsComment=kept",
        "-sha384",
    ];
    openssl(here, &made);
    openssl(here, &["rsa", "-in", "key.pem", "-traditional", "-out", "old.key"]);
    let both = ["cert.pem", "old.key"].map(|f| fs::read_to_string(here.join(f)).unwrap()).concat();
    let file = folder.write("both.pem", both);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("both.pem", here.join("link.pem")).unwrap();
    let before = text(here, "both.pem");

    let said = vestibule(here, &["self-signed", "--refresh", "link.pem", "--days", "30"]).with(0);
    assert!(said.contains("renewed for 30 days"), "{said}");
    assert_eq!(mode(&file), 0o640, "its readers can read it on");
    assert!(fs::symlink_metadata(here.join("link.pem")).unwrap().is_symlink());
    openssl(here, &["verify", "-CAfile", "both.pem", "both.pem"]);
    openssl(here, &["x509", "-in", "both.pem", "-noout", "-checkend", "2505600"]);
    shell(here, "diff <(openssl pkey -in key.pem) <(openssl pkey -in both.pem)");

    // Line by line: what differs is dates and signature.
    let after = text(here, "both.pem");
    let (mut is_signature, mut differ) = (false, Vec::new());
    for (old, new) in before.lines().zip(after.lines()) {
        is_signature |= old.trim() == "Signature Value:";
        if old != new && !is_signature {
            differ.push(old.split(':').next().unwrap().trim().to_owned());
        }
    }
    differ.dedup();
    assert_eq!(
        differ,
        ["Signature Algorithm", "Not Before", "Not After", "Signature Algorithm"],
        "{after}"
    );
    assert!(after.contains("0x8001") && after.contains("kept"), "{after}");
}

#[test]
fn what_an_authority_issued_is_not_renewed_here() {
    let folder = Folder::new();
    let (ca, here) = (Ca::new("Test"), folder.path());
    let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
    let own = ["a", "b"].map(|name| {
        let file = format!("{name}.pem");
        vestibule(here, &["self-signed", "--name", NAME, "--out", &file]).with(0);
        fs::read_to_string(here.join(file)).unwrap()
    });
    let split = own.each_ref().map(|pem| pem.split_at(pem.find("-----BEGIN CERT").unwrap()));
    for (why, content) in [
        ("issued by CN=Test CA 1", format!("{}{}", leaf.cert, leaf.key)),
        ("does not match", format!("{}{}", split[0].0, split[1].1)),
        ("there is 1 certificate and 0 keys", split[0].1.to_owned()),
        ("there are 2 certificates and 1 key", format!("{}{}", own[0], split[1].1)),
        ("there are 0 certificates and 1 key", split[0].0.to_owned()),
        ("no PEM block", "hello".to_owned()),
        ("it is empty", String::new()),
    ] {
        let file = folder.write("c.pem", &content);
        let said = vestibule(here, &["self-signed", "--refresh", "c.pem"]).failed();
        assert!(said.contains("c.pem: ") && said.contains(why), "{why}: {said}");
        assert_eq!(fs::read_to_string(file).unwrap(), content, "it is as it was");
    }
    let said = vestibule(here, &["self-signed", "--refresh", "none.pem"]).failed();
    assert!(said.contains("none.pem") && said.contains("cannot be read"), "{said}");
}

#[test]
fn what_makes_no_sense_makes_no_file() {
    let folder = Folder::new();
    let here = folder.path();
    folder.write("there.pem", "precious");
    for (arguments, why) in [
        (&["--name", "bücher.example", "--out", "a.pem"][..], "xn--"),
        (&["--name", "*", "--out", "a.pem"], "wildcard"),
        (&["--name", "a_b.example", "--out", "a.pem"], "letters, digits"),
        (&["--name", NAME, "--out", "a.pem", "--key", "dsa"], "ecdsa, ecdsa384"),
        (&["--name", NAME, "--out", "a.pem", "--days", "0"], "out of range"),
        (&["--name", NAME, "--out", "a.pem", "--days", "40000"], "out of range"),
        (&["--name", NAME, "--out", "a.pem", "--days", "many"], "invalid"),
        (&["--name", NAME], "--out"),
        (&["--out", "a.pem"], "--name"),
        (&["--refresh", "there.pem", "--name", NAME], "cannot be used with"),
        (&["--name", NAME, "--out", "none/a.pem"], "No such file"),
        (&["--name", NAME, "--out", "there.pem"], "it is there already"),
    ] {
        let said = vestibule(here, &[&["self-signed"], arguments].concat()).failed();
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    assert_eq!(names(here), ["there.pem"]);
    assert_eq!(fs::read_to_string(here.join("there.pem")).unwrap(), "precious");
}
