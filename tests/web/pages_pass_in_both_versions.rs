//! A page is the same through the front, in HTTP/1.1 and in HTTP/2, whichever server is behind it.

use std::io::Write;

use crate::{
    common::tls::NAME,
    curl::{VERSIONS, get},
    h2::{END_STREAM, H2, request},
    raw::{answer, enter},
    recorder::{Recorder, Seen},
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

/// What a request's method says of its body does not count: RFC 9110 §9.3.1.
#[test]
fn bodies_go_up_with_any_method_and_none_is_none() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    for method in ["GET", "DELETE", "PROPFIND", "POST"] {
        let mut h1 = enter(&stage, &front);
        let head = format!("{method} / HTTP/1.1\r\nHost: {NAME}\r\nTransfer-Encoding: chunked");
        h1.send(format!("{head}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
        assert_eq!(answer(&mut h1).unwrap().0, 200);
        let mut h2 = H2::enter(&stage, &front);
        h2.ask_whole(1, &request(method, "/"), &[], b"abc");
        assert_eq!(h2.outcome(1), Some(Ok(200)));
        for _ in 0..2 {
            let Seen::Request(_, body) = recorder.next().1 else { panic!("a whole one") };
            assert_eq!(String::from_utf8_lossy(&body), "3\r\nabc\r\n0\r\n\r\n", "{method}");
        }
        // RFC 9110 §8.6: where one is expected, it is said that there is none.
        h2.ask(3, &request(method, "/"), &[], END_STREAM);
        assert_eq!(h2.outcome(3), Some(Ok(200)));
        assert_eq!(recorder.next().1.has("content-length: 0\r\n"), method == "POST", "{method}");
    }
}
