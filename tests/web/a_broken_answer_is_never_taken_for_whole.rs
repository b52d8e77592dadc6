//! A backend in trouble: the client gets the right status, or a connection that breaks off; never an
//! answer that looks whole and is not.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    common::{front::Front, peer::Peer, tls::NAME},
    curl::{VERSIONS, curl, get},
    h2::{DATA, H2, RST_STREAM, WINDOW_UPDATE, request},
    raw::{answer, enter},
    recorder::{OK, Recorder, Seen},
    stage::{Stage, at, clear, tls},
};

fn serving(said: &'static [u8]) -> Recorder {
    Recorder::answering(move |_, stream| {
        let _ = stream.write_all(said);
        false
    })
}

#[test]
fn one_that_is_down_is_unavailable_for_now() {
    let stage = Stage::set();
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let front = stage.front(&at(address), "");
    for version in VERSIONS {
        let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("10")), "{answer:?}");
    }
}

#[test]
fn garbage_and_silence_are_a_bad_gateway() {
    let stage = Stage::set();
    for said in [
        &b"220 mail.example.org ESMTP\r\n"[..],
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX\0: a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ] {
        let recorder = serving(said);
        let front = stage.front(&at(recorder.address), "");
        for version in VERSIONS {
            let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
            assert_eq!(answer.status, 502, "{:?}: {answer:?}", String::from_utf8_lossy(said));
        }
    }
}

#[test]
fn one_that_dies_in_an_answer_breaks_it_off() {
    let stage = Stage::set();
    for said in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let recorder = serving(said);
        let front = stage.front(&at(recorder.address), "");
        // Without a length, an HTTP/1.0 client could only see it from how the connection ends.
        for version in ["--http1.0", "--http1.1", "--http2"] {
            let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
            let said = String::from_utf8_lossy(said);
            assert_ne!(answer.exit, 0, "{version}, {said:?}: {answer:?}");
            assert!([0, 200].contains(&answer.status), "{version}, {said:?}: {answer:?}");
        }
        front.wait("the blame is the backend's", 0, |line| {
            line["message"] == "session"
                && line["end"].as_str().is_some_and(|e| e.starts_with("relay: "))
        });
    }
}

#[test]
fn in_clear_only_a_reset_tells() {
    let stage = Stage::set();
    let recorder = serving(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let listeners = clear("forward: true");
    let front =
        Front::start(&stage.config(&format!("w: {{ {} }}", at(recorder.address)), &listeners));
    for version in ["--http1.0", "--http1.1"] {
        let answer = curl(None, front.address(0), &format!("http://{NAME}:PORT/"), &[version]);
        assert_ne!(answer.exit, 0, "{version}: {answer:?}");
    }
}

/// RFC 9112 §6.3, RFC 9110 §8.6: of what is said twice or for nothing, one is left or none.
#[test]
fn one_length_is_left_of_several() {
    let stage = Stage::set();
    for (said, status, body) in [
        (
            &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
            200,
            &b"hello"[..],
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", 204, b""),
    ] {
        let recorder = Recorder::answering(move |_, stream| stream.write_all(said).is_ok());
        let front = stage.front(&at(recorder.address), "");
        for version in VERSIONS {
            let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
            let came = (answer.exit, answer.status, answer.body.as_slice());
            assert_eq!(came, (0, status, body), "{version} {:?}", String::from_utf8_lossy(said));
        }
    }
}

#[test]
fn what_may_be_the_rest_of_an_answer_is_not_the_next() {
    let stage = Stage::set();
    for said in [
        &b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let recorder = Recorder::answering(move |_, stream| stream.write_all(said).is_ok());
        let front = stage.front(&at(recorder.address), "");
        let mut client = enter(&stage, &front);
        let mut connections = Vec::new();
        for _ in 0..2 {
            client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
            assert!(answer(&mut client).is_some());
            connections.push(recorder.next().0);
        }
        assert_ne!(connections[0], connections[1], "{:?}", String::from_utf8_lossy(said));
    }
}

#[test]
fn one_without_a_length_ends_where_it_ends() {
    let (stage, recorder) = (Stage::set(), serving(b"HTTP/1.0 200 OK\r\n\r\nall of it"));
    let front = stage.front(&at(recorder.address), "");
    for version in ["--http1.0", "--http1.1", "--http2"] {
        let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
        assert_eq!((answer.exit, answer.body.as_slice()), (0, &b"all of it"[..]), "{version}");
    }
}

#[test]
fn an_answer_before_the_request_has_ended_arrives() {
    // It reads on, so that nothing is reset; or it closes on what it has not read.
    for reads_on in [true, false] {
        let stage = Stage::set();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let front = stage.front(&at(listener.local_addr().unwrap()), "");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || refuse_early(stream, reads_on));
            }
        });
        let file = stage.folder.write("body", vec![b'x'; 5_000_000]);
        let file = format!("@{}", file.display());
        for version in VERSIONS {
            let more = [version, "-H", "Expect:", "--data-binary", &file];
            let early = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &more);
            assert_eq!((early.status, early.body.as_slice()), (413, &b"no\n"[..]), "{early:?}");
        }
        // RFC 9113 §8.1: the whole answer, and then NO_ERROR for the rest of the request.
        let mut client = H2::enter(&stage, &front);
        client.ask(1, &request("POST", "/"), &[], 0);
        for _ in 0..4 {
            client.send(DATA, 0, 1, &[b'x'; 10_000]);
        }
        assert_eq!(client.outcome(1), Some(Ok(413)));
        let mut said = Vec::new();
        while said.last().is_none_or(|(kind, _)| *kind != RST_STREAM) {
            let frame = client.next().expect("the connection lives");
            if frame.stream == 1 {
                said.push((frame.kind, frame.payload));
            }
        }
        let said: Vec<_> = said.into_iter().filter(|(kind, _)| *kind != WINDOW_UPDATE).collect();
        assert_eq!(said, [(DATA, b"no\n".to_vec()), (RST_STREAM, vec![0; 4])]);
    }
}

/// Reads the head, and answers when there is something of a body.
fn refuse_early(mut stream: TcpStream, reads_on: bool) {
    let mut peer = Peer(stream.try_clone().unwrap());
    while peer.try_line().is_some_and(|line| line != "\r\n") {}
    if stream.peek(&mut [0]).is_ok_and(|octets| octets > 0) {
        let _ = stream.write_all(
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n",
        );
        if reads_on {
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    }
}

#[test]
fn one_that_is_too_slow_is_a_timeout() {
    let stage = Stage::set();
    let recorder = Recorder::answering(|_, stream| {
        let mut byte = [0];
        // Until the front has had enough.
        let _ = std::io::Read::read(stream, &mut byte);
        false
    });
    let config = stage.config(&format!("w: {{ {} }}", at(recorder.address)), &tls(""))
        + "\ntimeouts: { http_response: 300ms }\n";
    let front = Front::start(&config);
    for version in VERSIONS {
        let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
        assert_eq!(answer.status, 504, "{answer:?}");
    }
}

/// It answers once on each connection, and closes when the next request is there.
fn forgetful() -> Recorder {
    let served = std::sync::Arc::new(AtomicUsize::new(0));
    Recorder::answering(move |_, stream| {
        let n = served.fetch_add(1, Ordering::Relaxed);
        n.is_multiple_of(2) && stream.write_all(OK).is_ok()
    })
}

#[test]
fn what_can_be_said_again_is_said_again_on_a_new_connection() {
    let (stage, recorder) = (Stage::set(), forgetful());
    let front = stage.front(&at(recorder.address), "");
    let mut client = enter(&stage, &front);
    for n in 0..2 {
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
        assert_eq!(answer(&mut client).unwrap().0, 200);
    }
    let seen: Vec<(usize, String)> =
        (0..3).map(|_| recorder.next()).map(|(n, seen)| (n, seen.line().to_owned())).collect();
    let lines: Vec<&str> = seen.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, ["GET /0 HTTP/1.1", "GET /1 HTTP/1.1", "GET /1 HTTP/1.1"]);
    assert!(seen[0].0 == seen[1].0 && seen[1].0 != seen[2].0, "{seen:?}");
}

/// RFC 9110 §9.2.2, and what the registry of methods says of WebDAV's.
#[test]
fn also_in_the_methods_of_dav() {
    let stage = Stage::set();
    for method in ["PROPFIND", "REPORT", "MKCOL", "MKCALENDAR", "MOVE", "ACL", "UNLOCK", "SEARCH"] {
        let recorder = forgetful();
        let front = stage.front(&at(recorder.address), "");
        let mut client = enter(&stage, &front);
        for n in 0..2 {
            client.send(format!("{method} /{n} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
            assert_eq!(answer(&mut client).unwrap().0, 200, "{method} {n}");
        }
        assert_eq!(recorder.all().len(), 3, "{method}");
    }
}

#[test]
fn what_cannot_is_said_once() {
    let (stage, recorder) = (Stage::set(), forgetful());
    let front = stage.front(&at(recorder.address), "");
    let mut client = enter(&stage, &front);
    client.send(format!("GET /0 HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    assert_eq!(answer(&mut client).unwrap().0, 200);
    client.send(format!("POST /1 HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 2\r\n\r\nhi"));
    assert_eq!(answer(&mut client).unwrap().0, 502);
    let posts = recorder.all().iter().filter(|s| s.line().starts_with("POST")).count();
    assert_eq!(posts, 1);
    for method in ["POST", "PATCH", "LOCK"] {
        client.send(format!("GET /0 HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
        assert_eq!(answer(&mut client).unwrap().0, 200);
        client.send(format!("{method} /1 HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
        assert_eq!(answer(&mut client).unwrap().0, 502, "{method}");
    }
}

#[test]
fn one_that_closes_while_nothing_is_asked_costs_nobody_an_answer() {
    let stage = Stage::set();
    let recorder = Recorder::answering(|_, stream| {
        let _ = stream.write_all(OK);
        false
    });
    let front = stage.front(&at(recorder.address), "");
    let mut client = enter(&stage, &front);
    for n in 0..20 {
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
        assert_eq!(answer(&mut client).unwrap().0, 200, "{n}");
        // The backend closes without a word, before the next request is there or right behind it.
        assert!(matches!(recorder.next().1, Seen::Request(..)));
        std::thread::yield_now();
    }
}
