//! `Max-Forwards` counts us: RFC 9110 §7.6.2.

use crate::{
    common::tls::NAME,
    h2::{END_STREAM, H2, request},
    raw::{answer, enter},
    recorder::Recorder,
    stage::{Stage, at},
};

#[test]
fn a_request_goes_on_as_often_as_it_may() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    for (method, said, passed) in [
        ("OPTIONS", "1", "0"),
        ("TRACE", "10", "9"),
        ("OPTIONS", "18446744073709551615", "18446744073709551614"),
        // No number, or another method: nothing that we go by.
        ("OPTIONS", "+1", "+1"),
        ("OPTIONS", "x", "x"),
        ("OPTIONS", "99999999999999999999", "99999999999999999999"),
        ("GET", "0", "0"),
    ] {
        let mut client = enter(&stage, &front);
        client.send(format!("{method} / HTTP/1.1\r\nHost: {NAME}\r\nMax-Forwards: {said}\r\n\r\n"));
        assert_eq!(answer(&mut client).unwrap().0, 200, "{method} {said}");
        let seen = recorder.next().1;
        assert!(seen.has(&format!("max-forwards: {passed}\r\n")), "{method} {said}: {seen:?}");
    }
}

#[test]
fn the_last_may_be_us() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    for (method, target, status) in
        [("OPTIONS", "/", 204), ("OPTIONS", "*", 204), ("TRACE", "/", 501)]
    {
        let mut client = enter(&stage, &front);
        client
            .send(format!("{method} {target} HTTP/1.1\r\nHost: {NAME}\r\nMax-Forwards: 0\r\n\r\n"));
        let (came, head, body) = answer(&mut client).unwrap();
        assert_eq!(came, status, "{method} {target}: {head}");
        assert_eq!(body.is_empty(), status == 204, "{method} {target}");
        let mut h2 = H2::enter(&stage, &front);
        h2.ask(1, &request(method, target), &[("max-forwards", "0")], END_STREAM);
        assert_eq!(h2.outcome(1), Some(Ok(status)), "{method} {target}");
    }
    assert_eq!(recorder.all(), []);
}
