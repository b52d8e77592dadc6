//! The PROXY protocol as a server reads it, versions 1 and 2: what a front before us says of its
//! client. HAProxy's `proxy-protocol.txt`, section 2.
//!
//! The reader is fed with what a socket shows, and says how much of that is the header's. It never
//! claims an octet behind the header: what comes there is TLS, or a command.

mod tls;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr};

use super::TlsFacts;

/// What a front before us says of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Where the client comes from, and where it came to. `None`: the front speaks for itself, or of
    /// a client without an internet address, so the connection's own addresses count.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// The front's name for this connection (`PP2_TYPE_UNIQUE_ID`), if it can be shown.
    pub id: Option<String>,
    /// Fronts of our kind that the client had passed when this one spoke.
    pub hops: u8,
    /// What the client agreed on with the front, where its TLS ends there: then it is in clear with us, and
    /// inside TLS all the same.
    pub tls: Option<Box<TlsFacts>>,
}

/// The type of a TLV of our own, of those that section 2.2.7 leaves to everybody: one octet, the
/// number of fronts before the sender that speak the PROXY protocol. Without it, there was none.
///
/// A front whose backend is itself would call itself for ever; the number ends it.
pub const HOPS: u8 = 0xE7;

/// Who has passed so many fronts goes in a circle.
pub const MOST_HOPS: u8 = 5;

/// The most octets that are read of a header of version 2, without the first sixteen. HAProxy and
/// Amazon's balancers send a few hundred.
const LONGEST_BLOCK: usize = 4 << 10;

/// Reads one header, in as many pieces as it comes.
#[derive(Debug, Default)]
pub struct Reader {
    seen: Vec<u8>,
}

/// How far a [`Reader`] has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// All octets were the header's, and there are more to come.
    More,
    /// So many octets were, and with them it is whole.
    Whole(usize, Announced),
}

impl Reader {
    /// Takes what belongs to the header from the front of these octets.
    pub fn feed(&mut self, octets: &[u8]) -> Result<Read, Wrong> {
        let mut rest = octets;
        while let [first, ..] = rest {
            let wanted = match self.version() {
                None => 1,
                Some(Version::One) => v1::wanted(&self.seen, rest),
                Some(Version::Two) => v2::wanted(&self.seen)?,
            };
            let (taken, behind) = rest.split_at(wanted.clamp(1, rest.len()));
            if self.version().is_none() {
                self.begin(*first)?;
            } else {
                self.seen.extend_from_slice(taken);
            }
            rest = behind;
            if let Some(announced) = self.whole()? {
                return Ok(Read::Whole(octets.len() - rest.len(), announced));
            }
        }
        Ok(Read::More)
    }

    /// How many octets of the header there are so far.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.seen.len()
    }

    fn version(&self) -> Option<Version> {
        match &self.seen[..] {
            seen if seen.starts_with(v1::SIGNATURE) => Some(Version::One),
            seen if seen.starts_with(v2::SIGNATURE) => Some(Version::Two),
            _ => None,
        }
    }

    /// The next octet of a signature; or it is none.
    fn begin(&mut self, octet: u8) -> Result<(), Wrong> {
        self.seen.push(octet);
        let is_begun =
            v1::SIGNATURE.starts_with(&self.seen) || v2::SIGNATURE.starts_with(&self.seen);
        if is_begun { Ok(()) } else { Err(Wrong::NoHeader(self.seen[0])) }
    }

    fn whole(&self) -> Result<Option<Announced>, Wrong> {
        let whole = match self.version() {
            None => None,
            Some(Version::One) => v1::parse(&self.seen)?,
            Some(Version::Two) => v2::parse(&self.seen)?,
        };
        match whole {
            Some(announced) if announced.hops >= MOST_HOPS => Err(Wrong::Circle(announced.hops)),
            whole => Ok(whole),
        }
    }
}

enum Version {
    One,
    Two,
}

/// Addresses as we compare and show them: a v4-mapped one is the IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What is wrong with a header. The connection is closed: whoever guessed on would let clients
/// write their own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Section 2.2: fewer octets than its family's addresses take.
    Addresses {
        /// The octet of family and transport.
        family: u8,
        /// How many there are.
        octets: usize,
    },
    /// `PP2_TYPE_CRC32C` is another than the header's.
    Checksum,
    /// It has gone through so many fronts.
    Circle(u8),
    /// Section 2.2 knows commands 0 and 1.
    Command(u8),
    /// An octet of family and transport that section 2.2 does not know.
    Family(u8),
    /// A line of version 1 that section 2.1 does not allow.
    Line(&'static str),
    /// It begins with this octet, which no header does.
    NoHeader(u8),
    /// A TLV is longer than what is left of the header, or has a length that its kind cannot have.
    Tlv(u8),
    /// Version 1: no line end in 107 octets. Version 2: a block of so many.
    TooLong(usize),
    /// Section 2.2: another version than 2.
    Version(u8),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { family, octets } => {
                write!(f, "{octets} octets are too few for addresses of family {family:#04x}")
            }
            Self::Checksum => f.write_str("its CRC-32C is wrong: it was damaged on its way"),
            Self::Circle(hops) => {
                write!(f, "it has gone through {hops} fronts, so one of them is its own backend")
            }
            Self::Command(command) => write!(f, "there is no command {command}"),
            Self::Family(family) => write!(f, "there is no family {family:#04x}"),
            Self::Line(why) => f.write_str(why),
            Self::NoHeader(first) => write!(f, "{}", no_header(*first)),
            Self::Tlv(kind) => write!(f, "TLV {kind:#04x} has a length that cannot be"),
            Self::TooLong(octets) => write!(f, "it is too long: {octets} octets"),
            Self::Version(version) => write!(f, "there is no version {version}"),
        }
    }
}

impl std::error::Error for Wrong {}

/// RFC 8446 §5.1: what a handshake begins with.
const HANDSHAKE: u8 = 22;

fn no_header(first: u8) -> String {
    let begins = match first {
        HANDSHAKE => "with TLS".to_owned(),
        other => format!("with \"{}\"", other.escape_ascii()),
    };
    format!(
        "it begins {begins}: either it has to send one (HAProxy: send-proxy-v2), or proxy_from should not name it"
    )
}
