//! Version 1, a line of text: section 2.1.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Announced, Wrong, canonical};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line, with its end.
const LONGEST: usize = 107;

/// How many of these octets belong to the line: all up to its end, or as many as it may have.
pub(super) fn wanted(seen: &[u8], rest: &[u8]) -> usize {
    let end = rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |at| at + 1);
    end.min(LONGEST.saturating_sub(seen.len()))
}

/// The line, once it is whole.
pub(super) fn parse(seen: &[u8]) -> Result<Option<Announced>, Wrong> {
    let Some(line) = seen.strip_suffix(b"\n") else {
        return if seen.len() < LONGEST { Ok(None) } else { Err(Wrong::TooLong(seen.len())) };
    };
    let line = line.strip_suffix(b"\r").ok_or(Wrong::Line("its line does not end in CRLF"))?;
    let line = line.strip_prefix(SIGNATURE).unwrap_or(line);
    let words = || {
        // No address and no port has anything but ASCII in it.
        let text = std::str::from_utf8(line).ok()?;
        let words: Vec<&str> = text.split(' ').collect();
        <[&str; 5]>::try_from(words).ok()
    };
    match line.split(|octet| *octet == b' ').next() {
        // "The receiver must ignore anything presented before the CRLF."
        Some(b"UNKNOWN") => Ok(Some(Announced::default())),
        Some(b"TCP4") => {
            let [_, from, to, from_port, to_port] = words().ok_or(FIELDS)?;
            let from = socket(from.parse::<Ipv4Addr>().ok(), from_port)?;
            let to = socket(to.parse::<Ipv4Addr>().ok(), to_port)?;
            Ok(Some(announced(from, to)))
        }
        Some(b"TCP6") => {
            let [_, from, to, from_port, to_port] = words().ok_or(FIELDS)?;
            let from = socket(from.parse::<Ipv6Addr>().ok(), from_port)?;
            let to = socket(to.parse::<Ipv6Addr>().ok(), to_port)?;
            Ok(Some(announced(from, to)))
        }
        _ => Err(Wrong::Line("its protocol is none of TCP4, TCP6 and UNKNOWN")),
    }
}

const FIELDS: Wrong =
    Wrong::Line("it does not have two addresses and two ports, each behind one space");

fn announced(from: SocketAddr, to: SocketAddr) -> Announced {
    Announced { addresses: Some((canonical(from), canonical(to))), ..Announced::default() }
}

fn socket(ip: Option<impl Into<std::net::IpAddr>>, port: &str) -> Result<SocketAddr, Wrong> {
    let ip = ip.ok_or(Wrong::Line("an address is none of its family"))?;
    Ok(SocketAddr::new(ip.into(), number(port)?))
}

/// "Exactly one string of 1 to 5 digits", without a sign or leading zeros.
fn number(port: &str) -> Result<u16, Wrong> {
    let is_plain = port == "0" || port.starts_with(|c: char| ('1'..='9').contains(&c));
    let number = port.parse().ok().filter(|_| is_plain);
    number.ok_or(Wrong::Line("a port is no number from 0 to 65535"))
}
