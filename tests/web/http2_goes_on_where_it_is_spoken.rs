//! With `h2c: true`, HTTP/2 is spoken with the backend as well: all requests share a connection, and under
//! PROXY all of one client's.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use crate::{
    common::tls::NAME,
    curl::{VERSIONS, get},
    h2::{DATA, END_HEADERS, END_STREAM, H2, HEADERS, RST_STREAM, SETTINGS, frame, request},
    servers::Nginx,
    stage::{Stage, at},
};

/// What nginx says of a request: the version, the connection that it came by, and whose that is.
const SAYS: &str = "\"$server_protocol $connection $proxy_protocol_port $http_x_forwarded_for $host $request_method $content_length\"";

fn nginx(listen: &str) -> Nginx {
    Nginx::start(&format!("listen unix:$folder/h2c {listen}; location / {{ return 200 {SAYS}; }}"))
}

fn words(body: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(body).split(' ').map(str::to_owned).collect()
}

#[test]
fn one_connection_for_all() {
    let (stage, nginx) = (Stage::set(), nginx("http2"));
    let front = stage.front(&format!("{}, h2c: true", nginx.beside("h2c")), "");
    let mut connections = Vec::new();
    for version in [VERSIONS, VERSIONS].concat() {
        let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let said = words(&answer.body);
        assert_eq!(
            (said[0].as_str(), said[3].as_str(), said[4].as_str()),
            ("HTTP/2.0", "127.0.0.1", NAME)
        );
        assert_eq!(said[5], "GET");
        connections.push(said[1].clone());
    }
    connections.dedup();
    assert_eq!(connections.len(), 1, "{connections:?}");
    // A WebSocket has no way there: it stays HTTP.
    let more = ["--http1.1", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket"];
    assert_eq!(get(&stage, front.address(0), &format!("{NAME}:PORT/"), &more).status, 200);
}

#[test]
fn one_for_each_client_under_proxy() {
    let (stage, nginx) = (Stage::set(), nginx("http2 proxy_protocol"));
    let front = stage.front(&format!("{}, h2c: true, identity: proxy-v2", nginx.beside("h2c")), "");
    for _ in 0..2 {
        let mut client = H2::enter(&stage, &front);
        let mut streams = 0;
        for n in 0..5_u32 {
            client.ask(2 * n + 1, &request("GET", "/"), &[], END_STREAM);
        }
        let port = client.0.sock.local_addr().unwrap().port().to_string();
        let mut connections = Vec::new();
        while streams < 5 {
            let frame = client.next().expect("it lives");
            if frame.kind == DATA && !frame.payload.is_empty() {
                let said = words(&frame.payload);
                assert_eq!((said[0].as_str(), said[2].as_str()), ("HTTP/2.0", port.as_str()));
                connections.push(said[1].clone());
                streams += 1;
            }
        }
        connections.dedup();
        assert_eq!(connections.len(), 1, "five streams, one connection: {connections:?}");
    }
}

#[test]
fn an_answer_that_is_reset_is_not_whole() {
    let stage = Stage::set();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = at(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || breaks_off(stream));
        }
    });
    let front = stage.front(&format!("{backend}, h2c: true"), "");
    for version in VERSIONS {
        let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
        assert!(answer.exit != 0 && [0, 200].contains(&answer.status), "{answer:?}");
    }
}

/// Answers a request with half of something, and resets the stream with NO_ERROR: that is an end only
/// behind a whole answer (RFC 9113 §8.1).
fn breaks_off(mut stream: TcpStream) -> Option<()> {
    // The preface.
    stream.read_exact(&mut [0; 24]).ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).ok()?;
    let mut head = [0; 9];
    while head[3] != HEADERS {
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).ok()?;
    }
    let answer = [
        frame(HEADERS, END_HEADERS, 1, &[0x88]),
        frame(DATA, 0, 1, b"half of it"),
        frame(RST_STREAM, 0, 1, &[0; 4]),
    ];
    stream.write_all(&answer.concat()).ok()?;
    std::io::copy(&mut stream, &mut std::io::sink()).ok().map(drop)
}
