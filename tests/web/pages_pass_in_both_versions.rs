//! A page is the same through the front, in HTTP/1.1 and in HTTP/2, whichever server is behind it.

use std::io::Write;

use crate::{
    common::tls::NAME,
    curl::{VERSIONS, get},
    raw::enter,
    recorder::Recorder,
    servers::{Nginx, Python},
    stage::{Stage, at},
};

#[test]
fn from_nginx() {
    let (stage, nginx) = (Stage::set(), Nginx::start(""));
    let big: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    nginx.put("index.html", "<p>hello");
    nginx.put("big", &big);
    let front = stage.front(&nginx.at(), "");
    for version in VERSIONS {
        let page = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
        assert_eq!((page.status, page.body.as_slice()), (200, b"<p>hello".as_slice()), "{page:?}");
        assert_eq!(page.version, if version == "--http2" { "HTTP/2" } else { "HTTP/1.1" });
        let whole = get(&stage, front.address(0), &format!("{NAME}:PORT/big"), &[version]);
        assert!(whole.body == big, "{version}: {} octets", whole.body.len());
        let head = get(&stage, front.address(0), &format!("{NAME}:PORT/big"), &[version, "--head"]);
        assert_eq!((head.field("content-length"), head.body.len()), (Some("3000000"), 0));
        let none = get(&stage, front.address(0), &format!("{NAME}:PORT/none"), &[version]);
        assert_eq!(none.status, 404);
        let etag = page.field("etag").expect("an ETag").to_owned();
        let same = format!("If-None-Match: {etag}");
        let not = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version, "-H", &same]);
        assert_eq!((not.status, not.body.len()), (304, 0));
    }
}

/// ActiveSync has statuses of its own, and some servers have words of their own.
#[test]
fn with_the_words_behind_their_status() {
    let stage = Stage::set();
    for (said, passed) in [
        ("449 Retry With", "449 Retry With"),
        ("449 ", "449 "),
        ("449", "449 "),
        ("200 Fine", "200 Fine"),
        ("200 ", "200 OK"),
    ] {
        let recorder = Recorder::answering(move |_, stream| {
            let head = format!("HTTP/1.1 {said}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).is_ok()
        });
        let front = stage.front(&at(recorder.address), "");
        let mut client = enter(&stage, &front);
        client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
        assert_eq!(client.line(), format!("HTTP/1.1 {passed}\r\n"), "{said:?}");
        let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &["--http2"]);
        assert_eq!(answer.status.to_string(), passed[..3], "{answer:?}");
    }
}

#[test]
fn bodies_go_up_whole() {
    let (stage, python) = (Stage::set(), Python::start());
    let front = stage.front(&at(python.address), "");
    let body = vec![b'x'; 2_000_000];
    let file = stage.folder.write("body", &body);
    let file = format!("@{}", file.display());
    for version in VERSIONS {
        for more in [&[][..], &["-H", "Transfer-Encoding: chunked"][..]] {
            // HTTP/2 has no transfer codings; curl leaves the field out there.
            let args = [&[version, "--data-binary", &file], more].concat();
            let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/up"), &args);
            let told = answer.told();
            assert_eq!((answer.status, &told.0["method"]), (200, &"POST".into()));
            assert_eq!(told.0["length"], 2_000_000, "{version} {more:?}");
        }
    }
    assert!(!python.has_complained());
}
