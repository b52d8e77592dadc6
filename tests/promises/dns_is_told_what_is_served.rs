//! `vestibule dns`: the records that it writes are those of the certificates that clients get, and
//! records that are published are held against these.

use std::fs;

use rcgen::DnType;
use serde_json::Value;

use crate::common::{
    ca::{Ca, Kind},
    commands::{Said, openssl, shell, vestibule},
    folder::Folder,
};

/// A front for mail.example.org, with two kinds of key, and for the hosts of example.net.
struct Zone {
    ca: Ca,
    folder: Folder,
}

const LISTENERS: &str = "listeners:
  - { bind: ['0.0.0.0:25', '[::]:25'] }
  - { bind: '0.0.0.0:465' }
  - { bind: '0.0.0.0:993' }
  - { bind: '0.0.0.0:110', tls: none }
  - { bind: '0.0.0.0:4190' }
  - { bind: '0.0.0.0:443' }
";

impl Zone {
    fn new() -> Self {
        let zone = Self { ca: Ca::new("Test"), folder: Folder::new() };
        for (name, kind) in [("ecdsa", Kind::Ecdsa), ("rsa", Kind::Rsa)] {
            let leaf = zone.ca.leaf(&["mail.example.org"], kind);
            zone.folder.write(&format!("live/{name}/all.pem"), leaf.fullchain() + &leaf.key);
        }
        zone.config(LISTENERS);
        zone
    }

    fn config(&self, more: &str) {
        let live = self.folder.path().join("live");
        let text = format!(
            "hostname: mail.example.org\ncertificates: [{}]\nbackend: 10.0.0.5\n{more}",
            live.display()
        );
        self.folder.write("c.yaml", text);
    }

    fn dns(&self, more: &[&str]) -> Said {
        vestibule(self.folder.path(), &[&["dns", "--config", "c.yaml"], more].concat())
    }

    fn check(&self, zone: &str) -> Said {
        self.folder.write("zone", zone);
        self.dns(&["--check-tlsa", "zone"])
    }

    /// A digest of a certificate's key, as openssl computes it.
    fn key_digest(&self, file: &str, hash: &str) -> String {
        let line = format!(
            "openssl x509 -in {file} -noout -pubkey | openssl pkey -pubin -outform DER | {hash}sum | cut -d' ' -f1"
        );
        shell(self.folder.path(), &line).trim().to_owned()
    }

    /// A digest of the certificate at this place in a file.
    fn digest(&self, pem: &str, hash: &str) -> String {
        self.folder.write("one.pem", pem);
        let line = format!("openssl x509 -in one.pem -outform DER | {hash}sum | cut -d' ' -f1");
        shell(self.folder.path(), &line).trim().to_owned()
    }
}

#[test]
fn each_key_has_its_record_on_each_port_with_tls() {
    let zone = Zone::new();
    let (ecdsa, rsa) = (
        zone.key_digest("live/ecdsa/all.pem", "sha256"),
        zone.key_digest("live/rsa/all.pem", "sha256"),
    );
    let said = zone.dns(&["--ttl", "3600"]).with(0);
    let records: Vec<&str> = said.lines().filter(|l| l.contains(" TLSA ")).collect();
    let owners = ["_25", "_465", "_993", "_4190"];
    assert_eq!(
        records.len(),
        2 * owners.len(),
        "no record of 110, which has no TLS, nor of 443: {said}"
    );
    for owner in owners {
        for digest in [&ecdsa, &rsa] {
            let wanted = format!("{owner}._tcp.mail.example.org. 3600 IN TLSA 3 1 1 {digest}");
            assert!(records.iter().any(|r| r.starts_with(&wanted)), "{wanted}: {said}");
        }
    }
    // The zone is held to agree with itself.
    let said = zone.check(&said).with(0);
    assert_eq!(said.matches("_tcp.mail.example.org. IN TLSA 3 1 1").count(), 8, "{said}");
    assert!(!said.contains("nothing"), "{said}");
}

#[test]
fn a_staged_key_has_its_records_too() {
    let zone = Zone::new();
    let here = zone.folder.path();
    openssl(
        here,
        &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "live/ecdsa/next.key"],
    );
    let digest =
        "openssl pkey -in live/ecdsa/next.key -pubout -outform DER | sha256sum | cut -d' ' -f1";
    let digest = shell(here, digest).trim().to_owned();
    let said = zone.dns(&[]).with(0);
    let next: Vec<&str> = said.lines().filter(|line| line.contains(&digest)).collect();
    assert_eq!(next.len(), 4, "{said}");
    assert!(
        next.iter().all(|line| line.contains("next key") && line.contains("live/ecdsa/next.key")),
        "{said}"
    );
    let said = zone.check(&said).with(0);
    assert!(said.contains("live/ecdsa/next.key (next)"), "{said}");

    // One of many in a folder is named after its certificate.
    fs::rename(here.join("live/ecdsa/next.key"), here.join("live/ecdsa/all.next.key")).unwrap();
    assert!(zone.dns(&[]).with(0).contains("live/ecdsa/all.next.key"));
    let leaf = zone.ca.leaf(&["other.example.org"], Kind::Ecdsa);
    zone.folder.write("live/ecdsa/other.pem", leaf.fullchain() + &leaf.key);
    assert_eq!(zone.dns(&[]).with(0).matches(&digest).count(), 4, "it is not the other's");
    fs::rename(here.join("live/ecdsa/all.next.key"), here.join("live/ecdsa/next.key")).unwrap();
    let said = zone.dns(&[]).with(1);
    assert!(
        said.contains("several certificates here: name it") && !said.contains(&digest),
        "{said}"
    );

    let two = Kind::Ecdsa.key().serialize_pem() + &Kind::Ecdsa.key().serialize_pem();
    zone.folder.write("live/ecdsa/next.key", two);
    let said = zone.dns(&[]).with(1);
    assert!(said.contains("next.key: V005: the next key is wanted, and it holds 2 keys"), "{said}");
    zone.folder.write("live/ecdsa/next.key", "no key");
    let said = zone.dns(&[]).with(1);
    assert_eq!(said.matches("next.key: V006").count(), 1, "{said}");
}

#[test]
fn mail_programs_find_what_is_there_and_nothing_is_made_up() {
    let zone = Zone::new();
    let said = zone.dns(&[]).with(0);
    for wanted in [
        "\n_submissions._tcp.example.org. IN SRV 0 1 465 mail.example.org.\n",
        "\n_imaps._tcp.example.org. IN SRV 0 1 993 mail.example.org.\n",
        "\n_sieve._tcp.example.org. IN SRV 10 1 4190 mail.example.org.\n",
        "\n; _imap._tcp.example.org. IN SRV 0 0 0 .",
        "\n; _pop3._tcp.example.org. IN SRV 0 0 0 .",
        "\n; _submission._tcp.example.org. IN SRV 0 0 0 .",
        "\n; that mail goes to addresses in this domain is guessed",
        "\n_mta-sts.example.org. IN TXT \"v=STSv1; id=",
        "no certificate here covers mta-sts.example.org",
        "\n; _smtp._tls.example.org. IN TXT \"v=TLSRPTv1; rua=mailto:ADDRESS\"",
        // A private authority has no name that CAA knows.
        "\n; mail.example.org. IN CAA 0 issue \"AUTHORITY\"  ; CN=Test CA 1 says",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert_eq!(said, zone.dns(&[]).with(0), "the same is said twice in the same words");

    // Who says the domains is not guessed about.
    let said = zone.dns(&["--domain", "example.com", "--domain", "Example.NET"]).with(0);
    assert!(
        said.contains("\n_imaps._tcp.example.com. IN SRV 0 1 993 mail.example.org.\n"),
        "{said}"
    );
    assert!(
        said.contains("\n_imaps._tcp.example.net. IN SRV 0 1 993 mail.example.org.\n"),
        "{said}"
    );
    assert!(!said.contains("_imaps._tcp.example.org") && !said.contains("guessed"), "{said}");
    assert!(said.contains("\n_25._tcp.mail.example.org. IN TLSA"), "{said}");

    // Of several hosts we do not know which.
    let leaf = zone.ca.leaf(&["a.example.net", "b.example.net", "*.example.com"], Kind::Ecdsa);
    zone.folder.write("live/net/all.pem", leaf.fullchain() + &leaf.key);
    let said = zone.dns(&[]).with(0);
    assert!(said.contains("\n; _imaps._tcp.example.net. IN SRV 0 1 993 HOST.\n"), "{said}");
    assert!(said.contains("which of a.example.net, b.example.net"), "{said}");
    assert!(said.contains("\n; _25._tcp.HOST.example.com. IN TLSA 3 1 1"), "{said}");
    assert!(!said.contains("_imaps._tcp.example.com"), "{said}");
}

#[test]
fn known_authorities_are_named_in_caa() {
    let zone = Zone::new();
    let known = Ca::new("x");
    // Their organization is what counts, so one is made up for the test.
    let issuer = |organization: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.distinguished_name.push(DnType::CommonName, "E5");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        rcgen::CertifiedIssuer::signed_by(params, Kind::Ecdsa.key(), &known.root).unwrap()
    };
    let serve = |folder: &str, name: &str, organization: &str, kind: Kind| {
        let (issuer, key) = (issuer(organization), kind.key());
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &issuer).unwrap().pem();
        zone.folder
            .write(&format!("live/{folder}/all.pem"), cert + &issuer.pem() + &key.serialize_pem());
    };
    serve("a", "a.example.net", "Let's Encrypt", Kind::Ecdsa);
    serve("b", "b.example.net", "(STAGING) Let's Encrypt", Kind::Ecdsa);
    serve("c", "c.example.net", "Let's Encrypt", Kind::Ecdsa);
    serve("d", "c.example.net", "Sectigo Limited", Kind::Rsa);
    serve("e", "e.example.net", "Let's Encrypt", Kind::Ecdsa);
    serve("f", "e.example.net", "Somebody", Kind::Rsa);
    serve("g", "*.example.com", "Let's Encrypt", Kind::Ecdsa);
    let said = zone.dns(&[]).with(0);
    for wanted in [
        "\na.example.net. IN CAA 0 issue \"letsencrypt.org\"\n",
        "\n; b.example.net. IN CAA 0 issue \"AUTHORITY\"",
        "\nc.example.net. IN CAA 0 issue \"letsencrypt.org\"\n",
        "\nc.example.net. IN CAA 0 issue \"sectigo.com\"\n",
        // One record would keep the other authority out.
        "\n; e.example.net. IN CAA 0 issue \"letsencrypt.org\"\n",
        "\n; e.example.net. IN CAA 0 issue \"AUTHORITY\"",
        "\n; example.com. IN CAA 0 issuewild \"letsencrypt.org\"  ; for *.example.com\n",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn published_records_are_held_against_what_is_served() {
    let zone = Zone::new();
    let pem = |file: &str| fs::read_to_string(zone.folder.path().join(file)).unwrap();
    let leaf_digest = |file: &str, hash| zone.digest(&pem(file), hash);
    let (ecdsa, rsa) = ("live/ecdsa/all.pem", "live/rsa/all.pem");
    let keys = [zone.key_digest(ecdsa, "sha256"), zone.key_digest(rsa, "sha512")];
    let ca = zone.digest(&zone.ca.intermediate.pem(), "sha256");
    let root = zone.digest(&zone.ca.root_pem(), "sha256");
    let nobody = "ab".repeat(32);
    let fine = [
        // Split digits, parentheses, comments, an origin, an owner that is left out, capitals.
        format!(
            "$ORIGIN example.org.\n$TTL 1h\n@ IN SOA ns hostmaster ( 1 2 ; serial\n 3 4 5 )\n_25._TCP.Mail 3600 IN TLSA ( 3 1 1 {} ; first\n  {} )\n    IN 1h TLSA 3 1 2 {}\n",
            keys[0][..20].to_uppercase(),
            &keys[0][20..],
            keys[1],
        ),
        format!("_25._tcp.mail.example.org. TLSA 2 0 1 {ca}\n"),
        format!(
            "_25._tcp.mail.example.org. TLSA 3 0 2 {}\n_25._tcp.mail.example.org. TLSA 3 0 1 {}",
            leaf_digest(ecdsa, "sha512"),
            leaf_digest(rsa, "sha256")
        ),
        format!("_25._tcp.mail.example.org. TYPE52 \\# 35 020001{ca}\n"),
        format!(
            "_25._tcp.mail.example.org. CNAME dane.example.org.\ndane.example.org. TLSA 2 0 1 {ca}\n"
        ),
        format!(
            "_993._tcp.mail.example.org. TLSA 1 1 1 {}\n_993._tcp.mail.example.org. TLSA 1 1 2 {}\n",
            keys[0], keys[1]
        ),
    ];
    for text in &fine {
        let said = zone.check(text).with(0);
        assert!(said.contains("all.pem") && !said.contains("nothing"), "{text}: {said}");
    }
    for (code, why, text) in [
        (
            2,
            "V023: none of the TLSA records",
            format!("_25._tcp.mail.example.org. IN TLSA 3 1 1 {nobody}"),
        ),
        // Half of the clients would turn away.
        (
            2,
            "live/rsa/all.pem: V023",
            format!("_25._tcp.mail.example.org. IN TLSA 3 1 1 {}", keys[0]),
        ),
        // The root is not sent.
        (2, "V023", format!("_25._tcp.mail.example.org. IN TLSA 2 0 1 {root}")),
        (
            1,
            "line 2: it agrees with nothing",
            format!(
                "_25._tcp.mail.example.org. IN TLSA 2 0 1 {ca}\n_25._tcp.mail.example.org. IN TLSA 3 1 1 {nobody}"
            ),
        ),
        (
            1,
            "line 1: usage 1 cannot be used for SMTP",
            format!("_25._tcp.mail.example.org. IN TLSA 1 1 1 {}", keys[0]),
        ),
        (
            1,
            "no certificate here covers other.example.org",
            format!("_25._tcp.other.example.org. IN TLSA 2 0 1 {ca}"),
        ),
        (
            1,
            "no mail is spoken with TLS on port 143",
            format!("_143._tcp.mail.example.org. IN TLSA 2 0 1 {ca}"),
        ),
        (1, "it holds no TLSA record", "mail.example.org. IN A 192.0.2.7".to_owned()),
        (
            2,
            "line 1: the digest is 31 octets",
            format!("_25._tcp.mail.example.org. IN TLSA 3 1 1 {}", &ca[2..]),
        ),
        (
            2,
            "line 1: a parenthesis is not closed",
            format!("_25._tcp.mail.example.org. IN TLSA ( 3 1 1 {ca}"),
        ),
    ] {
        let said = zone.check(&text).with(code);
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn scripts_get_json_and_mistakes_get_words() {
    let zone = Zone::new();
    let said: Value = serde_json::from_str(&zone.dns(&["--json"]).with(0)).unwrap();
    let domain = &said["domains"][0];
    assert_eq!((&domain["domain"], &domain["guessed"]), (&"example.org".into(), &true.into()));
    let tlsa = domain["lines"].as_array().unwrap().iter().filter(|l| l["type"] == "TLSA");
    let tlsa: Vec<&Value> = tlsa.collect();
    assert_eq!(tlsa.len(), 8);
    assert_eq!(
        (&tlsa[0]["line"], &tlsa[0]["owner"]),
        (&"record".into(), &"_25._tcp.mail.example.org.".into())
    );

    for (arguments, why) in [
        (&["--check-tlsa", "none"][..], "none: it cannot be read"),
        (&["--check-tlsa", "."], "it is not a file"),
        (&["--domain", "*.example.org"], "a domain is wanted"),
        (&["--domain", "192.0.2.7"], "a domain is wanted"),
        (&["--domain", "a b"], "letters, digits"),
        (&["--ttl", "soon"], "invalid"),
        (&["--ttl", "5", "--check-tlsa", "zone"], "cannot be used with"),
    ] {
        let said = zone.dns(arguments).failed();
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    let said = vestibule(zone.folder.path(), &["dns", "--config", "none.yaml"]).failed();
    assert!(said.contains("none.yaml"), "{said}");
    // A certificate that cannot be read has no records, and that is said.
    zone.folder.write("live/broken/m.pem", "");
    let said = zone.dns(&[]).with(2);
    assert!(said.contains("; error: ") && said.contains("live/broken/m.pem"), "{said}");
}
