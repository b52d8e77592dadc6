//! WebSockets and other upgrades, consent to a body, trailers, and what a stop or a reload means to those
//! who are there.

use std::io::Write;

use rustix::process::Signal;

use crate::{
    common::{front::Front, tls::NAME},
    curl::get,
    h2::{END_STREAM, GOAWAY, H2, HEADERS, request},
    raw::{answer, enter},
    recorder::{OK, Recorder},
    servers::Python,
    stage::{Stage, at, tls},
};

const SHAKE: &str = "GET /ws HTTP/1.1\r\nHost: mail.example.org\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_web_socket_echoes() {
    let (stage, python) = (Stage::set(), Python::start());
    for identity in ["forwarded", "none"] {
        let front = stage.front(&format!("{}, identity: {identity}", at(python.address)), "");
        let mut client = enter(&stage, &front);
        // The first frame comes in one packet with the request.
        client.send([SHAKE.as_bytes(), &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']].concat());
        let (status, head, _) = answer(&mut client).expect("an answer");
        assert_eq!(status, 101, "{head}");
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        client.expect([0x81, 2, b'h', b'i']);
        for _ in 0..3 {
            client.send([0x81, 0x83, 1, 1, 1, 1, b'a' ^ 1, b'b' ^ 1, b'c' ^ 1]);
            client.expect([0x81, 3, b'a', b'b', b'c']);
        }
        client.send([0x88, 0x80, 0, 0, 0, 0]);
        assert_eq!(client.rest(), "", "the backend closes, and so do we");
        client.close_notify();
        drop(client);
        let summary = front.summary(0);
        assert_eq!(
            (&summary["requests"], &summary["end"]),
            (&1.into(), &"closed by the backend".into())
        );
    }
    assert!(!python.has_complained());
}

#[test]
fn what_asks_to_switch_and_is_answered_stays_http() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let mut client = enter(&stage, &front);
    for _ in 0..2 {
        client.send(SHAKE);
        assert_eq!(answer(&mut client).unwrap().0, 200);
        let seen = recorder.next().1;
        assert!(
            seen.has("upgrade: websocket\r\n") && seen.has("connection: upgrade\r\n"),
            "{seen:?}"
        );
    }
}

#[test]
fn consent_to_a_body_is_the_backends() {
    let (stage, python) = (Stage::set(), Python::start());
    let front = stage.front(&at(python.address), "");
    let ask = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {NAME}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut client = enter(&stage, &front);
    client.send(ask("/up"));
    assert_eq!(client.line(), "HTTP/1.1 100 Continue\r\n");
    assert_eq!(client.line(), "\r\n");
    client.send("hello");
    let (status, _, body) = answer(&mut client).unwrap();
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&body).contains("\"length\": 5"));
    // Refused before anything was sent: no consent, and the answer.
    let mut client = enter(&stage, &front);
    client.send(ask("/refused"));
    assert_eq!(answer(&mut client).unwrap().0, 401);
    // A backend that knows nothing of it gets the body all the same.
    let recorder = Recorder::start();
    let front = stage.front(&at(recorder.address), "");
    let mut client = enter(&stage, &front);
    client.send(ask("/up"));
    assert_eq!(client.line(), "HTTP/1.1 100 Continue\r\n");
    assert_eq!(client.line(), "\r\n");
    client.send("hello");
    assert_eq!(answer(&mut client).unwrap().0, 200);
}

#[test]
fn trailers_pass_both_ways() {
    let (stage, python) = (Stage::set(), Python::start());
    let front = stage.front(&at(python.address), "");
    let mut client = enter(&stage, &front);
    client.send(format!(
        "POST /up HTTP/1.1\r\nHost: {NAME}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"
    ));
    let (_, _, body) = answer(&mut client).unwrap();
    let body = String::from_utf8(body).unwrap().to_ascii_lowercase();
    assert!(body.contains("\"trailers\": [\"x-sum: 42\"]"), "{body}");
    client.send(format!("GET /trailers HTTP/1.1\r\nHost: {NAME}\r\nTE: trailers\r\n\r\n"));
    let (_, head, body) = answer(&mut client).unwrap();
    assert_eq!(body, b"hello");
    assert!(head.ends_with("x-sum: 42\r\n"), "{head}");
    let mut client = H2::enter(&stage, &front);
    client.ask(1, &request("GET", "/trailers"), &[("te", "trailers")], END_STREAM);
    assert_eq!(client.outcome(1), Some(Ok(200)));
    let last = loop {
        let frame = client.next().unwrap();
        if frame.stream == 1 && frame.flags & END_STREAM != 0 {
            break frame;
        }
    };
    assert_eq!(last.kind, HEADERS, "trailers end the stream");
}

/// A backend that answers once it is told to.
fn slow() -> (Recorder, std::sync::mpsc::Sender<()>) {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let recorder = Recorder::answering(move |head, stream| {
        if head.starts_with("GET /slow") {
            let _ = gone.lock().unwrap().recv();
        }
        stream.write_all(OK).is_ok()
    });
    (recorder, go)
}

#[test]
fn a_stop_lets_everybody_finish() {
    let stage = Stage::set();
    let (recorder, go) = slow();
    let mut front = stage.front(&at(recorder.address), "");
    let mut idle = enter(&stage, &front);
    idle.send(format!("GET /a HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    assert_eq!(answer(&mut idle).unwrap().0, 200);
    let mut busy = enter(&stage, &front);
    busy.send(format!("GET /slow HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    let mut h2 = H2::enter(&stage, &front);
    h2.ask(1, &request("GET", "/slow"), &[], END_STREAM);
    for _ in 0..3 {
        recorder.next();
    }
    front.signal(Signal::TERM);
    assert_eq!(idle.rest(), "", "who asks for nothing is let go");
    drop(idle);
    while h2.next().expect("it is told").kind != GOAWAY {}
    go.send(()).unwrap();
    go.send(()).unwrap();
    let (status, head, _) = answer(&mut busy).unwrap();
    assert_eq!(status, 200);
    assert!(head.contains("connection: close\r\n"), "{head}");
    loop {
        let frame = h2.next().expect("the answer comes");
        if frame.kind == HEADERS && frame.stream == 1 {
            break;
        }
    }
    drop((h2, busy));
    assert!(front.exit().success());
}

#[test]
fn a_reload_disturbs_nobody_and_counts_for_those_who_come() {
    let stage = Stage::set();
    let (recorder, go) = slow();
    let other = Recorder::start();
    let config =
        |recorder: &Recorder| stage.config(&format!("w: {{ {} }}", at(recorder.address)), &tls(""));
    let front = Front::start(&config(&recorder));
    let mut busy = enter(&stage, &front);
    busy.send(format!("GET /slow HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    recorder.next();
    front.configure(&config(&other));
    assert!(front.reload()["message"].as_str().unwrap().starts_with("reloaded"));
    assert_eq!(get(&stage, front.address(0), &format!("{NAME}:PORT/new"), &[]).status, 200);
    assert_eq!(other.next().1.line(), "GET /new HTTP/1.1");
    go.send(()).unwrap();
    assert_eq!(answer(&mut busy).unwrap().0, 200);
}
