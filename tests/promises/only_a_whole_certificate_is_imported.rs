//! `vestibule import`: what comes into the store can be served, and takes no other's place.

use std::fs;

use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use serde_json::Value;

use crate::common::{
    ca::{Ca, Kind, Leaf},
    commands::{Said, mode, names, openssl, vestibule},
    folder::Folder,
    tls::NAME,
};

/// An authority, a folder to import from, and a store in it.
struct Desk {
    ca: Ca,
    folder: Folder,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { ca: Ca::new("Test"), folder: Folder::new() };
        fs::create_dir(desk.folder.path().join("store")).unwrap();
        desk.ca.write_root(desk.folder.path());
        desk
    }

    fn lay(&self, leaf: &Leaf) {
        self.folder.write("m.key", &leaf.key);
        self.folder.write("m.crt", &leaf.cert);
        self.folder.write("ca.crt", &leaf.chain);
    }

    fn import(&self, more: &[&str]) -> Said {
        let arguments = ["import", "--key", "m.key", "--cert", "m.crt", "--into", "store"];
        vestibule(self.folder.path(), &[&arguments, more].concat())
    }

    fn stored(&self) -> Vec<String> {
        names(&self.folder.path().join("store"))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("store").join(name)).unwrap()
    }
}

#[test]
fn key_leaf_and_intermediates_become_one_file() {
    let desk = Desk::new();
    let leaf = desk.ca.leaf(&["*.example.org", "example.org"], Kind::Rsa);
    // The chain comes with the root, in disorder, twice, and with the line ends of another system.
    desk.lay(&leaf);
    let chain = format!("{}{}{}", desk.ca.root_pem(), leaf.chain, leaf.cert).replace('\n', "\r\n");
    desk.folder.write("ca.crt", chain);
    let said = desk.import(&["--chain", "ca.crt", "root.pem"]).with(0);
    assert!(said.contains("store/_wildcard.example.org.pem: written"), "{said}");
    assert!(said.contains("2 certificates are sent"), "{said}");
    assert_eq!(desk.stored(), ["_wildcard.example.org.pem"], "nothing is left over");
    let file = desk.folder.path().join("store/_wildcard.example.org.pem");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(desk.read("_wildcard.example.org.pem"), format!("{}{}", leaf.key, leaf.fullchain()));
    openssl(
        desk.folder.path(),
        &[
            "verify",
            "-CAfile",
            "root.pem",
            "-untrusted",
            file.to_str().unwrap(),
            file.to_str().unwrap(),
        ],
    );

    // The front serves it as it is.
    let config = format!(
        "hostname: mail.example.org\ncertificates: [{}]\nbackend: 10.0.0.5\n",
        desk.folder.path().join("store").display()
    );
    desk.folder.write("c.yaml", config);
    let said = vestibule(desk.folder.path(), &["check", "c.yaml"]).with(0);
    let is_private = |line: &&str| line.starts_with("note: ") && line.contains("V009");
    let said: Vec<&str> = said.lines().filter(|line| !is_private(line)).collect();
    assert_eq!(said, ["c.yaml: fine"]);
}

#[test]
fn the_configuration_says_where_the_store_is() {
    let desk = Desk::new();
    desk.lay(&desk.ca.leaf(&[NAME], Kind::Ecdsa));
    let config = |certificates: &str| {
        let here = desk.folder.path().display();
        let text = format!(
            "certificates: [{}]\nbackend: 10.0.0.5\n",
            certificates.replace("HERE", &here.to_string())
        );
        desk.folder.write("c.yaml", text);
        let arguments = [
            "import", "--key", "m.key", "--cert", "m.crt", "--chain", "ca.crt", "--config",
            "c.yaml", "--json",
        ];
        vestibule(desk.folder.path(), &arguments)
    };
    let said = config("HERE/m.crt, HERE/none").with(2);
    assert!(said.contains("c.yaml") && said.contains("--into"), "{said}");
    let said = config("relative").with(2);
    assert!(said.contains("certificates[0]"), "{said}");
    let said: Value = serde_json::from_str(&config("HERE/m.crt, HERE/store").with(0)).unwrap();
    let file = desk.folder.path().join("store").join(format!("{NAME}.pem"));
    assert_eq!(said["file"], file.to_str().unwrap());
    assert_eq!(
        (&said["names"][0], &said["chain"], &said["replaced"]),
        (&NAME.into(), &2.into(), &false.into())
    );
    assert!(file.exists());
}

/// What the front completes chains from completes them here as well.
#[test]
fn the_configuration_has_intermediates_too() {
    let desk = Desk::new();
    desk.lay(&desk.ca.leaf(&[NAME], Kind::Ecdsa));
    let here = desk.folder.path().display();
    let text =
        format!("certificates: [{here}/store]\nintermediates: [{here}/pool]\nbackend: 10.0.0.5\n");
    desk.folder.write("c.yaml", text);
    desk.folder.write("pool/broken.pem", "");
    let arguments = ["import", "--key", "m.key", "--cert", "m.crt", "--config", "c.yaml", "--json"];
    let import = |code| {
        let said = vestibule(desk.folder.path(), &arguments).with(code);
        serde_json::from_str::<Value>(&said).unwrap()
    };
    assert_eq!(import(2)["file"], Value::Null);
    fs::copy(desk.folder.path().join("ca.crt"), desk.folder.path().join("pool/ca.crt")).unwrap();
    let said = import(1);
    assert_eq!(said["chain"], 2, "{said}");
    assert!(said["file"].is_string() && said["findings"].to_string().contains("V006"), "{said}");
}

/// Nothing comes in that the front would refuse.
#[test]
fn the_configuration_says_what_is_refused() {
    let desk = Desk::new();
    desk.lay(&desk.ca.leaf(&[NAME], Kind::Ecdsa));
    let here = desk.folder.path().display();
    let config = |lint: &str| {
        let text = format!("certificates: [{here}/store]\nbackend: 10.0.0.5\nlint: {lint}\n");
        desk.folder.write("c.yaml", text);
    };
    config("{ V009: refuse }");
    for more in [&["--config", "c.yaml"][..], &["--config", "c.yaml", "--force"]] {
        let said = desk.import(&[&["--chain", "ca.crt"], more].concat()).with(2);
        assert!(
            said.contains("error: m.crt: V009") && said.contains("nothing was written"),
            "{said}"
        );
        assert_eq!(desk.stored(), Vec::<String>::new());
    }
    config("{ V007: refuse }");
    desk.import(&["--config", "c.yaml", "--force"]).with(2);
    config("{ V009: ignore }");
    let said = desk.import(&["--chain", "ca.crt", "--config", "c.yaml"]).with(0);
    assert!(!said.contains("V009"), "{said}");
}

/// What a killed import has left behind is gone after the next one; what is not ours, or may still be
/// needed, is not.
#[test]
fn what_a_killed_import_left_behind_is_removed() {
    let desk = Desk::new();
    desk.lay(&desk.ca.leaf(&[NAME], Kind::Ecdsa));
    let store = desk.folder.path().join("store");
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(24 * 60 * 60);
    for (name, is_old) in
        [(".vestibule-import-1-0", true), (".vestibule-import-2-0", false), (".other", true)]
    {
        desk.folder.write(&format!("store/{name}/key.pem"), "secret");
        if is_old {
            fs::File::open(store.join(name)).unwrap().set_modified(yesterday).unwrap();
        }
    }
    desk.import(&["--chain", "ca.crt"]).with(0);
    assert_eq!(desk.stored(), [".other", ".vestibule-import-2-0", &format!("{NAME}.pem")]);
}

#[test]
fn only_an_older_one_for_the_same_names_is_replaced() {
    let desk = Desk::new();
    let from = |year: i32, names: &[&str]| {
        let leaf = desk.ca.leaf_with(names, Kind::Ecdsa, |params| {
            params.not_before = date_time_ymd(year, 1, 1);
        });
        desk.lay(&leaf);
        leaf
    };
    let import = |more: &[&str]| desk.import(&[&["--chain", "ca.crt"], more].concat());
    let file = format!("{NAME}.pem");
    from(2020, &[NAME, "b.example.org"]);
    import(&[]).with(0);
    assert!(import(&[]).with(0).contains("replaced"), "the same once more is the same");

    let newer = from(2021, &["b.example.org", NAME]);
    let store = desk.folder.path().join("store");
    fs::rename(store.join(&file), store.join("b.example.org.pem")).unwrap();
    let said = import(&[]).with(0);
    assert!(said.contains("b.example.org.pem: replaced"), "{said}");
    assert!(desk.read("b.example.org.pem").contains(&newer.cert));

    for (year, names, why) in [
        (2020, &["b.example.org", NAME][..], "not older"),
        (2022, &["b.example.org"], "with a certificate for b.example.org, "),
    ] {
        let other = from(year, names);
        let said = import(&[]).failed();
        assert!(said.contains(why) && said.contains("--force"), "{said}");
        assert!(desk.read("b.example.org.pem").contains(&newer.cert), "it is as it was");
        import(&["--force"]).with(0);
        assert!(desk.read("b.example.org.pem").contains(&other.cert));
        desk.lay(&newer);
        import(&["--force"]).with(0);
    }
    desk.folder.write("store/b.example.org.pem", "precious");
    let said = import(&[]).failed();
    assert!(said.contains("no certificate can be read from it"), "{said}");
    assert_eq!(desk.read("b.example.org.pem"), "precious");
}

#[test]
fn what_cannot_be_served_stays_outside() {
    let desk = Desk::new();
    let good = desk.ca.leaf(&[NAME], Kind::Ecdsa);
    let other = desk.ca.leaf(&[NAME], Kind::Ecdsa);
    let stale =
        desk.ca.leaf_with(&[NAME], Kind::Ecdsa, |p| p.not_after = date_time_ymd(2020, 1, 1));
    let here = desk.folder.path();
    openssl(
        here,
        &["genpkey", "-algorithm", "RSA", "-aes128", "-pass", "pass:x", "-out", "locked"],
    );
    let locked = fs::read_to_string(here.join("locked")).unwrap();
    let two = good.key.clone() + &other.key;
    let stranger = Ca::new("Other").intermediate.pem();
    for (code, why, file, content) in [
        ("V001", "does not match", "m.key", other.key.as_bytes()),
        ("V002", "openssl pkey -in m.key", "m.key", locked.as_bytes()),
        ("V003", "m.key: V003: one key is wanted, and it holds 0", "m.key", good.cert.as_bytes()),
        ("V003", "it holds 2", "m.key", two.as_bytes()),
        ("V005", "m.crt: V005: a certificate is wanted", "m.crt", good.key.as_bytes()),
        ("V005", "cut short", "m.crt", &good.cert.as_bytes()[..good.cert.len() - 30]),
        ("V006", "m.crt: V006: it is empty", "m.crt", b""),
        ("V006", "openssl x509 -inform der", "m.crt", &[0x30, 0x82, 1, 1]),
        ("V006", "ca.crt: V006: it holds no PEM block", "ca.crt", b"hello"),
        ("V007", "Test CA 1", "ca.crt", stranger.as_bytes()),
    ] {
        desk.lay(&good);
        desk.folder.write(file, content);
        let said = desk.import(&["--chain", "ca.crt"]).with(2);
        assert!(said.contains(code) && said.contains(why), "{code} {why}: {said}");
        assert!(said.contains("error: ") && said.ends_with("nothing was written\n"), "{said}");
        assert_eq!(desk.stored(), Vec::<String>::new(), "{code}");
    }
    fs::remove_file(here.join("m.crt")).unwrap();
    assert!(desk.import(&[]).with(2).contains("m.crt: V004: it cannot be read"));
    desk.lay(&stale);
    assert!(desk.import(&["--chain", "ca.crt"]).with(2).contains("m.crt: V011: it has expired"));
    assert_eq!(desk.stored(), Vec::<String>::new());

    // Some of it is the operator's to decide.
    let said = desk.import(&["--force"]).with(1);
    assert!(
        said.contains("warning: m.crt: V011") && said.contains("warning: m.crt: V007"),
        "{said}"
    );
    assert_eq!(desk.stored(), [format!("{NAME}.pem")]);
    desk.lay(&good);
    desk.folder.write("m.key", &other.key);
    desk.import(&["--force"]).with(2);

    let said = vestibule(
        desk.folder.path(),
        &["import", "--key", "m.key", "--cert", "m.crt", "--into", "none"],
    );
    assert!(said.failed().contains("none: it is not a folder"));
}

/// A warning is said, and does not keep it out.
#[test]
fn what_is_odd_is_said() {
    let desk = Desk::new();
    desk.lay(&desk.ca.leaf_with(&[NAME], Kind::Ecdsa, |params| {
        params.not_before = date_time_ymd(3000, 1, 1);
        params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ServerAuth);
    }));
    let said = desk.import(&["--chain", "ca.crt"]).with(1);
    assert!(said.contains("warning: m.crt: V012: it is not valid before 3000-01-01"), "{said}");
    assert_eq!(desk.stored(), [format!("{NAME}.pem")]);
}
