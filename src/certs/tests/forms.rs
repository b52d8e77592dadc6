//! Every form of keys and certificates: those that are understood, and those that are named with the
//! command that turns them into one that is.

use super::*;

/// A leaf and its issuer, in a folder whose name needs quotes.
struct Desk {
    folder: Folder,
    ca: Authority,
    leaf: Leaf,
}

impl Desk {
    fn with(key: KeyPair) -> Self {
        let (folder, ca) = (Folder::new(), Authority::new());
        let leaf = ca.leaf(&["m.example"], key);
        for (name, text) in
            [("m.crt", &leaf.cert), ("m.key", &leaf.key), ("ca.crt", &ca.issuer_pem)]
        {
            folder.write(&format!("it's mine/{name}"), text);
        }
        Self { folder, ca, leaf }
    }

    /// Runs a command where the files are.
    fn sh(&self, command: &str) {
        self.folder.sh(&format!("cd \"it's mine\"; {command}"));
    }

    fn load(&self) -> Store {
        self.folder.load_trusting(&[&self.ca.root_pem])
    }

    fn is_served(&self, what: &str) {
        let store = self.load();
        assert_eq!(said(&store.findings), Vec::<String>::new(), "{what}");
        assert_eq!(only_chain(&store), ders(&[&self.leaf.cert, &self.ca.issuer_pem]), "{what}");
    }

    /// Not served, and said of this file, once, under this code. The command that is told, given the
    /// passphrase, makes a file with which all is well once it has taken the other's place.
    fn is_mended(&self, what: &str, file: &str, code: Code) {
        let store = self.load();
        assert_eq!(labels(&store), Vec::<&str>::new(), "{what}");
        let [finding] = &store.findings[..] else {
            panic!("{what}: {:?}", said(&store.findings));
        };
        assert_eq!((finding.code, finding.severity), (code, Severity::Error), "{what}: {finding}");
        assert!(finding.file.ends_with(file), "{what}: {finding}");
        let (_, command) = finding.text.split_once(": ").unwrap();
        let mut command = command.to_owned();
        for program in ["openssl pkey ", "openssl pkcs12 "] {
            command = command.replace(program, &format!("{program}-passin pass:secret "));
        }
        self.folder.sh(&command);
        fs::remove_file(&finding.file).unwrap();
        self.is_served(&format!("{what}: {command}"));
    }
}

/// PKCS #8 is what comes out of most programs; OpenSSL's older ones write PKCS #1 and SEC 1.
#[test]
fn keys_in_all_their_forms() {
    for (what, key, command) in [
        ("PKCS #8", ecdsa(), "true"),
        ("PKCS #8, RSA", rsa(), "true"),
        (
            "PKCS #1",
            rsa(),
            "openssl rsa -traditional -in m.key -out m.key; grep -q 'BEGIN RSA P' m.key",
        ),
        ("SEC 1", ecdsa(), "openssl ec -in m.key -out m.key; grep -q 'BEGIN EC P' m.key"),
        (
            "SEC 1 behind its parameters",
            ecdsa(),
            "openssl ecparam -name prime256v1 >both; openssl ec -in m.key >>both; mv both m.key;
             grep -q 'BEGIN EC PARAMETERS' m.key",
        ),
        (
            "P-384",
            KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
            "openssl ec -in m.key -out m.key",
        ),
        ("Ed25519", KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), "true"),
    ] {
        let desk = Desk::with(key);
        desk.sh(command);
        desk.is_served(what);
    }
}

#[test]
fn an_encrypted_key_is_named_with_the_command_that_decrypts_it() {
    for (what, key, command) in [
        ("PKCS #8", ecdsa(), "openssl pkcs8 -topk8 -passout pass:secret -in m.key -out e.key"),
        (
            "PKCS #1",
            rsa(),
            "openssl rsa -traditional -aes128 -passout pass:secret -in m.key -out e.key",
        ),
        ("SEC 1", ecdsa(), "openssl ec -aes128 -passout pass:secret -in m.key -out e.key"),
        (
            "PKCS #8 in DER",
            ecdsa(),
            "openssl pkcs8 -topk8 -passout pass:secret -in m.key -outform der -out e.key",
        ),
    ] {
        let desk = Desk::with(key);
        desk.sh(&format!("{command}; mv e.key m.key"));
        desk.is_mended(what, "m.key", Code::KeyEncrypted);
        // The certificates beside it must not be lost on the way.
        desk.sh("rm -f *");
        desk.folder.write("it's mine/m.key", &desk.leaf.key);
        desk.sh(&format!("{command}; rm m.key"));
        if !what.ends_with("DER") {
            let encrypted = fs::read_to_string(desk.folder.path("it's mine/e.key")).unwrap();
            let all = format!("{encrypted}{}{}", desk.leaf.cert, desk.ca.issuer_pem);
            desk.sh("rm e.key");
            desk.folder.write("it's mine/all.pem", all);
            desk.is_mended(&format!("{what} and its certificates"), "all.pem", Code::KeyEncrypted);
        }
    }
}

/// A decrypted key is nobody else's business.
#[test]
fn the_decrypted_key_is_not_exposed() {
    let desk = Desk::with(ecdsa());
    desk.sh("openssl pkcs8 -topk8 -passout pass:secret -in m.key -out e.key; mv e.key m.key");
    desk.is_mended("PKCS #8", "m.key", Code::KeyEncrypted);
    for entry in fs::read_dir(desk.folder.path("it's mine")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert!(!text.contains("PRIVATE KEY") || mode & 0o077 == 0, "{}", path.display());
    }
}

#[test]
fn what_is_not_pem_is_named_with_the_command_that_converts_it() {
    let whole = "cat m.crt ca.crt >both.pem; openssl crl2pkcs7 -nocrl -certfile both.pem";
    for (what, command, file) in [
        ("DER", "openssl x509 -in m.crt -outform der -out x".to_owned(), "m.crt"),
        ("a key in DER", "openssl pkcs8 -topk8 -nocrypt -in m.key -outform der -out x".to_owned(), "m.key"),
        ("PKCS #1 in DER", "openssl rsa -traditional -in m.key -outform der -out x".to_owned(), "m.key"),
        (
            "PFX",
            "openssl pkcs12 -export -passout pass:secret -in m.crt -inkey m.key -certfile ca.crt -out x; rm m.key ca.crt".to_owned(),
            "m.crt",
        ),
        ("PKCS #7", format!("{whole} -out x; rm both.pem ca.crt"), "m.crt"),
        ("PKCS #7 in DER", format!("{whole} -outform der -out x; rm both.pem ca.crt"), "m.crt"),
        ("TRUSTED CERTIFICATE", "openssl x509 -trustout -in m.crt -out x".to_owned(), "m.crt"),
        (
            "two of them",
            "openssl x509 -trustout -in m.crt -out x; openssl x509 -trustout -in ca.crt >>x; rm ca.crt".to_owned(),
            "m.crt",
        ),
        ("UTF-16", "iconv -f utf-8 -t utf-16 m.crt >x".to_owned(), "m.crt"),
        (
            "UTF-16 without a mark",
            "iconv -f utf-8 -t utf-16le m.key >x".to_owned(),
            "m.key",
        ),
    ] {
        let desk = Desk::with(rsa());
        desk.sh(&format!("{command}; mv x {file}"));
        desk.is_mended(what, file, Code::NotPem);
    }
}

/// SEC 1 in DER looks like no other key.
#[test]
fn an_ec_key_in_der_is_converted_too() {
    let desk = Desk::with(ecdsa());
    desk.sh("openssl ec -in m.key -outform der -out x; mv x m.key");
    desk.is_mended("SEC 1 in DER", "m.key", Code::NotPem);
}

/// Under the names that they usually have, too: where it is all that there is, nobody else says it.
#[test]
fn binary_files_under_their_own_names() {
    for (file, command) in [
        (
            "m.pfx",
            "openssl pkcs12 -export -passout pass:secret -in m.crt -inkey m.key -certfile ca.crt -out m.pfx; rm m.crt m.key ca.crt",
        ),
        (
            "m.p12",
            "openssl pkcs12 -export -passout pass:secret -in m.crt -inkey m.key -certfile ca.crt -out m.p12; rm m.crt m.key ca.crt",
        ),
        ("m.der", "openssl x509 -in m.crt -outform der -out m.der; rm m.crt"),
        ("m.p7b", "openssl crl2pkcs7 -nocrl -certfile m.crt -outform der -out m.p7b; rm m.crt"),
    ] {
        let desk = Desk::with(rsa());
        desk.sh(command);
        desk.is_mended(file, file, Code::NotPem);
    }
}

/// Some programs write them beside the PEM files, which are what is served.
#[test]
fn binary_files_beside_what_is_served_are_no_mistake() {
    let desk = Desk::with(rsa());
    desk.sh("openssl pkcs12 -export -passout pass:secret -in m.crt -inkey m.key -out m.pfx;
             openssl x509 -in m.crt -outform der -out m.der");
    desk.is_served("pfx and der");
}

/// A pool of nothing but binary files helps nobody.
#[test]
fn a_binary_intermediate_is_named() {
    let (desk, pool) = (Desk::with(ecdsa()), Folder::new());
    desk.sh(&format!(
        "openssl x509 -in ca.crt -outform der -out {}/ca.der; rm ca.crt",
        pool.0.display()
    ));
    let sources = Sources { intermediates: vec![pool.0.clone()], ..desk.folder.sources() };
    let store = trusting(&anchors(&[&desk.ca.root_pem]), &sources, None);
    assert_eq!(codes(&store), ["V006", "V007"], "{:?}", said(&store.findings));
    assert!(store.findings[0].file.ends_with("ca.der"), "{:?}", said(&store.findings));
}

/// SSH has keys of its own, and its public ones are called so, too.
#[test]
fn a_key_for_ssh_is_no_key() {
    let desk = Desk::with(ecdsa());
    desk.folder.write(
        "it's mine/m.key",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    );
    let store = desk.load();
    assert_eq!(codes(&store), ["V006"]);
    assert!(store.findings[0].text.contains("SSH"), "{:?}", said(&store.findings));
}
