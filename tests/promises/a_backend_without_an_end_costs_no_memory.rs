//! A backend that says too much, or too slowly: the answer comes in time, memory stays bounded, the log says what it
//! was. In clear, and in what comes before STARTTLS.

use std::{fs, io::Write, net::TcpStream, time::Duration};

use serde_json::Value;

use crate::{
    common::{
        front::Front,
        mailhost::TALKS,
        peer::{Backend, Peer},
    },
    stage::Stage,
};

/// What a 64 MiB line may cost, in KiB: it is a debug build with some threads, and there are several looks at a time.
const LITTLE: u64 = 8 << 10;

const MUCH: usize = 64 << 20;

/// A peak of the front's resident memory, in KiB.
fn peak(front: &Front) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", front.pid())).expect("it runs");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("Linux tells");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What each protocol's greeting begins with, all of which servers may go on from without an end.
fn beginnings(protocol: &str) -> (&'static str, &'static str) {
    match protocol {
        "imap" => ("* OK ", "* OK hi\r\n"),
        "pop3" => ("+OK ", "+OK hi\r\n"),
        "sieve" => ("\"IMPLEMENTATION\" \"", ""),
        _ => ("220 ", "220 hi\r\n"),
    }
}

/// A list that goes on and on, line by line; each line is different.
fn list(protocol: &str, n: usize) -> String {
    match protocol {
        "imap" => format!("* CAPABILITY IMAP4rev1 X{n}\r\n"),
        "pop3" if n == 0 => "+OK\r\n".to_owned(),
        "pop3" => format!("X-{n}\r\n"),
        "sieve" => format!("\"X{n}\" \"x\"\r\n"),
        _ => format!("250-X{n}\r\n"),
    }
}

/// Says this until nobody listens, or it is too much.
fn pour(peer: &mut Peer<TcpStream>, block: impl Fn(usize) -> String) {
    let (mut said, mut n) = (0, 0);
    while said < MUCH {
        let mut text = String::new();
        while text.len() < 64 << 10 {
            text.push_str(&block(n));
            n += 1;
        }
        if peer.0.write_all(text.as_bytes()).is_err() {
            return;
        }
        said += text.len();
    }
}

/// The front before such a backend. It never becomes more than a little larger, says this, and its client is told to
/// come back later.
#[track_caller]
fn costs_nothing(
    protocol: &'static str,
    tls: &str,
    says: &str,
    is_greeted: bool,
    script: impl Fn(Peer<TcpStream>) + Send + Sync + Clone + 'static,
) {
    let stage = Stage::set();
    let host = Backend::script(move |peer| {
        peer.0.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        script(peer);
    });
    let door = (protocol, "implicit", host.address);
    let lines = format!("identity: none{tls}");
    let text = stage.config(&[door], "timeouts: { greeting: 10s, probe: 1h }");
    let front = Front::start(&text.replace("identity: proxy-v2", &lines));
    let before = peak(&front);
    let is_it = |line: &Value| {
        line["level"] == "WARN" && line["message"].as_str().is_some_and(|m| m.contains(says))
    };
    front.wait("it is said", 0, is_it);
    let mut client = stage.client().enter(front.address(0));
    let said = if is_greeted { client.line() } else { client.rest() };
    let later =
        TALKS.iter().find(|talk| talk.name() == protocol).map_or("421 ", |t| t.come_back_later());
    // One that greets as it should is heard; its lists are not.
    let expected = if is_greeted { beginnings(protocol).0 } else { later };
    assert!(said.starts_with(expected), "{protocol}: {said:?}");
    let grown = peak(&front) - before;
    assert!(grown < LITTLE, "{protocol}: {grown} KiB more");
}

/// In clear, and in what comes before STARTTLS.
const WAYS: [&str; 2] = [
    "",
    ", tls: starttls, tls_fingerprint: sha256:0000000000000000000000000000000000000000000000000000000000000000",
];

const PROTOCOLS: [&str; 4] = ["smtp", "imap", "pop3", "sieve"];

/// 64 MiB without a line end.
#[test]
fn a_line_without_an_end() {
    for protocol in PROTOCOLS {
        for tls in WAYS {
            costs_nothing(protocol, tls, "does not end within 64 KiB", false, move |mut peer| {
                peer.send(beginnings(protocol).0);
                pour(&mut peer, |_| "x".repeat(1 << 10));
            });
        }
    }
}

/// As much, in lines of which each is fine.
#[test]
fn a_list_without_an_end() {
    for protocol in PROTOCOLS {
        for tls in WAYS {
            let is_greeted = tls.is_empty() && protocol != "sieve";
            costs_nothing(
                protocol,
                tls,
                if protocol == "smtp" {
                    "does not end within 64 KiB"
                } else {
                    "it says more than 256 KiB"
                },
                is_greeted,
                move |mut peer| {
                    peer.send(beginnings(protocol).1);
                    if protocol != "sieve" {
                        peer.line();
                    }
                    pour(&mut peer, |n| list(protocol, n));
                },
            );
        }
    }
}

/// An octet now and then is not an answer in time, however long it goes on.
#[test]
fn an_octet_now_and_then() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Backend::script(move |mut peer| {
            // It is the clock of this test: nobody says anything to it.
            peer.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let greeting = talk.greeting().bytes().filter(|octet| !octet.is_ascii_control());
            for octet in greeting.collect::<Vec<_>>().into_iter().cycle() {
                let _ = std::io::Read::read(&mut peer.0, &mut [0; 512]);
                if peer.0.write_all(&[octet]).is_err() {
                    return;
                }
            }
        });
        let door = (talk.name(), "implicit", host.address);
        let text = stage.config(&[door], "timeouts: { greeting: 400ms, probe: 1h }");
        let front = Front::start(&text.replace("identity: proxy-v2", "identity: none"));
        front.wait("it is said", 0, |line| {
            line["message"].as_str().is_some_and(|m| {
                m.starts_with("it does not answer within 400ms, after it has said")
            })
        });
        let said = stage.client().enter(front.address(0)).rest();
        assert!(said.starts_with(talk.come_back_later()), "{talk:?}: {said:?}");
    }
}
