//! The PROXY protocol, version 1: section 2.1 of HAProxy's `proxy-protocol.txt`. A line of text, for
//! backends that do not read version 2. It tells the two addresses and nothing of TLS.

use std::net::{IpAddr, Ipv6Addr};

use super::Facts;

/// The line that says who the client is: 107 octets at the most.
#[must_use]
pub fn header(facts: &Facts) -> Vec<u8> {
    let ports = (facts.peer.port(), facts.local.port());
    match (facts.peer.ip().to_canonical(), facts.local.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            format!("PROXY TCP4 {from} {to} {} {}\r\n", ports.0, ports.1)
        }
        (from, to) => {
            format!("PROXY TCP6 {} {} {} {}\r\n", v6(from), v6(to), ports.0, ports.1)
        }
    }
    .into_bytes()
}

/// The line for a connection of our own: the specification has no better word for a health check.
#[must_use]
pub fn local() -> Vec<u8> {
    b"PROXY UNKNOWN\r\n".to_vec()
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::facts;

    #[track_caller]
    fn says(peer: &str, local: &str, line: &str) {
        assert_eq!(String::from_utf8(header(&facts(peer, local, None))).unwrap(), line);
    }

    #[test]
    fn x2_addresses_in_their_family_to_the_octet() {
        says(
            "192.0.2.1:4660",
            "198.51.100.2:143",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4660 143\r\n",
        );
        says("[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
        says(
            "[::ffff:192.0.2.1]:1",
            "[::ffff:192.0.2.2]:2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        );
        says("192.0.2.1:1", "[2001:db8::2]:2", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n");
    }

    #[test]
    fn it_is_never_longer_than_a_receiver_reads() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert!(header(&facts(longest, longest, None)).len() <= 107);
    }
}
