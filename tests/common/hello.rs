//! A ClientHello put together by hand, for what no TLS library would send; and what a server answers.

use super::peer::{Bytes, Peer};

/// A ClientHello of TLS 1.2, whose answer is in clear (RFC 5246 §7.4.1.2).
#[derive(Clone)]
pub struct Hello {
    version: u16,
    name: Option<Vec<u8>>,
    alpn: Vec<&'static str>,
    schemes: Vec<u16>,
}

impl Default for Hello {
    fn default() -> Self {
        // ECDSA and RSA with SHA-256: RFC 8446 §4.2.3.
        Self {
            version: 0x0303,
            name: None,
            alpn: Vec::new(),
            schemes: vec![0x0403, 0x0804, 0x0401],
        }
    }
}

impl Hello {
    /// Speaks no newer version than this.
    pub fn version(mut self, version: u16) -> Self {
        self.version = version;
        self
    }

    /// These octets as the host name (RFC 6066 §3), whatever they are.
    pub fn asking(mut self, name: impl AsRef<[u8]>) -> Self {
        self.name = Some(name.as_ref().to_vec());
        self
    }

    pub fn alpn(mut self, ids: &[&'static str]) -> Self {
        self.alpn = ids.to_vec();
        self
    }

    /// Can verify these signatures only (RFC 8446 §4.2.3).
    pub fn schemes(mut self, schemes: &[u16]) -> Self {
        self.schemes = schemes.to_vec();
        self
    }

    /// The whole record.
    pub fn record(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        if let Some(name) = &self.name {
            let entry = [&[0], prefixed::<2>(name).as_slice()].concat();
            extend(&mut extensions, 0, &prefixed::<2>(&entry));
        }
        // X25519, P-256.
        extend(&mut extensions, 10, &prefixed::<2>(&[0, 29, 0, 23]));
        extend(&mut extensions, 11, &prefixed::<1>(&[0]));
        let schemes: Vec<u8> = self.schemes.iter().flat_map(|s| s.to_be_bytes()).collect();
        extend(&mut extensions, 13, &prefixed::<2>(&schemes));
        if !self.alpn.is_empty() {
            let ids: Vec<u8> =
                self.alpn.iter().flat_map(|id| prefixed::<1>(id.as_bytes())).collect();
            extend(&mut extensions, 16, &prefixed::<2>(&ids));
        }
        extend(&mut extensions, 23, &[]); // extended master secret: RFC 7627
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([7; 32]); // "random"
        body.push(0); // no session
        // ECDHE with ECDSA and RSA: AES-128-GCM, and the signal of RFC 5746.
        body.extend(prefixed::<2>(&[0xc0, 0x2b, 0xc0, 0x2f, 0x00, 0xff]));
        body.extend([1, 0]); // no compression
        body.extend(prefixed::<2>(&extensions));
        let message = [&[1], prefixed::<3>(&body).as_slice()].concat();
        [&[22, 3, 1], prefixed::<2>(&message).as_slice()].concat()
    }
}

fn extend(extensions: &mut Vec<u8>, kind: u16, data: &[u8]) {
    extensions.extend(kind.to_be_bytes());
    extensions.extend(prefixed::<2>(data));
}

/// With its length in front, in so many octets.
fn prefixed<const N: usize>(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_be_bytes();
    [&length[8 - N..], data].concat()
}

/// What a server answers to a ClientHello.
#[derive(Debug)]
pub enum Answer {
    /// An alert, by its number (RFC 8446 §6).
    Alert(u8),
    /// A ServerHello with these extensions, and these certificates.
    Flight { extensions: Vec<(u16, Vec<u8>)>, certificates: Vec<Vec<u8>> },
    /// The end of the stream.
    End,
}

impl Answer {
    /// Reads up to an alert, the certificates, or the end.
    pub fn read<S: Bytes>(peer: &mut Peer<S>) -> Self {
        let (mut messages, mut extensions) = (Vec::new(), Vec::new());
        loop {
            let mut head = [0; 5];
            if peer.0.read_exact(&mut head).is_err() {
                return Self::End;
            }
            let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
            if peer.0.read_exact(&mut record).is_err() {
                return Self::End;
            }
            match head[0] {
                21 => return Self::Alert(record[1]),
                22 => messages.extend(record),
                other => panic!("a record of type {other}"),
            }
            while let Some((kind, body)) = message(&mut messages) {
                match kind {
                    2 => extensions = server_hello(&body),
                    11 => return Self::Flight { extensions, certificates: certificates(&body) },
                    other => panic!("a handshake message of type {other}"),
                }
            }
        }
    }

    /// The leaf that was shown.
    #[track_caller]
    pub fn leaf(&self) -> &[u8] {
        match self {
            Self::Flight { certificates, .. } => &certificates[0],
            other => panic!("no certificate: {other:?}"),
        }
    }
}

fn number(octets: &[u8]) -> usize {
    octets.iter().fold(0, |n, b| n << 8 | usize::from(*b))
}

/// The first whole handshake message.
fn message(messages: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let end = 4 + number(messages.get(1..4)?);
    if messages.len() < end {
        return None;
    }
    let message: Vec<u8> = messages.drain(..end).collect();
    Some((message[0], message[4..].to_vec()))
}

fn server_hello(body: &[u8]) -> Vec<(u16, Vec<u8>)> {
    // Version, random, session, suite, compression.
    let mut rest = &body[34..];
    rest = &rest[1 + usize::from(rest[0]) + 3..];
    let mut extensions = Vec::new();
    rest = rest.get(2..).unwrap_or_default();
    while !rest.is_empty() {
        let end = 4 + number(&rest[2..4]);
        extensions.push((u16::from_be_bytes([rest[0], rest[1]]), rest[4..end].to_vec()));
        rest = &rest[end..];
    }
    extensions
}

fn certificates(body: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &body[3..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let end = 3 + number(&rest[..3]);
        found.push(rest[3..end].to_vec());
        rest = &rest[end..];
    }
    found
}
