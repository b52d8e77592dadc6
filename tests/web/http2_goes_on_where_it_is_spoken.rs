//! With `h2c: true`, HTTP/2 is spoken with the backend as well: requests share connections, and under PROXY
//! those of one client do.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
};

use crate::{
    common::{front::PATIENCE, tls::NAME},
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
    // With NO_ERROR, that is an end only behind a whole answer (RFC 9113 §8.1).
    let (stage, backend) = (Stage::set(), Backend::start(&[], |_, _, stream| half(stream)));
    let front = stage.front(&format!("{}, h2c: true", at(backend.address)), "");
    for version in VERSIONS {
        let answer = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
        assert!(answer.exit != 0 && [0, 200].contains(&answer.status), "{answer:?}");
    }
}

fn half(stream: u32) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, &[0x88]);
    let reset = frame(RST_STREAM, 0, stream, &[0; 4]);
    [head, frame(DATA, 0, stream, b"half of it"), reset].concat()
}

fn ok(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88])
}

#[test]
fn one_that_is_full_is_not_the_only_one() {
    // It takes one request at a time (RFC 9113 §6.5.2), and never answers the first.
    const ONE: &[u8] = &[0, 3, 0, 0, 0, 1];
    let backend = Backend::start(ONE, |n, _, stream| if n == 0 { Vec::new() } else { ok(stream) });
    let stage = Stage::set();
    let front = stage.front(&format!("{}, h2c: true", at(backend.address)), "");
    let mut waits = H2::enter(&stage, &front);
    waits.ask(1, &request("GET", "/"), &[], END_STREAM);
    assert_eq!(backend.asked.recv_timeout(PATIENCE), Ok(0));
    let mut other = H2::enter(&stage, &front);
    other.ask(1, &request("GET", "/"), &[], END_STREAM);
    assert_eq!(other.outcome(1), Some(Ok(200)));
    assert_eq!(backend.asked.recv_timeout(PATIENCE), Ok(1));
}

#[test]
fn one_that_refuses_is_left_for_another() {
    // REFUSED_STREAM from the second request on.
    let refused = |stream| frame(RST_STREAM, 0, stream, &7_u32.to_be_bytes());
    let backend =
        Backend::start(&[], move |_, k, stream| if k == 0 { ok(stream) } else { refused(stream) });
    let stage = Stage::set();
    let front = stage.front(&format!("{}, h2c: true", at(backend.address)), "");
    let mut client = H2::enter(&stage, &front);
    for n in 0..4 {
        client.ask(2 * n + 1, &request("GET", "/"), &[], END_STREAM);
        assert_eq!(client.outcome(2 * n + 1), Some(Ok(200)), "{n}");
    }
}

#[test]
fn who_takes_nothing_keeps_nobody_else_waiting() {
    let (stage, nginx) = (Stage::set(), Nginx::start("listen unix:$folder/h2c http2;"));
    nginx.put("big", vec![b'x'; 2_000_000]);
    nginx.put("index.html", "<p>hello");
    let front = stage.front(&format!("{}, h2c: true", nginx.beside("h2c")), "");
    let mut deaf = H2::enter(&stage, &front);
    for n in 0..90 {
        deaf.ask(2 * n + 1, &request("GET", "/big"), &[], END_STREAM);
    }
    // All are under way once the last has its head.
    let mut heads = 0;
    while heads < 90 {
        heads += usize::from(deaf.next().expect("it lives").kind == HEADERS);
    }
    for version in VERSIONS {
        let page = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &[version]);
        assert_eq!((page.status, page.body.as_slice()), (200, b"<p>hello".as_slice()));
    }
}

/// A backend that answers each request with frames.
struct Backend {
    address: SocketAddr,
    /// The connections that requests have come by, each told once its SETTINGS are known in front.
    asked: Receiver<usize>,
}

impl Backend {
    /// `answer`: of the connection, the request on it, and its stream.
    fn start(
        settings: &'static [u8],
        answer: impl Fn(usize, usize, u32) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = channel();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            // The front's own looks say nothing.
            let says = |stream: &TcpStream| stream.peek(&mut [0]).is_ok_and(|octets| octets > 0);
            let streams = listener.incoming().map_while(Result::ok).filter(says);
            for (n, stream) in streams.enumerate() {
                let (tell, answer) = (tell.clone(), answer.clone());
                std::thread::spawn(move || {
                    serve(stream, settings, |k, s| answer(n, k, s), || tell.send(n))
                });
            }
        });
        Self { address, asked }
    }
}

fn serve<T>(
    mut stream: TcpStream,
    settings: &[u8],
    answer: impl Fn(usize, u32) -> Vec<u8>,
    tell: impl Fn() -> T,
) -> Option<()> {
    // The preface.
    stream.read_exact(&mut [0; 24]).ok()?;
    stream.write_all(&frame(SETTINGS, 0, 0, settings)).ok()?;
    let (mut requests, mut is_known, mut told) = (Vec::new(), false, 0);
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).ok()?;
        is_known |= head[3] == SETTINGS && head[4] == 1;
        if head[3] == HEADERS {
            requests.push(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        }
        for (k, id) in requests.iter().enumerate().skip(told).filter(|_| is_known) {
            told = k + 1;
            tell();
            stream.write_all(&answer(k, *id)).ok()?;
        }
    }
}
