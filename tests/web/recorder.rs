//! A backend that keeps each octet which it is sent, and answers what it takes for a request.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use crate::common::front::PATIENCE;

/// What a backend was sent, as it would understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A whole request: its head with the empty line, and its body as it came, chunks and all.
    Request(String, Vec<u8>),
    /// The connection ended in the middle of one.
    Broken(String),
}

impl Seen {
    /// The first line of a whole request.
    pub(crate) fn line(&self) -> &str {
        match self {
            Self::Request(head, _) => head.lines().next().unwrap_or_default(),
            Self::Broken(_) => "(broken)",
        }
    }

    pub(crate) fn head(&self) -> &str {
        match self {
            Self::Request(head, _) | Self::Broken(head) => head,
        }
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.head().to_ascii_lowercase().contains(&format!("\r\n{}", field.to_ascii_lowercase()))
    }
}

/// What it answers a request with; it closes behind what does not say how long it is.
type Script = dyn Fn(&str, &mut TcpStream) -> bool + Send + Sync;

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    seen: Receiver<(usize, Seen)>,
}

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Recorder {
    /// Answers everything with [`OK`].
    pub(crate) fn start() -> Self {
        Self::answering(|_, stream| stream.write_all(OK).is_ok())
    }

    /// Answers so; `false` closes the connection.
    pub(crate) fn answering(
        script: impl Fn(&str, &mut TcpStream) -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (tell, seen) = channel();
        let script: Arc<Script> = Arc::new(script);
        thread::spawn(move || {
            for (n, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
                stream.set_nodelay(true).unwrap();
                let (tell, script) = (tell.clone(), script.clone());
                thread::spawn(move || record(stream, n, &tell, &*script));
            }
        });
        Self { address, seen }
    }

    /// The same, with another address before it.
    pub(crate) fn behind(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// The next thing that it has seen, and on which of its connections. The front's own looks, which
    /// say nothing, do not count.
    pub(crate) fn next(&self) -> (usize, Seen) {
        self.seen.recv_timeout(PATIENCE).expect("the backend is asked")
    }

    /// All that it has seen by now.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.seen.try_iter().map(|(_, seen)| seen).collect()
    }
}

fn record(mut stream: TcpStream, n: usize, tell: &Sender<(usize, Seen)>, script: &Script) {
    let mut inbox = Vec::new();
    loop {
        let head = until(&mut stream, &mut inbox, |i| find(i, b"\r\n\r\n").map(|at| at + 4));
        let Some(head) = head else { break };
        let text = String::from_utf8_lossy(&head).into_owned();
        let lower = text.to_ascii_lowercase();
        let body = if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
            until(&mut stream, &mut inbox, end_of_chunks)
        } else {
            let length = lower
                .split_once("\r\ncontent-length: ")
                .map_or(0, |(_, rest)| rest.split('\r').next().unwrap().parse().expect("a length"));
            until(&mut stream, &mut inbox, |i| (i.len() >= length).then_some(length))
        };
        let Some(body) = body else {
            inbox.splice(0..0, head);
            break;
        };
        let _ = tell.send((n, Seen::Request(text.clone(), body)));
        if !script(&text, &mut stream) {
            return;
        }
    }
    if !inbox.is_empty() {
        let _ = tell.send((n, Seen::Broken(String::from_utf8_lossy(&inbox).into_owned())));
    }
}

/// Takes as much from the stream as `end` says; `None`: the stream ended before.
fn until(
    stream: &mut TcpStream,
    inbox: &mut Vec<u8>,
    end: impl Fn(&[u8]) -> Option<usize>,
) -> Option<Vec<u8>> {
    let mut buffer = [0; 64 << 10];
    loop {
        if let Some(end) = end(inbox) {
            return Some(inbox.drain(..end).collect());
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(octets) => inbox.extend_from_slice(&buffer[..octets]),
        }
    }
}

fn find(inbox: &[u8], what: &[u8]) -> Option<usize> {
    inbox.windows(what.len()).position(|w| w == what)
}

/// Strict: what is not a chunk by the book is none.
fn end_of_chunks(inbox: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(&inbox[at..], b"\r\n")?;
        let size = std::str::from_utf8(&inbox[at..at + line]).expect("a size");
        let size =
            usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("{size:?} is no size"));
        at += line + 2;
        if size == 0 {
            return Some(
                at + find(&inbox[at..], b"\r\n").filter(|end| *end == 0).map_or_else(
                    || find(&inbox[at..], b"\r\n\r\n").map_or(usize::MAX / 2, |end| end + 4),
                    |_| 2,
                ),
            )
            .filter(|end| *end <= inbox.len());
        }
        at += size + 2;
        if at > inbox.len() {
            return None;
        }
    }
}
