//! Floods of frames end the connection that they come by, and nobody else notices.

use crate::{
    common::{front::Front, tls::NAME},
    curl::get as fetch,
    h2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, PING, RST_STREAM,
        SETTINGS, block, code, request,
    },
    recorder::{OK, Recorder},
    stage::{Stage, at},
};

const ENHANCE_YOUR_CALM: u32 = 11;

fn set() -> (Stage, Recorder, Front) {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    (stage, recorder, front)
}

fn others_are_served(stage: &Stage, front: &Front) {
    assert_eq!(fetch(stage, front.address(0), &format!("{NAME}:PORT/"), &["--http2"]).status, 200);
}

/// Whether the front says good-bye, and with which code. Whatever comes before does not count.
fn end(client: &mut H2) -> Option<u32> {
    while let Some(frame) = client.next() {
        if frame.kind == GOAWAY {
            return Some(code(&frame.payload[4..]));
        }
    }
    None
}

#[test]
fn rapid_resets() {
    let (stage, recorder, front) = set();
    let mut client = H2::enter(&stage, &front);
    let block = block(&request("GET", "/a"));
    for n in 0..10_000 {
        let stream = 2 * n + 1;
        let is_taken = client.try_send(HEADERS, END_HEADERS | END_STREAM, stream, &block)
            && client.try_send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if !is_taken {
            break;
        }
    }
    let said = end(&mut client);
    assert!(matches!(said, None | Some(ENHANCE_YOUR_CALM)), "{said:?}");
    others_are_served(&stage, &front);
    assert!(recorder.all().len() < 2_000, "most of it never reached the backend");
}

#[test]
fn continuations_without_an_end() {
    let (stage, _recorder, front) = set();
    let mut client = H2::enter(&stage, &front);
    client.send(HEADERS, END_STREAM, 1, &block(&request("GET", "/a")));
    let part = block(&[("x", &"y".repeat(8_000))]);
    let mut sent = 0;
    while sent < 10_000 && client.try_send(CONTINUATION, 0, 1, &part) {
        sent += 1;
    }
    assert!(sent < 10_000, "the front has had enough");
    let said = end(&mut client);
    assert!(matches!(said, None | Some(ENHANCE_YOUR_CALM)), "{said:?}");
    others_are_served(&stage, &front);
}

#[test]
fn empty_continuations_and_empty_data() {
    let (stage, _recorder, front) = set();
    let mut client = H2::enter(&stage, &front);
    client.send(HEADERS, END_STREAM, 1, &block(&request("GET", "/a")));
    let mut sent = 0;
    while sent < 1_000_000 && client.try_send(CONTINUATION, 0, 1, &[]) {
        sent += 1;
    }
    assert!(sent < 1_000_000, "the front has had enough of empty continuations");
    others_are_served(&stage, &front);

    let mut client = H2::enter(&stage, &front);
    client.ask(1, &request("POST", "/a"), &[], 0);
    for _ in 0..100_000 {
        if !client.try_send(DATA, 0, 1, &[]) {
            break;
        }
    }
    others_are_served(&stage, &front);
}

#[test]
fn pings_and_settings() {
    let (stage, _recorder, front) = set();
    let before = resident(&front);
    for (kind, payload) in [(PING, &[0; 8][..]), (SETTINGS, &[0, 4, 0, 1, 0, 0][..])] {
        let mut client = H2::enter(&stage, &front);
        // Their answers are never read: the front must not keep them all.
        let (tell, told) = std::sync::mpsc::channel();
        let payload = payload.to_vec();
        std::thread::spawn(move || {
            for _ in 0..200_000 {
                if !client.try_send(kind, 0, 0, &payload) {
                    break;
                }
            }
            let _ = tell.send(());
        });
        let _ = told.recv_timeout(std::time::Duration::from_secs(3));
        others_are_served(&stage, &front);
    }
    let grown = resident(&front).saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB");
}

#[test]
fn a_hundred_streams_at_a_time() {
    let (stage, recorder) = (
        Stage::set(),
        Recorder::answering(|_, stream| {
            use std::io::Write;
            stream.write_all(OK).is_ok()
        }),
    );
    let front = stage.front(&at(recorder.address), "");
    let mut client = H2::enter(&stage, &front);
    // Bodies that are never sent keep their streams open.
    for n in 0..150_u32 {
        client.ask(2 * n + 1, &request("POST", "/a"), &[("content-length", "5")], 0);
    }
    let mut refused = 0;
    while refused < 50 {
        let frame = client.next().expect("the connection lives");
        if frame.kind == RST_STREAM {
            assert_eq!(code(&frame.payload), 7, "REFUSED_STREAM");
            refused += 1;
        }
    }
    others_are_served(&stage, &front);
}

/// KiB.
fn resident(front: &Front) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", front.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
