//! With `h2c: true`, HTTP/2 is spoken with the backend as well: all requests share a connection, and under
//! PROXY all of one client's.

use crate::{
    common::tls::NAME,
    curl::{VERSIONS, get},
    h2::{END_STREAM, H2, request},
    servers::Nginx,
    stage::Stage,
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
            if frame.kind == crate::h2::DATA && !frame.payload.is_empty() {
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
