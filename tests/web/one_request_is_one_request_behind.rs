//! What a client means to be two requests where the front sees one, or one where it sees two, never
//! reaches a backend so: RFC 9112 §11.2.

use crate::{
    common::tls::NAME,
    raw::{answer, enter, statuses},
    recorder::{Recorder, Seen},
    stage::{Stage, at},
};

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: mail.example.org\r\n\r\n";

/// What was sent, the statuses that may come for it, and the lines that the backend may see.
type Probe = (&'static str, String, &'static [u16], &'static [&'static str]);

fn post(fields: &str, body: &str) -> String {
    format!("POST /up HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n{body}")
}

fn probes() -> Vec<Probe> {
    const UP: &[&str] = &["POST /up HTTP/1.1"];
    const UP_AND_HIDDEN: &[&str] = &["POST /up HTTP/1.1", "GET /hidden HTTP/1.1"];
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    let length = HIDDEN.len();
    vec![
        // Chunks count, and the connection is not used again, so that what is behind is nobody's.
        (
            "CL.TE",
            post(
                &format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", chunked.len()),
                &chunked,
            ),
            &[200],
            UP,
        ),
        (
            "TE.CL",
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                &format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
            ),
            &[200],
            UP,
        ),
        (
            "TE.TE, the second odd",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", &chunked),
            &[400],
            &[],
        ),
        (
            "TE.TE, the first odd",
            post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", &chunked),
            &[501],
            &[],
        ),
        (
            "TE twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunked),
            &[501],
            &[],
        ),
        ("TE in a list", post("Transfer-Encoding: gzip, chunked\r\n", &chunked), &[501], &[]),
        ("TE not last", post("Transfer-Encoding: chunked, identity\r\n", &chunked), &[400], &[]),
        ("TE with a tab in it", post("Transfer-Encoding: \x0bchunked\r\n", &chunked), &[400], &[]),
        (
            "TE with a space before the colon",
            post("Transfer-Encoding : chunked\r\n", &chunked),
            &[400],
            &[],
        ),
        (
            "TE in HTTP/1.0",
            post("Transfer-Encoding: chunked\r\n", &chunked).replace("1.1\r\nHost", "1.0\r\nHost"),
            &[400],
            &[],
        ),
        ("obs-fold", post("Transfer-Encoding:\r\n chunked\r\n", &chunked), &[400], &[]),
        ("obs-fold in another field", post("X: a\r\n b\r\nContent-Length: 0\r\n", ""), &[400], &[]),
        (
            "two lengths",
            post(&format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), HIDDEN),
            &[400],
            &[],
        ),
        (
            "two lengths in one",
            post(&format!("Content-Length: 0, {length}\r\n"), HIDDEN),
            &[400],
            &[],
        ),
        (
            "a length with a sign",
            post(&format!("Content-Length: +{length}\r\n"), HIDDEN),
            &[400],
            &[],
        ),
        ("a negative length", post("Content-Length: -1\r\n", HIDDEN), &[400], &[]),
        ("a length in hexadecimal", post("Content-Length: 0x0\r\n", HIDDEN), &[400], &[]),
        ("a length too long", post("Content-Length: 99999999999999999999\r\n", ""), &[400], &[]),
        (
            "the same length twice is one",
            post("Content-Length: 0\r\nContent-Length: 0\r\n", HIDDEN),
            &[200, 200],
            UP_AND_HIDDEN,
        ),
        (
            "a length spelt with an underscore",
            post(&format!("Content_Length: {length}\r\n"), HIDDEN),
            &[200, 200],
            UP_AND_HIDDEN,
        ),
        (
            "a chunk's size with a sign",
            post("Transfer-Encoding: chunked\r\n", "+0\r\n\r\n"),
            &[400, 502],
            UP,
        ),
        (
            "a chunk's size too long",
            post("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"),
            &[400, 502],
            UP,
        ),
        (
            "a chunk without its end",
            post("Transfer-Encoding: chunked\r\n", &format!("1\r\naX{chunked}")),
            &[400, 502],
            UP,
        ),
        (
            "a bare LF behind a chunk's size",
            post("Transfer-Encoding: chunked\r\n", "5;x\ny\r\nhello\r\n0\r\n\r\n"),
            &[400, 502],
            UP,
        ),
        (
            "a CR in a value",
            post("X: a\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n", ""),
            &[400],
            &[],
        ),
        ("a NUL in a value", post("X: a\0b\r\nContent-Length: 0\r\n", ""), &[400], &[]),
        ("a NUL in a name", post("X\0: a\r\nContent-Length: 0\r\n", ""), &[400], &[]),
        ("a space before the first name", post(" X: a\r\nContent-Length: 0\r\n", ""), &[400], &[]),
        ("spaces around a value", post("X: \t a \t \r\nContent-Length: 0\r\n", ""), &[200], UP),
        ("no colon", post("X\r\nContent-Length: 0\r\n", ""), &[400], &[]),
        ("a name of no letters", post(": a\r\nContent-Length: 0\r\n", ""), &[400], &[]),
        ("two Hosts", post("Host: other.example\r\nContent-Length: 0\r\n", ""), &[400], &[]),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".to_owned(), &[400], &[]),
        ("no Host but in the target", format!("GET https://{NAME}/ HTTP/1.1\r\n\r\n"), &[400], &[]),
        ("an odd Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), &[400], &[]),
        ("a Host with a user", format!("GET / HTTP/1.1\r\nHost: x@{NAME}\r\n\r\n"), &[400], &[]),
        (
            "a target with a space",
            format!("GET /a /b HTTP/1.1\r\nHost: {NAME}\r\n\r\n"),
            &[400],
            &[],
        ),
        ("no version", format!("GET /\r\nHost: {NAME}\r\n\r\n"), &[400], &[]),
        ("a version to come", format!("GET / HTTP/3.0\r\nHost: {NAME}\r\n\r\n"), &[400, 505], &[]),
        ("CONNECT", format!("CONNECT {NAME}:25 HTTP/1.1\r\nHost: {NAME}\r\n\r\n"), &[501], &[]),
        (
            "HTTP/2 where HTTP/1.1 was agreed on",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            &[400, 505],
            &[],
        ),
        ("something else", "EHLO client.example\r\n\r\n".to_owned(), &[400], &[]),
    ]
}

#[test]
fn whatever_is_tried() {
    let stage = Stage::set();
    for (name, octets, expected, lines) in probes() {
        let recorder = Recorder::start();
        let front = stage.front(&at(recorder.address), "");
        let came = statuses(&stage, &front, octets.as_bytes(), expected.len().max(1));
        let fits = match expected {
            [200, ..] => came == expected,
            // Closed without a word is as good as refused.
            _ => came.iter().all(|status| expected.contains(status)),
        };
        assert!(fits, "{name}: {came:?}, not {expected:?}");
        // Whoever comes next is answered, and the backend has seen nothing in between.
        assert_eq!(
            statuses(&stage, &front, b"GET /last HTTP/1.1\r\nHost: mail.example.org\r\n\r\n", 1),
            [200],
            "{name}"
        );
        let seen = recorder.all();
        let whole: Vec<&str> =
            seen.iter().filter(|s| matches!(s, Seen::Request(..))).map(Seen::line).collect();
        let (last, before) = whole.split_last().expect("the last one");
        assert_eq!(*last, "GET /last HTTP/1.1", "{name}");
        let is_refused = !expected.contains(&200);
        assert!(
            before == lines || (is_refused && before.is_empty()),
            "{name}: the backend saw {before:?}"
        );
        for one in &seen {
            assert!(!one.has("content-length") || !one.has("transfer-encoding"), "{name}: {one:?}");
            assert!(!one.has("content_length"), "{name}: {one:?}");
        }
    }
}

#[test]
fn a_bare_line_feed_ends_a_line_here_and_is_made_whole() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let octets = format!("GET /a HTTP/1.1\nHost: {NAME}\nX: y\n\n");
    assert_eq!(statuses(&stage, &front, octets.as_bytes(), 1), [200]);
    let (_, seen) = recorder.next();
    assert_eq!(seen.line(), "GET /a HTTP/1.1");
    assert!(seen.has("x: y\r\n"), "{seen:?}");
}

#[test]
fn chunk_extensions_do_not_pass_and_a_megabyte_of_them_ends_it() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let short = post("Transfer-Encoding: chunked\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n");
    assert_eq!(statuses(&stage, &front, short.as_bytes(), 1), [200]);
    let (_, seen) = recorder.next();
    assert!(
        matches!(&seen, Seen::Request(_, body) if body == b"5\r\nhello\r\n0\r\n\r\n"),
        "{seen:?}"
    );
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(1 << 20));
    let came =
        statuses(&stage, &front, post("Transfer-Encoding: chunked\r\n", &long).as_bytes(), 1);
    assert!(came.iter().all(|status| [400, 502].contains(status)), "{came:?}");
    let last = format!("GET /last HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    assert_eq!(statuses(&stage, &front, last.as_bytes(), 1), [200]);
    let seen = recorder.all();
    let is_whole = |s: &&Seen| matches!(s, Seen::Request(..));
    let whole: Vec<&str> = seen.iter().filter(is_whole).map(Seen::line).collect();
    assert_eq!(whole, ["GET /last HTTP/1.1"], "the backend has not seen it end");
}

#[test]
fn what_a_connection_names_is_taken_out_but_not_what_we_say() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let mut client = enter(&stage, &front);
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close, X-Private, X-Forwarded-For, Host\r\nX-Private: 1\r\n\
         Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: gzip, trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n"
    ));
    assert_eq!(answer(&mut client).unwrap().0, 200);
    let (_, seen) = recorder.next();
    for gone in ["x-private", "keep-alive", "proxy-connection", "upgrade", "http2-settings"] {
        assert!(!seen.has(&format!("{gone}:")), "{gone}: {seen:?}");
    }
    for there in [
        "te: trailers\r\n",
        "connection: te\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "host: mail.example.org\r\n",
    ] {
        assert!(seen.has(there), "{there}: {seen:?}");
    }
    let mut client = enter(&stage, &front);
    for (fields, named) in [
        ("Connection: upgrade, te\r\nTE: trailers\r\nUpgrade: x", "connection: upgrade, te\r\n"),
        ("Connection: upgrade, te\r\nTE: deflate\r\nUpgrade: x", "connection: upgrade\r\n"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n\r\n"));
        assert_eq!(answer(&mut client).unwrap().0, 200);
        let (_, seen) = recorder.next();
        assert!(seen.has(named), "{fields}: {seen:?}");
    }
    client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    assert_eq!(answer(&mut client).unwrap().0, 200);
    assert!(!recorder.next().1.has("connection:"));
}
