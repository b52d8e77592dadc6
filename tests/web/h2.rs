//! A client that writes each frame of HTTP/2 itself (RFC 9113 §4.1), with header blocks in HPACK's
//! plainest form (RFC 7541 §6.2.2).

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use rustls::{ClientConnection, StreamOwned};

use crate::{
    common::{front::Front, peer::connect},
    stage::Stage,
};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A connection after the preface.
pub(crate) struct H2(pub(crate) StreamOwned<ClientConnection, TcpStream>);

/// A frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl H2 {
    /// Shakes hands with the first listener and says hello.
    pub(crate) fn enter(stage: &Stage, front: &Front) -> Self {
        let peer = stage.client(&["h2"]).shake(connect(front.address(0))).expect("a handshake");
        let mut h2 = Self(peer.0);
        h2.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("it reads");
        h2.send(SETTINGS, 0, 0, &[]);
        h2
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        assert!(self.try_send(kind, flags, stream, payload), "the front reads");
    }

    /// Whether the front has taken it.
    pub(crate) fn try_send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload))
    }

    fn write(&mut self, octets: &[u8]) -> bool {
        self.0.write_all(octets).and_then(|()| self.0.flush()).is_ok()
    }

    /// Asks for something.
    pub(crate) fn ask(
        &mut self,
        stream: u32,
        fields: &[(&str, &str)],
        more: &[(&str, &str)],
        flags: u8,
    ) {
        let block = block(&[fields, more].concat());
        self.send(HEADERS, END_HEADERS | flags, stream, &block);
    }

    /// Asks with all of a body, in one TLS record: the front hears of both at once.
    pub(crate) fn ask_whole(
        &mut self,
        stream: u32,
        fields: &[(&str, &str)],
        more: &[(&str, &str)],
        body: &[u8],
    ) {
        let head = frame(HEADERS, END_HEADERS, stream, &block(&[fields, more].concat()));
        let body = frame(DATA, END_STREAM, stream, body);
        assert!(self.write(&[head, body].concat()), "the front reads");
    }

    /// The next frame; `None`: the front has closed.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == SETTINGS && frame.flags & 1 == 0 {
            let _ = self.try_send(SETTINGS, 1, 0, &[]);
        }
        Some(frame)
    }

    /// What becomes of a stream: its status, or the code it is reset with; `None`: the connection ends.
    pub(crate) fn outcome(&mut self, stream: u32) -> Option<Result<u16, u32>> {
        loop {
            let frame = self.next()?;
            match frame.kind {
                HEADERS if frame.stream == stream => return Some(Ok(status(&frame.payload))),
                RST_STREAM if frame.stream == stream => return Some(Err(code(&frame.payload))),
                GOAWAY => return None,
                _ => {}
            }
        }
    }
}

/// RFC 9113 §4.1.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short one").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().expect("four octets"))
}

/// The usual fields of a request.
pub(crate) fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", "mail.example.org"),
        (":path", path),
    ]
}

/// Fields as literals without indexing.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            number(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 §5.1, with a prefix of seven bits.
fn number(mut n: usize, out: &mut Vec<u8>) {
    if n < 127 {
        out.push(n as u8);
        return;
    }
    out.push(127);
    n -= 127;
    while n >= 128 {
        out.push((n % 128 + 128) as u8);
        n /= 128;
    }
    out.push(n as u8);
}

/// The status in the first field of a block: one of the static table, or a literal behind its name.
fn status(block: &[u8]) -> u16 {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let at = block.iter().position(|b| b & 0xe0 != 0x20).expect("a field");
    match block[at] {
        indexed @ 0x88..=0x8e => STATIC[usize::from(indexed - 0x88)],
        // With the name from the static table, and the value in Huffman's code or plain.
        _ => {
            let length = block[at + 1];
            let value = &block[at + 2..at + 2 + usize::from(length & 0x7f)];
            if length & 0x80 == 0 {
                return std::str::from_utf8(value).unwrap().parse().unwrap();
            }
            // RFC 7541 Appendix B: of digits, 0 to 2 take five bits, the others six.
            let bits: String = value.iter().map(|b| format!("{b:08b}")).collect();
            let (mut rest, mut status) = (bits.as_str(), 0);
            for _ in 0..3 {
                let short = u16::from_str_radix(&rest[..5], 2).unwrap();
                let digit = if short < 3 {
                    rest = &rest[5..];
                    short
                } else {
                    let long = u16::from_str_radix(&rest[..6], 2).unwrap();
                    rest = &rest[6..];
                    long - 0b01_1001 + 3
                };
                status = status * 10 + digit;
            }
            status
        }
    }
}
