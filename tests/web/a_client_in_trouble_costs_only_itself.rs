//! A client that is slow, stops, vanishes or says too much: bounded time, bounded memory, and never an end
//! at the backend that was none.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    time::{Duration, Instant},
};

use crate::{
    common::{front::Front, peer::Peer, tls::NAME},
    curl::{VERSIONS, get},
    h2::{DATA, END_STREAM, H2, WINDOW_UPDATE, request},
    raw::{answer, enter, statuses},
    recorder::{OK, Recorder, Seen},
    stage::{Stage, at, tls},
};

fn front(stage: &Stage, recorder: &Recorder, timeouts: &str) -> Front {
    let config = stage.config(&format!("w: {{ {} }}", at(recorder.address)), &tls(""));
    Front::start(&format!("{config}\ntimeouts: {{ {timeouts} }}\n"))
}

fn others_are_served(stage: &Stage, front: &Front) {
    assert_eq!(get(stage, front.address(0), &format!("{NAME}:PORT/"), &[]).status, 200);
}

fn is_broken(recorder: &Recorder, what: &str) {
    let seen = recorder.next().1;
    assert!(matches!(&seen, Seen::Broken(text) if text.starts_with("POST")), "{what}: {seen:?}");
}

#[test]
fn a_body_that_is_cut_off_is_cut_off_behind() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = front(&stage, &recorder, "idle: 1m");
    for (fields, part) in [
        ("Content-Length: 10", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", "5\r\nhel"),
    ] {
        for ends_by_the_book in [false, true] {
            let mut client = enter(&stage, &front);
            client.send(format!("POST / HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n\r\n"));
            client.send(part);
            if ends_by_the_book {
                client.close_notify();
            }
            // Without a close_notify, anybody on the way may have ended it: RFC 8446 §6.1.
            client.0.sock.shutdown(Shutdown::Write).unwrap();
            let came = answer(&mut client).map(|(status, ..)| status);
            assert!(matches!(came, None | Some(400)), "{fields} {ends_by_the_book}: {came:?}");
            is_broken(&recorder, fields);
        }
    }
    others_are_served(&stage, &front);
}

#[test]
fn a_stream_that_is_reset_is_cut_off_behind() {
    // CANCEL, and NO_ERROR as well, with which some clients leave: RFC 9113 §8.1 has it of servers alone.
    for code in [8_u32, 0] {
        let (stage, listener) = (Stage::set(), TcpListener::bind("127.0.0.1:0").unwrap());
        let front = stage.front(&at(listener.local_addr().unwrap()), "");
        let mut client = H2::enter(&stage, &front);
        client.ask(1, &request("POST", "/"), &[], 0);
        client.send(DATA, 0, 1, b"hello");
        // The front's own looks say nothing.
        let mut upload = listener.incoming().map(Result::unwrap).find_map(|stream| {
            let mut upload = Peer(stream);
            upload.try_line().map(|line| (line, upload))
        });
        let (line, upload) = upload.as_mut().unwrap();
        assert_eq!(line, "POST / HTTP/1.1\r\n");
        client.send(crate::h2::RST_STREAM, 0, 1, &code.to_be_bytes());
        let mut rest = String::new();
        upload.0.read_to_string(&mut rest).unwrap();
        assert!(!rest.ends_with("0\r\n\r\n"), "{code}: {rest:?}");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut peer = Peer(stream);
                while peer.try_line().is_some_and(|line| line != "\r\n") {}
                let _ = peer.0.write_all(OK);
            }
        });
        client.ask(5, &request("GET", "/"), &[], END_STREAM);
        assert_eq!(client.outcome(5), Some(Ok(200)), "the connection lives");
    }
}

/// A backend has long to answer, and does not begin before it has been asked.
#[test]
fn a_body_may_take_longer_than_its_answer() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = front(&stage, &recorder, "http_response: 500ms");
    let file = stage.folder.write("body", vec![b'x'; 300_000]);
    for version in VERSIONS {
        let more = [version, "-H", "Expect:", "--limit-rate", "200k", "-T", file.to_str().unwrap()];
        let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &more);
        assert_eq!(answer.status, 200, "{version}: {answer:?}");
    }
}

#[test]
fn heads_have_an_end() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = front(&stage, &recorder, "idle: 1m");
    let long = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nX: {}\r\n\r\n", "a".repeat(64 << 10));
    let many: String = (0..1000).map(|n| format!("X-{n}: a\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n{many}\r\n");
    let line = format!("GET /{} HTTP/1.1\r\nHost: {NAME}\r\n\r\n", "a".repeat(64 << 10));
    for (head, fits) in [(&long, [431, 431]), (&many, [431, 400]), (&line, [414, 431])] {
        let came = statuses(&stage, &front, head.as_bytes(), 1);
        assert!(came.iter().all(|status| fits.contains(status)) && !came.is_empty(), "{came:?}");
    }
    for more in
        [vec![("x", "a".repeat(64 << 10))], (0..1000).map(|n| ("x", format!("{n:099}"))).collect()]
    {
        let more: Vec<(&str, &str)> = more.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let mut client = H2::enter(&stage, &front);
        // Longer than a frame may be: in pieces.
        let block = crate::h2::block(&[request("GET", "/"), more].concat());
        let mut parts = block.chunks(16_000).peekable();
        client.send(crate::h2::HEADERS, END_STREAM, 1, parts.next().unwrap());
        while let Some(part) = parts.next() {
            let end = if parts.peek().is_none() { crate::h2::END_HEADERS } else { 0 };
            if !client.try_send(crate::h2::CONTINUATION, end, 1, part) {
                break;
            }
        }
        let came = client.outcome(1);
        assert!(matches!(came, None | Some(Err(_) | Ok(431 | 400))), "{came:?}");
    }
    assert_eq!(recorder.all(), []);
    others_are_served(&stage, &front);
}

#[test]
fn slow_heads_and_slow_bodies_are_given_up() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = front(&stage, &recorder, "http_idle: 1s, http_body: 1s");
    let mut head = enter(&stage, &front);
    head.send("GET / HTTP/1.1\r\nHost: ");
    let mut body = enter(&stage, &front);
    body.send(format!("POST / HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 10\r\n\r\nhello"));
    let mut silent = enter(&stage, &front);
    let mut h2 = H2::enter(&stage, &front);
    others_are_served(&stage, &front);
    assert_eq!(answer(&mut body).map(|(status, ..)| status), Some(408));
    assert_eq!(head.rest(), "");
    assert_eq!(silent.rest(), "");
    while h2.next().is_some() {}
    assert_eq!(recorder.next().1.line(), "GET / HTTP/1.1");
    is_broken(&recorder, "the slow body");
    front.wait("the silent one has ended", 0, |line| {
        line["message"] == "session" && line["end"] == "Disconnected for inactivity"
    });
}

#[test]
fn who_waits_for_an_answer_is_not_idle() {
    let stage = Stage::set();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let recorder = Recorder::answering(move |_, stream| {
        let _ = gone.lock().unwrap().recv();
        stream.write_all(OK).is_ok()
    });
    let front = front(&stage, &recorder, "http_idle: 300ms, http_body: 300ms");
    let mut client = enter(&stage, &front);
    client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    let mut h2 = H2::enter(&stage, &front);
    h2.ask(1, &request("GET", "/"), &[], END_STREAM);
    recorder.next();
    // A third one, idle, is closed meanwhile: by then the first two have waited for longer than that.
    for _ in 0..3 {
        let mut idle = enter(&stage, &front);
        assert_eq!(idle.rest(), "");
    }
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(answer(&mut client).unwrap().0, 200);
    assert_eq!(h2.outcome(1), Some(Ok(200)));
}

#[test]
fn one_that_goes_takes_its_request_along() {
    let stage = Stage::set();
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let recorder = Recorder::answering(move |_, stream| {
        let ended = matches!(stream.read(&mut [0]), Ok(0) | Err(_));
        tell.lock().unwrap().send(ended).unwrap();
        false
    });
    let front = front(&stage, &recorder, "idle: 1m");
    let mut client = enter(&stage, &front);
    client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    recorder.next();
    drop(client);
    assert_eq!(told.recv_timeout(crate::common::front::PATIENCE), Ok(true), "a long poll ends");
}

/// Sends without an end, and tells when nobody takes any more.
fn spring() -> (Recorder, std::sync::mpsc::Receiver<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let recorder = Recorder::answering(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n");
        while stream.write_all(&[b'x'; 64 << 10]).is_ok() {}
        let _ = tell.lock().unwrap().send(());
        false
    });
    (recorder, told)
}

#[test]
fn who_stops_reading_is_given_up_and_holds_little() {
    let (stage, (recorder, ended)) = (Stage::set(), spring());
    let front = front(&stage, &recorder, "http_body: 2s");
    let before = resident(&front);
    let mut clients: Vec<_> = (0..8).map(|_| enter(&stage, &front)).collect();
    for client in &mut clients {
        client.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    }
    let mut streams: Vec<_> = (0..8).map(|_| H2::enter(&stage, &front)).collect();
    for (n, h2) in streams.iter_mut().enumerate() {
        h2.ask(1, &request("GET", "/"), &[], END_STREAM);
        if n % 2 == 0 {
            // One half never opens its window; the other half opens it wide, and reads nothing.
            h2.send(WINDOW_UPDATE, 0, 0, &0x3fff_ffff_u32.to_be_bytes());
            h2.send(WINDOW_UPDATE, 0, 1, &0x3fff_ffff_u32.to_be_bytes());
        }
    }
    // Each of them ends, though none of them reads: the backend sees it.
    let deadline = Instant::now() + Duration::from_secs(20);
    for _ in 0..16 {
        recorder.next();
    }
    let grown = resident(&front).saturating_sub(before);
    assert!(grown < 24 << 10, "{grown} KiB for sixteen of them");
    for client in &mut clients {
        let mut buffer = [0; 64 << 10];
        let came = std::iter::from_fn(|| client.0.read(&mut buffer).ok().filter(|n| *n > 0))
            .take(200_000)
            .count();
        assert!(came > 0 && Instant::now() < deadline, "it ends");
    }
    for h2 in &mut streams {
        let mut is_reset = false;
        while let Some(frame) = (!is_reset).then(|| h2.next()).flatten() {
            is_reset = frame.kind == crate::h2::RST_STREAM;
        }
    }
    assert!(Instant::now() < deadline, "those of HTTP/2 end, too");
    front.wait("the backend has nobody any more", 0, |line| {
        line["message"] == "session"
            && line["end"] == "relay: the client takes no more of what it is sent"
    });
    for _ in 0..16 {
        ended
            .recv_timeout(crate::common::front::PATIENCE)
            .expect("each is given up at the backend");
    }
}

/// KiB.
fn resident(front: &Front) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", front.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_body_waits_for_a_backend_that_does_not_read() {
    let stage = Stage::set();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It reads nothing until it is told to, and then all.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            if stream.peek(&mut [0]).is_ok_and(|n| n == 0) {
                continue;
            }
            let _ = gone.recv();
            let (mut left, mut buffer) = (SIZE, vec![0; 1 << 20]);
            while left > 0 {
                match stream.read(&mut buffer) {
                    Ok(n @ 1..) => left = left.saturating_sub(n),
                    _ => return,
                }
            }
            let _ = stream.write_all(OK);
        }
    });
    const SIZE: usize = 300 << 20;
    let config = stage.config(&format!("w: {{ {} }}", at(address)), &tls(""));
    let front = Front::start(&config);
    let before = resident(&front);
    let file = stage.folder.path().join("big");
    std::fs::File::create(&file).unwrap().set_len(SIZE as u64).unwrap();
    for version in VERSIONS {
        let body = format!("{}", file.display());
        let asked = std::thread::scope(|scope| {
            let upload = scope.spawn(|| {
                get(
                    &stage,
                    front.address(0),
                    &format!("{NAME}:PORT/"),
                    &[version, "-H", "Expect:", "-T", &body],
                )
            });
            // A hundred others take long enough for the upload to fill all that there is to fill.
            for _ in 0..100 {
                drop(enter(&stage, &front));
                let grown = resident(&front).saturating_sub(before);
                assert!(grown < 24 << 10, "{version}: {grown} KiB while nobody reads");
            }
            go.send(()).unwrap();
            upload.join().unwrap()
        });
        assert_eq!(asked.status, 200, "{version}: {asked:?}");
        let grown = resident(&front).saturating_sub(before);
        assert!(grown < 24 << 10, "{version}: {grown} KiB in the end");
    }
}
