//! The PROXY protocol, version 2, read by the letter of its specification and by nobody's library.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
};

/// A header, in its parts.
#[derive(Clone, Debug)]
pub struct Header {
    pub octets: Vec<u8>,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// In the order in which they came.
    pub tlvs: Vec<(u8, Vec<u8>)>,
}

/// TLVs of section 2.2 of the specification.
pub const ALPN: u8 = 0x01;
pub const AUTHORITY: u8 = 0x02;
pub const CRC32C: u8 = 0x03;
pub const UNIQUE_ID: u8 = 0x05;
pub const SSL: u8 = 0x20;
pub const SSL_VERSION: u8 = 0x21;
pub const SSL_CN: u8 = 0x22;
pub const SSL_CIPHER: u8 = 0x23;

impl Header {
    /// Reads what has come in one piece, and that must be the header, whole, and nothing else.
    pub fn first_segment(stream: &mut TcpStream) -> Self {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).expect("a header comes first");
        Self::parse(&buffer[..n])
    }

    /// X1: signature, version and command, family, length; then what the length covers.
    pub fn parse(octets: &[u8]) -> Self {
        assert!(octets.len() >= 16, "too short for a header: {octets:02x?}");
        assert_eq!(&octets[..12], b"\r\n\r\n\0\r\nQUIT\n", "the signature");
        assert_eq!(octets[12], 0x21, "version 2, command PROXY");
        let length = usize::from(u16::from_be_bytes([octets[14], octets[15]]));
        assert_eq!(octets.len(), 16 + length, "the header, whole, and nothing else");
        let body = &octets[16..];
        assert_checksum(octets);
        let (addresses, tlvs) = body.split_at(match octets[13] {
            0x11 => 12,
            0x21 => 36,
            other => panic!("family {other:#x} is not TCP over IPv4 or IPv6"),
        });
        let ip = |at: usize| -> IpAddr {
            if addresses.len() == 12 {
                Ipv4Addr::from(<[u8; 4]>::try_from(&addresses[at * 4..][..4]).unwrap()).into()
            } else {
                Ipv6Addr::from(<[u8; 16]>::try_from(&addresses[at * 16..][..16]).unwrap()).into()
            }
        };
        let ports = &addresses[addresses.len() - 4..];
        let port = |at: usize| u16::from_be_bytes([ports[at * 2], ports[at * 2 + 1]]);
        Self {
            octets: octets.to_vec(),
            source: (ip(0), port(0)).into(),
            destination: (ip(1), port(1)).into(),
            tlvs: tlvs_of(tlvs),
        }
    }

    /// The front's own question after our health: it comes from an address of RFC 5737.
    pub fn is_probe(&self) -> bool {
        self.source.ip() == IpAddr::from([192, 0, 2, 1])
    }

    pub fn tlv(&self, kind: u8) -> Option<&[u8]> {
        let mut found = self.tlvs.iter().filter(|(k, _)| *k == kind);
        let first = found.next().map(|(_, value)| value.as_slice());
        assert!(found.next().is_none(), "{kind:#x} is there twice");
        first
    }

    /// The TLV as text.
    pub fn text(&self, kind: u8) -> Option<&str> {
        self.tlv(kind).map(|value| std::str::from_utf8(value).expect("text"))
    }
}

/// Type, length, value; to the last octet.
pub fn tlvs_of(mut rest: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        assert!(rest.len() >= 3, "half a TLV: {rest:02x?}");
        let end = 3 + usize::from(u16::from_be_bytes([rest[1], rest[2]]));
        assert!(rest.len() >= end, "half a TLV: {rest:02x?}");
        found.push((rest[0], rest[3..end].to_vec()));
        rest = &rest[end..];
    }
    found
}

/// X7: the last TLV is CRC32C (section 2.2.3), right over the whole header with its own octets zeroed; bit by bit, by
/// nobody's table.
fn assert_checksum(octets: &[u8]) {
    let (before, told) = octets.split_at(octets.len() - 4);
    assert!(before.ends_with(&[CRC32C, 0, 4]), "no checksum at the end: {octets:02x?}");
    let mut sum = !0_u32;
    for octet in before.iter().chain(&[0; 4]) {
        sum ^= u32::from(*octet);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    assert_eq!(told, (!sum).to_be_bytes(), "the checksum of {octets:02x?}");
}
