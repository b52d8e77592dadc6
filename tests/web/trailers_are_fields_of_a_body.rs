//! What stands behind a body passes, but nothing that decides what becomes of a message, and nothing that
//! only a front may say: RFC 9110 §6.5.1.

use std::io::Write;

use crate::{
    common::tls::NAME,
    h2::{DATA, END_HEADERS, END_STREAM, H2, HEADERS, block, request},
    raw::{answer, enter},
    recorder::{Recorder, Seen},
    stage::{Stage, at},
};

/// What must not pass, and what may.
const FORGED: [&str; 14] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "expect",
    "cookie",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x_forwarded_for",
    "x-real-ip",
    "x-client-cert-verify",
    "content_length",
    "client-cert",
];

fn head(first: &str, names: &[&str]) -> String {
    format!("{first}\r\nTransfer-Encoding: chunked\r\nTrailer: {}\r\n\r\n", names.join(", "))
}

fn tail(names: &[&str]) -> String {
    let fields: String = names.iter().map(|name| format!("{name}: 1\r\n")).collect();
    format!("5\r\nhello\r\n0\r\n{fields}\r\n")
}

fn names() -> Vec<&'static str> {
    [&["x-sum"], &FORGED[..], &["x-last"]].concat()
}

#[test]
fn on_the_way_to_a_backend() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    // What a front before us says, it says in the head.
    let front = stage.front(&at(recorder.address), "forwarded_from: [127.0.0.1]");
    let mut client = enter(&stage, &front);
    client.send(head(&format!("POST /up HTTP/1.1\r\nHost: {NAME}"), &names()));
    client.send(tail(&names()));
    assert_eq!(answer(&mut client).unwrap().0, 200);
    let mut h2 = H2::enter(&stage, &front);
    h2.ask(1, &request("POST", "/up"), &[("trailer", &names().join(", "))], 0);
    h2.send(DATA, 0, 1, b"hello");
    // HTTP/2 has no fields of a connection at all.
    let fields: Vec<_> = names().into_iter().filter(|name| !FORGED[..4].contains(name)).collect();
    let fields: Vec<_> = fields.into_iter().map(|name| (name, "1")).collect();
    h2.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
    assert_eq!(h2.outcome(1), Some(Ok(200)));
    for version in ["HTTP/1.1", "HTTP/2"] {
        let Seen::Request(_, body) = recorder.next().1 else { panic!("{version}: a whole one") };
        let body = String::from_utf8(body).unwrap();
        assert_eq!(body, "5\r\nhello\r\n0\r\nx-sum: 1\r\nx-last: 1\r\n\r\n", "{version}");
    }
}

#[test]
fn and_on_the_way_to_a_client() {
    let stage = Stage::set();
    let recorder = Recorder::answering(|_, stream| {
        let answer = head("HTTP/1.1 200 OK", &names()) + &tail(&names());
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let front = stage.front(&at(recorder.address), "");
    let mut client = enter(&stage, &front);
    client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nTE: trailers\r\n\r\n"));
    let (_, head, body) = answer(&mut client).unwrap();
    assert_eq!(body, b"hello");
    assert!(head.ends_with("\r\n\r\nx-sum: 1\r\nx-last: 1\r\n"), "{head}");
    let mut h2 = H2::enter(&stage, &front);
    h2.ask(1, &request("GET", "/"), &[("te", "trailers")], END_STREAM);
    let last = std::iter::from_fn(|| h2.next())
        .find(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0)
        .expect("an end");
    // Two fields, each with a new name and a value in Huffman's code or plain.
    assert!(last.kind == HEADERS && last.payload.len() < 24, "{last:?}");
}
