//! The PROXY v2 header that begins a connection (PROXY protocol spec §2.2).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest address and TLV block that we read; the front sends a few hundred octets.
const MAX_BLOCK: usize = 4096;
/// The header comes with the first segment, so a peer that waits is not a front.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the front said about the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// `None` when the front spoke for itself (LOCAL), or of a family that we do not know.
    pub(super) address: Option<SocketAddr>,
    /// The TLS version by name, if the client came over TLS.
    pub(super) tls: Option<String>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{address}")?,
            None => f.write_str("the front itself")?,
        }
        match &self.tls {
            Some(version) => write!(f, " over {version}"),
            None => f.write_str(" without TLS"),
        }
    }
}

/// Reads the header, if there is one, and not one byte more. If there is none, gives back the few
/// bytes that showed it.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(Option<Peer>, BytesMut), io::Error> {
    let reading = async {
        let mut begun = BytesMut::new();
        for byte in SIGNATURE {
            // One at a time: who speaks another protocol may wait for us after fewer than twelve.
            begun.put_u8(stream.read_u8().await?);
            if begun.last() != Some(byte) {
                return Ok((None, begun));
            }
        }
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        // Spec §2.2: version 2 in the high nibble; LOCAL is 0 and PROXY 1 in the low one.
        if head[0] >> 4 != 2 || length > MAX_BLOCK {
            return Err(refused());
        }
        let mut block = vec![0; length];
        stream.read_exact(&mut block).await?;
        let peer = understand(head[0] & 0xF, head[1], &block).ok_or_else(refused)?;
        Ok((Some(peer), BytesMut::new()))
    };
    tokio::time::timeout(PATIENCE, reading).await?
}

/// Not what has to come first.
pub(super) fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no valid PROXY v2 header")
}

fn understand(command: u8, family: u8, block: &[u8]) -> Option<Peer> {
    let (address, tlvs) = match (command, family) {
        (0, _) => return Some(Peer { address: None, tls: None }),
        (1, 0x11) => {
            let (fixed, tlvs) = block.split_first_chunk::<12>()?;
            let ip = Ipv4Addr::new(fixed[0], fixed[1], fixed[2], fixed[3]);
            (Some((IpAddr::V4(ip), [fixed[8], fixed[9]])), tlvs)
        }
        (1, 0x21) => {
            let (fixed, tlvs) = block.split_first_chunk::<36>()?;
            let ip = Ipv6Addr::from(*fixed.first_chunk::<16>()?);
            (Some((IpAddr::V6(ip), [fixed[32], fixed[33]])), tlvs)
        }
        (1, 0x00) => (None, block),
        _ => return None,
    };
    let address = address.map(|(ip, port)| SocketAddr::new(ip, u16::from_be_bytes(port)));
    // Spec §2.2.6: type 0x20 holds client bits, a verify word, then TLVs of its own, of which
    // 0x21 is the version.
    let tls = tlv(tlvs, 0x20).filter(|ssl| ssl.first().is_some_and(|bits| bits & 1 == 1));
    let tls = tls.map(|ssl| {
        let version = ssl.get(5..).and_then(|rest| tlv(rest, 0x21)).unwrap_or(b"TLS");
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b".- ".contains(b);
        version.iter().copied().filter(plain).take(16).map(char::from).collect()
    });
    Some(Peer { address, tls })
}

fn tlv(mut rest: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [kind, high, low, after @ ..] = rest {
        let (value, next) = after.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
        if *kind == wanted {
            return Some(value);
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1F\xCB\0\x71\x09\x7F\0\0\x01\x12\x34\x03\xE1\
        \x20\0\x10\x01\0\0\0\0\x21\0\x08TLSv1.3\x07* OK";

    #[tokio::test]
    async fn the_header_is_read_and_nothing_after_it() {
        let mut input = PROXY;
        let (peer, begun) = read(&mut input).await.unwrap();
        assert!(begun.is_empty());
        assert_eq!(peer.unwrap().to_string(), "203.0.113.9:4660 over TLSv1.3");
        assert_eq!(input, b"* OK");
    }

    #[tokio::test]
    async fn other_openings_are_told_or_refused() {
        for other in ["PROXY TCP4 203.0.113.9 ", "\r\nGET / ", "\r\n\r\n\0\r\nQUIT\r\n"] {
            let mut input = other.as_bytes();
            let (peer, begun) = read(&mut input).await.unwrap();
            assert_eq!((peer, [&*begun, input].concat()), (None, other.into()));
        }
        for mut input in [
            b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0".as_slice(),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0B12345678901",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF",
        ] {
            assert!(read(&mut input).await.is_err());
        }
    }
}
