//! What HTTP/2 can carry and HTTP/1.1 cannot ends here: RFC 9113 §8.2 and §10.3.

use crate::{
    h2::{END_STREAM, H2, request},
    recorder::{Recorder, Seen},
    stage::{Stage, at},
};

const PROTOCOL_ERROR: u32 = 1;

type Fields = Vec<(&'static str, &'static str)>;

fn get() -> Fields {
    request("GET", "/a")
}

#[test]
fn fields_that_would_be_more_than_fields() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let pseudo = |n: usize, value: &'static str| {
        let mut fields = get();
        fields[n].1 = value;
        fields
    };
    let odd: Vec<(&str, Fields, Fields)> = vec![
        ("a line end in a value", get(), vec![("x", "a\r\ntransfer-encoding: chunked")]),
        ("a LF in a value", get(), vec![("x", "a\nb: c")]),
        ("a CR in a value", get(), vec![("x", "a\rb")]),
        ("a space before a value", get(), vec![("x", " a")]),
        ("a tab behind a value", get(), vec![("x", "a\t")]),
        ("nothing but a space in a value", get(), vec![("x", " ")]),
        ("a NUL in a value", get(), vec![("x", "a\0b")]),
        ("a line end in a name", get(), vec![("x\r\ny", "a")]),
        ("a colon in a name", get(), vec![("x: y\r\nz", "a")]),
        ("a space in a name", get(), vec![("x y", "a")]),
        ("a name in capitals", get(), vec![("X-Y", "a")]),
        ("transfer-encoding", get(), vec![("transfer-encoding", "chunked")]),
        ("connection", get(), vec![("connection", "close")]),
        ("upgrade", get(), vec![("upgrade", "websocket")]),
        ("te", get(), vec![("te", "gzip")]),
        ("a space in the path", pseudo(3, "/a b"), vec![]),
        ("a line in the path", pseudo(3, "/a HTTP/1.1\r\nx: y"), vec![]),
        ("a tab in the path", pseudo(3, "/a\tb"), vec![]),
        ("no path", pseudo(3, ""), vec![]),
        ("a path without a slash", pseudo(3, "a"), vec![]),
        ("a space in the method", pseudo(0, "GET /x HTTP/1.1\r\nx:"), vec![]),
        ("a line end in the host", pseudo(2, "mail.example.org\r\nx: y"), vec![]),
        ("a user in the host", pseudo(2, "x@mail.example.org"), vec![]),
        ("a path in the host", pseudo(2, "mail.example.org/x"), vec![]),
        ("another host in host", get(), vec![("host", "other.example.org")]),
        ("a pseudo field behind the others", get(), vec![("x", "y"), (":path", "/b")]),
        ("a pseudo field twice", get(), vec![(":path", "/b")]),
        ("an unknown pseudo field", get(), vec![(":x", "y")]),
        ("two lengths", get(), vec![("content-length", "0"), ("content-length", "5")]),
        ("an odd length", get(), vec![("content-length", "+0")]),
    ];
    for (name, fields, more) in odd {
        let mut client = H2::enter(&stage, &front);
        client.ask(1, &fields, &more, END_STREAM);
        let outcome = client.outcome(1);
        let is_refused = matches!(outcome, None | Some(Err(_) | Ok(400 | 501)));
        assert!(is_refused, "{name}: {outcome:?}");
        assert_eq!(recorder.all(), [], "{name}: the backend sees nothing");
    }
    let mut client = H2::enter(&stage, &front);
    client.ask(1, &get(), &[], END_STREAM);
    assert_eq!(client.outcome(1), Some(Ok(200)), "by the book it works");
}

#[test]
fn a_body_is_as_long_as_it_says() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    for (length, body, is_right) in
        [("5", "hello", true), ("5", "hell", false), ("5", "hello!", false), ("0", "x", false)]
    {
        let mut client = H2::enter(&stage, &front);
        // At once: one that says it has none could be answered before its body comes.
        client.ask_whole(
            1,
            &request("POST", "/up"),
            &[("content-length", length)],
            body.as_bytes(),
        );
        let outcome = client.outcome(1);
        assert_eq!(outcome == Some(Ok(200)), is_right, "{length} {body}: {outcome:?}");
        if is_right {
            assert!(matches!(recorder.next().1, Seen::Request(_, came) if came == body.as_bytes()));
        } else {
            let is_error = matches!(outcome, Some(Err(PROTOCOL_ERROR) | Ok(400)) | None);
            assert!(is_error, "{length} {body}: {outcome:?}");
            // One that says it has none may have gone on as that.
            let is_wrong =
                |s: &Seen| matches!(s, Seen::Request(_, came) if length != "0" || !came.is_empty());
            assert!(!recorder.all().iter().any(is_wrong), "{length} {body}");
        }
    }
}

#[test]
fn what_looks_like_a_request_in_a_body_is_a_body() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: mail.example.org\r\n\r\n";
    let mut client = H2::enter(&stage, &front);
    client.ask_whole(1, &request("POST", "/up"), &[], hidden.as_bytes());
    assert_eq!(client.outcome(1), Some(Ok(200)));
    client.ask(3, &get(), &[], END_STREAM);
    assert_eq!(client.outcome(3), Some(Ok(200)));
    let Seen::Request(head, body) = recorder.next().1 else { panic!("a whole one") };
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(
        String::from_utf8_lossy(&body),
        format!("{:X}\r\n{hidden}\r\n0\r\n\r\n", hidden.len())
    );
    assert_eq!(recorder.next().1.line(), "GET /a HTTP/1.1");
    assert_eq!(recorder.all(), []);
}

#[test]
fn cookies_in_crumbs_are_one_cookie() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let mut client = H2::enter(&stage, &front);
    client.ask(1, &get(), &[("cookie", "a=1"), ("cookie", "b=2")], END_STREAM);
    assert_eq!(client.outcome(1), Some(Ok(200)));
    assert!(recorder.next().1.has("cookie: a=1; b=2\r\n"), "RFC 9113 §8.2.3");
}
