//! NTLM, and Negotiate with it inside, log a connection in and not a request (RFC 4559 §6): the backend's
//! connection is that client's from then on.

use crate::{
    common::tls::NAME,
    h2::{END_STREAM, H2, request},
    raw::{answer, enter},
    recorder::Recorder,
    stage::{Stage, at},
};

#[test]
fn a_connection_that_is_logged_in_is_nobody_elses() {
    for identity in ["forwarded", "none"] {
        let (stage, recorder) = (Stage::set(), Recorder::start());
        let front = stage.front(&format!("{}, identity: {identity}", at(recorder.address)), "");
        for scheme in ["NTLM", "negotiate"] {
            let mut one = enter(&stage, &front);
            let login = format!("Authorization: {scheme} dGVzdA==\r\n");
            let mut connections = Vec::new();
            for fields in ["", &login, "", "Content-Length: 0\r\n", &login] {
                let method = if fields.starts_with("Content") { "POST" } else { "GET" };
                one.send(format!("{method} / HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n"));
                assert_eq!(answer(&mut one).unwrap().0, 200);
                connections.push(recorder.next().0);
            }
            let own = connections[1];
            assert_eq!(connections[1..], [own; 4], "from the login on it is the same");
            let mut stranger = enter(&stage, &front);
            stranger.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
            assert_eq!(answer(&mut stranger).unwrap().0, 200);
            assert_ne!(recorder.next().0, own, "{identity} {scheme}");
        }
    }
}

#[test]
fn nor_is_one_of_a_client_of_http2() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let mut one = H2::enter(&stage, &front);
    one.ask(1, &request("GET", "/"), &[("authorization", "NTLM dGVzdA==")], END_STREAM);
    assert_eq!(one.outcome(1), Some(Ok(200)));
    let own = recorder.next().0;
    one.ask(3, &request("GET", "/"), &[], END_STREAM);
    assert_eq!(one.outcome(3), Some(Ok(200)));
    assert_eq!(recorder.next().0, own);
    let mut stranger = H2::enter(&stage, &front);
    stranger.ask(1, &request("GET", "/"), &[], END_STREAM);
    assert_eq!(stranger.outcome(1), Some(Ok(200)));
    assert_ne!(recorder.next().0, own);
}
