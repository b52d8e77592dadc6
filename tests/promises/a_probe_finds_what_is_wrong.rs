//! `vestibule probe` says in which phase a server goes wrong, and what to do about it.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    time::Instant,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{
    common::{
        ca::{Ca, Kind},
        folder::Folder,
        front::PATIENCE,
        peer::{Backend, Peer},
        probe::{Probe, probe, say},
        tls::{NAME, VERSIONS, server},
    },
    openssl::SServer,
};

/// A server that follows this script.
fn scripted(
    arguments: &[&str],
    script: impl Fn(Peer<TcpStream>) + Send + Sync + Clone + 'static,
) -> Probe {
    let server = Backend::script(script);
    let at = server.address.to_string();
    probe(None, &[&[at.as_str(), "--sni", NAME], arguments].concat())
}

#[test]
fn nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let seen = probe(None, &[&free.to_string()]);
    seen.finds("error", "connect", None, &["refuses connections"]);
    assert_eq!(seen.report["tls"], serde_json::Value::Null);
}

#[test]
fn nobody_is_there() {
    let seen = probe(None, &["does-not-exist.invalid:993"]);
    seen.finds("error", "resolve", None, &["does-not-exist.invalid"]);
}

#[test]
fn tls_was_expected_and_the_port_begins_in_clear() {
    for (greeting, advice) in [
        ("220 mail.example.org ESMTP\r\n", "--starttls smtp"),
        ("* OK ready\r\n", "--starttls imap"),
        ("+OK ready\r\n", "--starttls pop3"),
        ("\"IMPLEMENTATION\" \"x\"\r\n", "--starttls sieve"),
    ] {
        let seen = scripted(&[], move |mut peer| {
            peer.send(greeting);
            peer.rest();
        });
        seen.finds("error", "handshake", None, &["in clear", advice]);
    }
    let seen = scripted(&[], |mut peer| peer.send("HTTP/1.1 400 Bad Request\r\n\r\n"));
    seen.finds("error", "handshake", None, &["HTTP/1.1 400 Bad Request", "not TLS"]);
}

#[test]
fn the_server_is_silent() {
    for (arguments, phase, advice) in [
        (&[][..], "handshake", "--starttls"),
        (&["--starttls", "imap"], "clear", "--starttls none"),
    ] {
        let begun = Instant::now();
        let seen = scripted(&[arguments, &["--timeout", "300ms"]].concat(), |mut peer| {
            peer.rest();
        });
        seen.finds("error", phase, None, &["silent", advice]);
        assert!(begun.elapsed() < PATIENCE / 2, "the time was bounded");
    }
}

#[test]
fn the_server_hangs_up() {
    for (arguments, phase) in [(&[][..], "handshake"), (&["--starttls", "smtp"], "clear")] {
        scripted(arguments, drop).finds("error", phase, None, &["closed the connection"]);
    }
}

/// Octet by octet, for ever, or too many of them: there is an end to patience and memory.
#[test]
fn the_server_does_not_come_to_the_point() {
    let endless = |text: &'static str| {
        move |mut peer: Peer<TcpStream>| {
            while peer.0.write_all(text.repeat(512).as_bytes()).is_ok() {}
        }
    };
    let smtp = ["--starttls", "smtp"];
    scripted(&smtp, endless("220-more")).finds("error", "clear", None, &["8 KiB in one line"]);
    scripted(&smtp, endless("220-more\r\n")).finds("error", "clear", None, &["more than 64 KiB"]);
    let drip = |mut peer: Peer<TcpStream>| {
        peer.0.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        use std::io::Read;
        // The reader never has to wait long for the next one.
        while peer.0.write_all(b"2").is_ok() {
            let _ = peer.0.read(&mut [0]);
        }
    };
    let seen = scripted(&["--starttls", "smtp", "--timeout", "400ms"], drip);
    seen.finds("error", "clear", None, &["silent until the time was over"]);
}

#[test]
fn starttls_is_not_to_be_had() {
    let smtp = |offer: &'static str, consent: &'static str| {
        move |mut peer: Peer<TcpStream>| {
            peer.send("220 mx.example.org\r\n");
            assert!(peer.line().starts_with("EHLO [127.0.0.1]\r\n"));
            peer.send(format!("250-mx.example.org\r\n250 {offer}\r\n"));
            peer.line();
            peer.send(consent);
            peer.rest();
        }
    };
    let starttls = ["--starttls", "smtp"];
    let seen = scripted(&starttls, smtp("SIZE 1", ""));
    seen.finds("error", "clear", None, &["does not offer STARTTLS"]);
    assert_eq!(seen.report["capabilities_in_clear"], serde_json::json!(["SIZE 1"]));
    let seen = scripted(&starttls, smtp("STARTTLS", "454 4.7.0 TLS not available\r\n"));
    seen.finds("error", "clear", None, &["454 4.7.0 TLS not available"]);
    let seen = scripted(&starttls, smtp("STARTTLS", "220 go\r\n250 and this\r\n"));
    seen.finds("error", "clear", None, &["more in clear"]);
    let seen = scripted(&starttls, |mut peer| peer.send("554 5.7.1 go away\r\n"));
    seen.finds("error", "clear", None, &["554 5.7.1 go away"]);
    let seen = scripted(&starttls, |mut peer| peer.send("* OK ready\r\n"));
    seen.finds("error", "clear", None, &["* OK ready", "--starttls imap"]);
}

/// What a server says cannot steer the terminal of whoever looks at it.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    let server = Backend::script(|mut peer| {
        peer.send("220 \x1b[2J\u{9b}2Jhello\r\n");
        peer.line();
        peer.send("250 \x1b]0;title\x07\r\n");
        peer.rest();
    });
    let (exit, text) = say(None, &[&server.address.to_string(), "--starttls", "smtp"]);
    assert_eq!(exit, 2);
    assert!(text.contains("hello") && text.contains("title"), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

/// `openssl s_server` with what we do not speak, or what it does not want.
#[test]
fn the_handshake_fails() {
    let (ca, folder) = (Ca::new("Test"), Folder::new());
    let leaf = ca.leaf(&[NAME], Kind::Rsa);
    let (cert, key) = (folder.write("cert.pem", &leaf.cert), folder.write("key.pem", &leaf.key));
    for (arguments, words) in [
        (&["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"][..], "nothing newer than TLS 1.1"),
        (&["-tls1_2", "-cipher", "AES128-SHA"], "no cipher, group or signature in common"),
    ] {
        let server = SServer::start(&cert, &key, None, arguments);
        let seen = probe(None, &[&server.address.to_string(), "--sni", NAME]);
        seen.finds("error", "handshake", None, &[words]);
    }
    // A server that wants a certificate says so only after the handshake in TLS 1.3.
    let server = SServer::start(&cert, &key, None, &["-Verify", "1"]);
    let seen = probe(None, &[&server.address.to_string(), "--sni", NAME]);
    seen.finds("error", "inside", None, &["wants a certificate from its clients"]);
}

/// A server whose TLS is ours, with this configuration.
fn tls(config: Arc<ServerConfig>, greeting: &'static str, root: &Path) -> Probe {
    let script = move |peer: Peer<TcpStream>| {
        let tls = ServerConnection::new(config.clone()).expect("a server");
        let mut peer = Peer(StreamOwned::new(tls, peer.0));
        // Whoever has hung up needs no greeting.
        let _ = peer.0.write_all(greeting.as_bytes()).and_then(|()| peer.0.flush());
        peer.rest();
    };
    scripted(&["--trust", root.to_str().unwrap()], script)
}

/// Whoever shows somebody else's certificate is found out; what was shown is told.
#[test]
fn the_certificate_is_somebody_elses() {
    let (ca, folder) = (Ca::new("Test"), Folder::new());
    let root = ca.write_root(folder.path());
    for kind in [Kind::Ecdsa, Kind::Rsa] {
        let (leaf, other) = (ca.leaf(&[NAME], kind), ca.leaf(&[NAME], kind));
        for version in VERSIONS {
            let seen = tls(server(&leaf, &other.key, &[version], &[]), "* BYE\r\n", &root);
            seen.finds("error", "handshake", None, &["another key"]);
            assert_eq!(seen.report["chain"]["end"]["kind"], "trusted", "{:#}", seen.report);
            assert_eq!(seen.report["tls"], serde_json::Value::Null);
        }
    }
}

/// RFC 7301 §3.2 lets a server end the handshake over it.
#[test]
fn alpn_is_refused() {
    let (ca, folder) = (Ca::new("Test"), Folder::new());
    let (leaf, root) = (ca.leaf(&[NAME], Kind::Ecdsa), ca.write_root(folder.path()));
    let config = server(&leaf, &leaf.key, &VERSIONS, &["h2"]);
    let script = move |mut peer: Peer<TcpStream>| {
        peer.send("* OK ready\r\n");
        for answer in ["* CAPABILITY STARTTLS\r\nc OK\r\n", "s OK\r\n"] {
            peer.line();
            peer.send(answer);
        }
        let tls = ServerConnection::new(config.clone()).expect("a server");
        let mut peer = Peer(StreamOwned::new(tls, peer.0));
        if peer.try_line().is_some() {
            peer.send("* CAPABILITY IMAP4rev1\r\nc OK\r\n");
            peer.rest();
        }
    };
    let seen = scripted(&["--starttls", "imap", "--trust", root.to_str().unwrap()], script);
    seen.finds("warning", "handshake", None, &["ALPN", "imap"]);
    assert_eq!(seen.exit, 1, "{seen:?}");
    assert_eq!(seen.report["capabilities_inside_tls"], serde_json::json!(["IMAP4rev1"]));
    assert_eq!(seen.report["tls"]["alpn_offered"], serde_json::json!([]));
}

/// TLS is well, and behind it is nobody.
#[test]
fn the_server_hangs_up_inside_tls() {
    let (ca, folder) = (Ca::new("Test"), Folder::new());
    let (leaf, root) = (ca.leaf(&[NAME], Kind::Ecdsa), ca.write_root(folder.path()));
    let config = server(&leaf, &leaf.key, &VERSIONS, &[]);
    let seen = tls(config, "* BYE too many of you\r\n", &root);
    seen.finds("error", "inside", None, &["* BYE too many of you"]);
    assert_eq!(seen.report["tls"]["version"], "TLSv1.3");
}

#[test]
fn the_command_line_makes_no_sense() {
    let (folder, ca) = (Folder::new(), Ca::new("Test"));
    let chain = folder.write("chain.pem", ca.intermediate.pem());
    for (arguments, words) in [
        (&["mail.example.org"][..], "which port?"),
        (&["mail.example.org:99999"], "is no port"),
        (&["mail.example.org:993", "--sni", "a b"], "--sni"),
        (&["127.0.0.1:1", "--trust", "/does/not/exist.pem"], "/does/not/exist.pem: V004"),
        (&["127.0.0.1:1", "--trust", chain.to_str().unwrap()], "holds no root"),
    ] {
        let (exit, text) = say(None, arguments);
        assert_eq!(exit, 2, "{text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}
