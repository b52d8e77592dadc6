//! `vestibule explain`: which certificate and chain a client gets, and why, step by step; and it is
//! the one that a client really gets.

use serde_json::Value;

use crate::common::{
    ca::{Ca, Kind},
    commands::{Said, vestibule},
    folder::Folder,
};

fn desk() -> (Ca, Folder) {
    let (ca, folder) = (Ca::new("Test"), Folder::new());
    for (place, names, kind) in [
        ("ecdsa", ["mail.example.org", "imap.example.org"], Kind::Ecdsa),
        ("rsa", ["mail.example.org", "imap.example.org"], Kind::Rsa),
        ("wild", ["*.example.net", "example.net"], Kind::Ecdsa),
        ("bound", ["mail.example.com", "imap.example.com"], Kind::Ecdsa),
    ] {
        ca.leaf(&names, kind).certbot(&folder.path().join("live").join(place));
    }
    let text = format!(
        "hostname: mail.example.org\ncertificates: [{}/live]\nbackend: 10.0.0.5\n\
         certificate_by_address: {{ 192.0.2.10: mail.example.com }}\n\
         listeners:\n  - {{ bind: '0.0.0.0:993' }}\n  - {{ bind: '192.0.2.11:993', unknown_name: reject }}\n  - {{ bind: '0.0.0.0:80' }}\n",
        folder.path().display()
    );
    folder.write("c.yaml", text);
    (ca, folder)
}

fn explain(folder: &Folder, words: &str) -> Said {
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    vestibule(folder.path(), &[&["explain", "--config", "c.yaml"], words.as_slice()].concat())
}

#[test]
fn step_by_step() {
    let (_ca, folder) = desk();
    for (words, code, steps, place) in [
        (
            "--sni MAIL.example.org --port 993",
            0,
            &[
                "port 993 is the listener for imap, tls: implicit",
                "has the name mail.example.org",
                "ecdsa and rsa",
                "gets ecdsa",
            ][..],
            "ecdsa",
        ),
        ("--sni mail.example.org --port 993 --sigalgs rsa", 0, &["gets rsa"], "rsa"),
        ("--sni a.example.net --port 993", 0, &["one has *.example.net"], "wild"),
        (
            "--sni a.example.net --port 993 --sigalgs rsa",
            1,
            &["there is ecdsa alone, which the client cannot verify"],
            "wild",
        ),
        (
            "--address 192.0.2.10 --port 993",
            0,
            &["asks for no name", "certificate_by_address binds one to 192.0.2.10"],
            "bound",
        ),
        (
            "--sni a.b.example.net --address 192.0.2.10 --port 993",
            1,
            &["no certificate has the name a.b.example.net", "binds one to 192.0.2.10"],
            "bound",
        ),
        (
            "--address 192.0.2.12 --port 993",
            0,
            &["no certificate is bound to 192.0.2.12: the default"],
            "ecdsa",
        ),
    ] {
        let said = explain(&folder, words).with(code);
        for step in steps {
            assert!(said.contains(step), "{words}: {step:?} in {said}");
        }
        assert!(said.contains("CN=Test CA 1 (sent) < CN=Test Root"), "{words}: {said}");
        let json = explain(&folder, &format!("{words} --json")).with(code);
        let json: Value = serde_json::from_str(&json).expect("JSON");
        let file = json["certificate"]["file"].as_str().expect("a file");
        assert!(file.contains(&format!("/live/{place}/")), "{words}: {file}");
    }
}

#[test]
fn also_when_there_is_none() {
    let (_ca, folder) = desk();
    for (words, step) in [
        ("--port 465", "nobody listens on port 465"),
        ("--address 192.0.2.11 --port 80 --sni x", "there is no TLS on it"),
        ("--address ::1 --port 993", "nobody listens on port 993 of ::1"),
        (
            "--address 192.0.2.11 --port 993 --sni nobody.example.org",
            "gets the alert unrecognized_name (112)",
        ),
    ] {
        let said = explain(&folder, words).with(2);
        assert!(said.contains(step), "{words}: {step:?} in {said}");
    }
}

/// Whoever asks is most likely missing the one that is not served.
#[test]
fn with_what_is_broken_where_nothing_fits() {
    let (_ca, folder) = desk();
    let key = folder.path().join("live/ecdsa/privkey.pem");
    std::fs::copy(key, folder.path().join("live/bound/privkey.pem")).expect("copied");
    let words = "--port 993 --sni mail.example.com";
    let said = explain(&folder, words).with(1);
    assert!(said.contains("one that is for it cannot be served: "), "{said}");
    assert!(said.contains("/live/bound/") && said.contains("V001"), "{said}");
    folder.write("live/bound/cert.pem", "");
    folder.write("live/bound/fullchain.pem", "");
    let said = explain(&folder, words).with(1);
    assert!(said.contains("`vestibule certs` lists it"), "{said}");
    let said = explain(&folder, "--port 993 --sni mail.example.org").with(0);
    assert!(!said.contains("cannot be served"), "{said}");
}
