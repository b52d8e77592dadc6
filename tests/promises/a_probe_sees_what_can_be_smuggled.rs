//! `vestibule probe` tells servers that keep what came behind STARTTLS from those that do not.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::common::{
    ca::{Ca, Kind},
    folder::Folder,
    peer::{Backend, Peer},
    probe::{Probe, probe},
    tls::{NAME, VERSIONS, server},
};

/// What a server does with what comes in one segment with STARTTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// It takes it for commands inside TLS: CVE-2011-0411.
    Kept,
    /// It throws it away.
    Dropped,
    /// It does not grant STARTTLS then.
    Refused,
    /// It answers it in clear, before TLS.
    Answered,
    /// It ends the session.
    Ended,
}

/// What a server says: to its name, to STARTTLS, and to each command, in a protocol.
#[derive(Clone, Copy)]
struct Words {
    protocol: &'static str,
    greeting: &'static str,
    upgrade: &'static str,
    consent: &'static str,
    refusal: &'static str,
    answer: fn(&str) -> String,
}

const PROTOCOLS: [Words; 4] = [
    Words {
        protocol: "smtp",
        greeting: "220 mx.example.org ESMTP\r\n",
        upgrade: "STARTTLS",
        consent: "220 go\r\n",
        refusal: "554 5.5.1 not so fast\r\n",
        answer: |line| match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-mx.example.org\r\n250 STARTTLS\r\n".to_owned(),
            "QUIT" => "221 bye\r\n".to_owned(),
            _ => "250 ok\r\n".to_owned(),
        },
    },
    Words {
        protocol: "imap",
        greeting: "* OK ready\r\n",
        upgrade: "STARTTLS",
        consent: "s OK go\r\n",
        refusal: "s BAD not so fast\r\n",
        answer: |line| {
            let (tag, command) = line.split_once(' ').unwrap_or_default();
            match command {
                "CAPABILITY" => format!("* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK\r\n"),
                "LOGOUT" => format!("* BYE\r\n{tag} OK\r\n"),
                _ => format!("{tag} OK\r\n"),
            }
        },
    },
    Words {
        protocol: "pop3",
        greeting: "+OK ready\r\n",
        upgrade: "STLS",
        consent: "+OK go\r\n",
        refusal: "-ERR not so fast\r\n",
        answer: |line| match line {
            "CAPA" => "+OK\r\nUIDL\r\nSTLS\r\n.\r\n".to_owned(),
            "QUIT" => "+OK bye\r\n".to_owned(),
            _ => "-ERR what?\r\n".to_owned(),
        },
    },
    Words {
        protocol: "sieve",
        greeting: "\"SIEVE\" \"\"\r\n\"STARTTLS\"\r\nOK \"ready\"\r\n",
        upgrade: "STARTTLS",
        consent: "OK \"go\"\r\n",
        refusal: "NO \"not so fast\"\r\n",
        answer: |line| match line {
            "LOGOUT" => "OK \"bye\"\r\n".to_owned(),
            // One that does not know how to repeat a tag.
            _ => "OK\r\n".to_owned(),
        },
    },
];

/// The next line in `inbox`, or from the client, without its end.
fn line(inbox: &mut Vec<u8>, from: &mut impl Read) -> Option<String> {
    loop {
        if let Some(end) = inbox.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = inbox.drain(..=end).collect();
            return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
        }
        let mut buffer = [0; 4096];
        match from.read(&mut buffer) {
            Ok(n @ 1..) => inbox.extend_from_slice(&buffer[..n]),
            _ => return None,
        }
    }
}

fn serve(words: Words, behind: Behind, config: Arc<ServerConfig>, peer: Peer<TcpStream>) {
    let mut stream = peer.0;
    let mut inbox = Vec::new();
    stream.write_all(words.greeting.as_bytes()).unwrap();
    loop {
        let Some(line) = line(&mut inbox, &mut stream) else { return };
        if line.ends_with(words.upgrade) {
            break;
        }
        stream.write_all((words.answer)(&line).as_bytes()).unwrap();
    }
    if !inbox.is_empty() && behind == Behind::Refused {
        let _ = stream.write_all(words.refusal.as_bytes());
        return;
    }
    let mut consent = words.consent.to_owned();
    match behind {
        Behind::Answered => {
            while !inbox.is_empty() {
                let line = line(&mut inbox, &mut stream).unwrap();
                consent.push_str(&(words.answer)(&line));
            }
        }
        Behind::Kept | Behind::Ended => {}
        _ => inbox.clear(),
    }
    stream.write_all(consent.as_bytes()).unwrap();
    if !inbox.is_empty() && behind == Behind::Ended {
        return;
    }
    let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    if words.protocol == "sieve" && tls.write_all(words.greeting.as_bytes()).is_err() {
        return;
    }
    while let Some(line) = line(&mut inbox, &mut tls) {
        // Whoever has hung up needs no answer.
        let _ = tls.write_all((words.answer)(&line).as_bytes());
        if line.ends_with("QUIT") || line.ends_with("LOGOUT") {
            tls.conn.send_close_notify();
            let _ = tls.flush();
            return;
        }
    }
}

/// Servers of each protocol that do this, looked at.
fn look(behind: Behind) -> Vec<(&'static str, Probe)> {
    let (ca, folder) = (Ca::new("Test"), Folder::new());
    let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
    let root = ca.write_root(folder.path());
    let config = server(&leaf, &leaf.key, &VERSIONS, &[]);
    let look = &|words: Words| {
        let config = config.clone();
        let server = Backend::script(move |peer| serve(words, behind, config.clone(), peer));
        let at = server.address.to_string();
        let trust = root.to_str().unwrap();
        let seen =
            probe(None, &[&at, "--starttls", words.protocol, "--sni", NAME, "--trust", trust]);
        (words.protocol, seen)
    };
    // Some of them take their time.
    std::thread::scope(|scope| {
        let looking = PROTOCOLS.map(|words| scope.spawn(move || look(words)));
        looking.map(|thread| thread.join().expect("it looks")).into()
    })
}

#[test]
fn in_servers_that_keep_what_came_before_tls() {
    for (protocol, seen) in look(Behind::Kept) {
        assert_eq!(seen.report["injection"]["verdict"], "vulnerable", "{protocol}: {seen:?}");
        seen.finds("error", "injection", None, &["RFC 3207", "CVE-2011-0411"]);
    }
}

#[test]
fn and_tells_those_that_do_not() {
    for (behind, how) in [
        (Behind::Dropped, "the server ignores what comes behind STARTTLS"),
        (Behind::Refused, "the server refuses STARTTLS with a command behind it"),
        (Behind::Ended, "the server ends the session"),
        // In clear it does no harm, whatever becomes of the handshake then.
        (Behind::Answered, "the server answers in clear"),
    ] {
        for (protocol, seen) in look(behind) {
            seen.is_fine();
            let injection = &seen.report["injection"];
            assert_eq!(injection["verdict"], "safe", "{protocol} {behind:?}: {injection}");
            let text = injection["text"].as_str().unwrap();
            assert!(text.starts_with(how), "{protocol} {behind:?}: {text}");
        }
    }
}
