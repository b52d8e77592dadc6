//! Version 2, in binary: section 2.2.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Announced, HOPS, LONGEST_BLOCK, Wrong, canonical, tls::Told};
use crate::identity::{
    crc32c::crc32c,
    proxy::{ALPN, AUTHORITY, SSL},
};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length.
const HEAD: usize = 16;

const VERSION: u8 = 2;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;

const UNSPEC: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const UDP_OVER_IPV4: u8 = 0x12;
const TCP_OVER_IPV6: u8 = 0x21;
const UDP_OVER_IPV6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;

/// TLV types of section 2.2.
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;

/// Section 2.2.5: at most so many octets.
const LONGEST_ID: usize = 128;

/// How many octets are missing, as far as is known.
pub(super) fn wanted(seen: &[u8]) -> Result<usize, Wrong> {
    Ok(match head(seen)? {
        Some(head) => HEAD + head.length - seen.len(),
        None => HEAD - seen.len(),
    })
}

/// The header, once it is whole.
pub(super) fn parse(seen: &[u8]) -> Result<Option<Announced>, Wrong> {
    let Some(head) = head(seen)? else { return Ok(None) };
    let block = &seen[HEAD..];
    if block.len() < head.length {
        return Ok(None);
    }
    if head.command == LOCAL {
        // "The receiver … must discard the protocol block."
        return Ok(Some(Announced::default()));
    }
    let short = Wrong::Addresses { family: head.family, octets: block.len() };
    let (addresses, tlvs) = block.split_at_checked(octets(head.family)).ok_or(short)?;
    let mut announced = match understand(&seen[..seen.len() - tlvs.len()], tlvs) {
        Ok(announced) => announced,
        // Of no family, it may have anything there.
        Err(Wrong::Tlv(_)) if head.family == UNSPEC => Announced::default(),
        Err(wrong) => return Err(wrong),
    };
    announced.addresses = match head.family {
        TCP_OVER_IPV4 => ipv4(addresses),
        TCP_OVER_IPV6 => ipv6(addresses),
        // "A receiver … automatically falls back to the UNSPEC mode for the valid combinations that
        // it does not support": there, the connection's own addresses count.
        _ => None,
    };
    // Of whom nothing is known, nothing is known to be inside TLS.
    announced.tls = announced.tls.filter(|_| announced.addresses.is_some());
    Ok(Some(announced))
}

struct Head {
    command: u8,
    family: u8,
    length: usize,
}

/// The fixed part; `None` until it is there.
fn head(seen: &[u8]) -> Result<Option<Head>, Wrong> {
    // What can be refused early is.
    if let Some(octet) = seen.get(12) {
        let (version, command) = (octet >> 4, octet & 0x0F);
        if version != VERSION {
            return Err(Wrong::Version(version));
        }
        if command != LOCAL && command != PROXY {
            return Err(Wrong::Command(command));
        }
    }
    let Some([command, family, high, low]) = seen.get(12..HEAD) else { return Ok(None) };
    let command = command & 0x0F;
    let is_known = matches!(
        *family,
        UNSPEC
            | TCP_OVER_IPV4
            | UDP_OVER_IPV4
            | TCP_OVER_IPV6
            | UDP_OVER_IPV6
            | UNIX_STREAM
            | UNIX_DATAGRAM
    );
    if command == PROXY && !is_known {
        return Err(Wrong::Family(*family));
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > LONGEST_BLOCK {
        return Err(Wrong::TooLong(HEAD + length));
    }
    Ok(Some(Head { command, family: *family, length }))
}

/// How many octets a family's addresses take.
fn octets(family: u8) -> usize {
    match family {
        TCP_OVER_IPV4 | UDP_OVER_IPV4 => 12,
        TCP_OVER_IPV6 | UDP_OVER_IPV6 => 36,
        UNIX_STREAM | UNIX_DATAGRAM => 216,
        _ => 0,
    }
}

fn ipv4(octets: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (from, rest) = octets.split_first_chunk::<4>()?;
    let (to, ports) = rest.split_first_chunk::<4>()?;
    let [from, to] = [*from, *to].map(|ip| Ipv4Addr::from(ip).into());
    both([from, to], ports)
}

fn ipv6(octets: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (from, rest) = octets.split_first_chunk::<16>()?;
    let (to, ports) = rest.split_first_chunk::<16>()?;
    let [from, to] = [*from, *to].map(|ip| Ipv6Addr::from(ip).into());
    both([from, to], ports)
}

fn both([from, to]: [std::net::IpAddr; 2], ports: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let [a, b, c, d] = *ports else { return None };
    let at = |ip, port| canonical(SocketAddr::new(ip, u16::from_be_bytes(port)));
    Some((at(from, [a, b]), at(to, [c, d])))
}

/// What the TLVs say that is of any use here. `before`: the header up to them.
fn understand(before: &[u8], tlvs: &[u8]) -> Result<Announced, Wrong> {
    let (mut announced, mut told) = (Announced::default(), Told::default());
    let (mut rest, mut checked) = (tlvs, false);
    while let [kind, after @ ..] = rest {
        let wrong = Wrong::Tlv(*kind);
        let (length, after) = after.split_first_chunk::<2>().ok_or(wrong.clone())?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, behind) = after.split_at_checked(length).ok_or(wrong.clone())?;
        match *kind {
            CRC32C => {
                let sum = <[u8; 4]>::try_from(value).map_err(|_| wrong.clone())?;
                // With two, nobody could say what the other one was summed up as.
                if std::mem::replace(&mut checked, true) {
                    return Err(wrong);
                }
                // Section 2.2.3: over the whole header, in which the sum itself is zero.
                let upto = &tlvs[..tlvs.len() - behind.len() - value.len()];
                if crc32c([before, upto, &[0; 4], behind]) != u32::from_be_bytes(sum) {
                    return Err(Wrong::Checksum);
                }
            }
            UNIQUE_ID => announced.id = id(value),
            HOPS => {
                // Whoever adds a second one does not get around the first.
                if let [hops] = value {
                    announced.hops = announced.hops.max(*hops);
                }
            }
            ALPN => told.alpn = value,
            AUTHORITY => told.authority = value,
            SSL => told.ssl = value,
            // What others have made up.
            _ => {}
        }
        rest = behind;
    }
    announced.tls = told.facts().map(Box::new);
    Ok(announced)
}

/// It goes into our log, so it has to be fit for that.
fn id(value: &[u8]) -> Option<String> {
    let is_fit = (1..=LONGEST_ID).contains(&value.len());
    let shown = || {
        if value.iter().all(u8::is_ascii_graphic) {
            return value.iter().copied().map(char::from).collect();
        }
        value.iter().map(|octet| format!("{octet:02x}")).collect()
    };
    is_fit.then(shown)
}
