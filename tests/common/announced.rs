//! PROXY headers as a front before us sends them, put together by hand: right ones and wrong ones.

use std::net::{IpAddr, SocketAddr};

pub const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

pub const LOCAL: u8 = 0x20;
pub const PROXY: u8 = 0x21;
pub const UNSPEC: u8 = 0x00;
pub const TCP4: u8 = 0x11;
pub const UDP4: u8 = 0x12;
pub const TCP6: u8 = 0x21;
pub const UNIX: u8 = 0x31;

/// Version 1.
pub fn v1(from: &str, to: &str) -> Vec<u8> {
    let [from, to]: [SocketAddr; 2] = [from, to].map(|a| a.parse().expect("an address"));
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let (a, b) = (from.ip(), to.ip());
    format!("PROXY {family} {a} {b} {} {}\r\n", from.port(), to.port()).into_bytes()
}

/// Version 2, with these TLVs.
pub fn v2(from: &str, to: &str, tlvs: &[u8]) -> Vec<u8> {
    let [from, to]: [SocketAddr; 2] = [from, to].map(|a| a.parse().expect("an address"));
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let block = [octets(from.ip()), octets(to.ip()), ports, tlvs.to_vec()].concat();
    raw(PROXY, if from.is_ipv4() { TCP4 } else { TCP6 }, &block)
}

/// Version 2, of whatever it is made.
pub fn raw(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("it fits").to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

pub fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("it fits").to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}
