//! Three certificates on one listener: by the name asked for, by the address called, and the default.

use crate::{
    clients::{self, Door, How, NAME, Protocol},
    common::{ca::Kind, front::Front},
    dovecot::Ssl,
    stage::Backend,
};

/// T4, T5: `openssl s_client` asks for a name, for none at another address, and for none at all.
#[test]
fn by_name_then_address_then_default() {
    let backend = Backend::new(Ssl::No);
    backend.leaf.certbot(&backend.live().join(NAME));
    for name in ["named.example.net", "addressed.example.com"] {
        backend.ca.leaf(&[name], Kind::Ecdsa).certbot(&backend.live().join(name));
    }
    let mut config = backend.as_yaml();
    config.push_str(
        "default_certificate: mail.example.org
certificate_by_address: { 127.0.0.2: addressed.example.com }
listeners:
  - { bind: \"0.0.0.0:0\", protocol: imap, tls: implicit, backend: dovecot }
  - { bind: \"0.0.0.0:0\", protocol: pop3, tls: starttls, backend: dovecot }
",
    );
    let front = Front::start(&config);
    let root = &backend.root;
    for door in [
        Door { protocol: Protocol::Imap, how: How::Implicit, port: front.port(0), root },
        Door { protocol: Protocol::Pop3, how: How::Starttls, port: front.port(1), root },
    ] {
        for (host, asked, got) in [
            ("127.0.0.1", Some("named.example.net"), "named.example.net"),
            ("127.0.0.2", Some("named.example.net"), "named.example.net"),
            ("127.0.0.2", Some("NAMED.example.net"), "named.example.net"),
            ("127.0.0.2", None, "addressed.example.com"),
            ("127.0.0.1", None, NAME),
            ("127.0.0.3", None, NAME),
        ] {
            let seen = clients::showcerts(&door, host, asked, &[]);
            assert!(
                seen.contains(&format!("\nsubject=CN = {got}\n")),
                "{host} asked for {asked:?}: {seen}"
            );
            assert!(
                seen.contains("Verify return code: 0 (ok)"),
                "{host} asked for {asked:?}: {seen}"
            );
        }
    }
}

/// T27, I19: under one name an RSA certificate for who cannot verify the other, in the suite that IMAP prescribes too.
#[test]
fn by_the_signatures_that_it_can_verify() {
    let backend = Backend::new(Ssl::No);
    backend.leaf.certbot(&backend.live().join(NAME));
    backend.ca.leaf(&[NAME], Kind::Rsa).certbot(&backend.live().join("mail.example.org-rsa"));
    let mut config = backend.as_yaml();
    config.push_str("listeners:\n  - { bind: \"127.0.0.1:0\", protocol: imap, tls: implicit, backend: dovecot }\n");
    let front = Front::start(&config);
    let door = Door {
        protocol: Protocol::Imap,
        how: How::Implicit,
        port: front.port(0),
        root: &backend.root,
    };
    for (client, key, suite) in [
        (&[][..], "ECDSA", ""),
        (&["-sigalgs", "RSA-PSS+SHA256:ECDSA+SHA256"], "ECDSA", ""),
        (&["-sigalgs", "RSA-PSS+SHA256"], "RSA-PSS", ""),
        (
            &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            "RSA",
            "ECDHE-RSA-AES128-GCM-SHA256",
        ),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"],
            "ECDSA",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
    ] {
        let seen = clients::showcerts(&door, "127.0.0.1", Some(NAME), client);
        let signed = seen
            .lines()
            .find_map(|line| line.strip_prefix("Peer signature type: "))
            .unwrap_or_default();
        assert!(signed.starts_with(key) && seen.contains(suite), "{client:?}: {seen}");
    }
}
