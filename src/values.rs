//! Newtypes that more than one room uses. Each can only hold what its name says.

mod acme;

pub use acme::{
    Acme, Challenge, ExternalAccount, NextKey, OrderedKey, server_name as acme_server_name,
};

use std::{fmt, str::FromStr, time};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// A span of time as the configuration writes it: `10s`, `5m`, `2h`, `250ms`, `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let number: u64 = number.parse().map_err(|_| wrong_duration(text))?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            _ => return Err(wrong_duration(text)),
        };
        // A year is more than any timer here can mean, and keeps sums of instants in range.
        match millis {
            Some(millis @ 1..=31_536_000_000) => Ok(Self(time::Duration::from_millis(millis))),
            _ => Err(format!("`{text}` is out of range: from 1ms to 365d")),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            _ if millis.is_multiple_of(60_000) => write!(f, "{}m", millis / 60_000),
            _ if millis.is_multiple_of(1_000) => write!(f, "{}s", millis / 1_000),
            _ => write!(f, "{millis}ms"),
        }
    }
}

fn wrong_duration(text: &str) -> String {
    format!(
        "`{text}` is not a duration: write a whole number and a unit, such as 500ms, 10s, 5m, 2h or 1d"
    )
}

/// A number of octets as the configuration writes it: `16KiB`, `1MiB`, `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a size: write a whole number and a unit, such as 512B, 16KiB or 1MiB"
            )
        };
        let (number, unit) = split(text);
        let number: usize = number.parse().map_err(|_| wrong())?;
        let factor = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % (1 << 20) == 0 && n > 0 => write!(f, "{}MiB", n >> 20),
            n if n % (1 << 10) == 0 && n > 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..digits], text[digits..].trim_start())
}

/// A network in CIDR notation; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: std::net::IpAddr,
    bits: u8,
}

impl Network {
    /// Whether it holds all addresses of its family.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    /// Whether the network holds this address. A v4-mapped IPv6 address counts as the IPv4 one.
    #[must_use]
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        use std::net::IpAddr;
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                prefix(u128::from(net.to_bits()) << 96, self.bits)
                    == prefix(u128::from(ip.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                prefix(net.to_bits(), self.bits) == prefix(ip.to_bits(), self.bits)
            }
            _ => false,
        }
    }
}

fn prefix(address: u128, bits: u8) -> u128 {
    address.checked_shr(128 - u32::from(bits)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a network: write an address, or CIDR such as 192.0.2.0/24 or 2001:db8::/32"
            )
        };
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

/// Reads a value that is written as text, and says what was wanted where it is not.
macro_rules! written_as_text {
    ($($name:ident: $wanted:literal),+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($wanted)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_any(Text)
            }
        }
    )+};
}

written_as_text!(
    Duration: "a number and a unit, such as 500ms, 10s, 5m, 2h or 1d",
    Network: "an address, or CIDR such as 192.0.2.0/24",
    Size: "a number and a unit, such as 512B, 16KiB or 1MiB"
);

/// How a listener's clients come to TLS.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// The handshake comes first (RFC 8314 §3).
    Implicit,
    /// Never.
    None,
    /// They have to ask for it before anything else counts.
    Starttls,
    /// They may ask for it, and may as well go on in clear: RFC 3207 §4 wants that of port 25.
    StarttlsOptional,
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Implicit => "implicit",
            Self::None => "none",
            Self::Starttls => "starttls",
            Self::StarttlsOptional => "starttls-optional",
        })
    }
}

/// What becomes of a client that asks for a name that no certificate covers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownName {
    /// It gets the certificate that a client without SNI would get.
    #[default]
    Default,
    /// It gets the alert `unrecognized_name`: RFC 9325 §3.7.
    Reject,
}

/// What becomes of a message in which line ends are not what RFC 5321 §2.3.8 wants.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum BareNewline {
    /// Everything passes, and only CRLF.CRLF is an end. A backend that reads differently is on its
    /// own.
    Pass,
    /// No CR and no LF may stand alone.
    Reject,
    /// A dot that is alone on its line by any reading must be so by the strict one; the rest passes.
    #[default]
    StrictEod,
}

/// What is wanted of clients' certificates, and what they are verified by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientRule {
    /// Whether a client without one is served.
    pub mode: ClientMode,
    /// Files and folders with the authorities' certificates.
    pub trust: Vec<std::path::PathBuf>,
    /// Files and folders with revocation lists. Empty: nobody is revoked.
    pub crl: Vec<std::path::PathBuf>,
    /// Whether clients are told which authorities are trusted.
    pub hints: bool,
}

/// What becomes of a client that has no certificate, or one that cannot be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientMode {
    /// It is served all the same, and the backend is told.
    Request,
    /// It gets an alert.
    Require,
}

impl fmt::Display for ClientMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Require => "require",
        })
    }
}

/// Where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// An address and a port.
    Tcp(std::net::SocketAddr),
    /// A Unix socket.
    Unix(std::path::PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a backend is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// Right there.
    At(Target),
    /// At all addresses of a host.
    Host {
        /// Its name, in lower case.
        name: String,
        /// The port, the same at each address.
        port: u16,
    },
}

impl Site {
    /// The port, if it has one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::At(Target::Tcp(address)) => Some(address.port()),
            Self::At(Target::Unix(_)) => None,
            Self::Host { port, .. } => Some(*port),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(target) => target.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// The most members of a pool. A name that has more addresses is used with the first of them.
pub const MOST_MEMBERS: usize = 64;

/// Which member of a pool a session goes to, among those that are well.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// The first in the order of the configuration: the others are spares.
    First,
    /// A client's own: the same for as long as it is well, whichever of the others come and go.
    HashClient,
    /// The one with the fewest sessions of ours.
    LeastSessions,
    /// One after the other.
    #[default]
    RoundRobin,
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::HashClient => "hash-client",
            Self::LeastSessions => "least-sessions",
            Self::RoundRobin => "round-robin",
        })
    }
}

/// How long each phase of a session may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a front's connection to the end of its PROXY header. The specification wants at least
    /// 3 s, which is one lost segment.
    pub proxy: time::Duration,
    /// From the client's first octet of TLS, or its connection, to the end of the handshake.
    pub handshake: time::Duration,
    /// Until a backend accepts a connection.
    pub connect: time::Duration,
    /// Until a backend has greeted. Postfix' postscreen waits six seconds on purpose.
    pub greeting: time::Duration,
    /// Until an IMAP, POP3 or ManageSieve client has logged in.
    pub pre_login: time::Duration,
    /// Between two SMTP commands: RFC 5321 §4.5.3.2.7.
    pub smtp_command: time::Duration,
    /// Without an octet either way. RFC 9051 §5.4 wants at least 30 minutes.
    pub idle: time::Duration,
    /// From the backend's end to ours.
    pub closing: time::Duration,
    /// From SIGTERM to the end of the sessions that are still there.
    pub drain: time::Duration,
    /// Between two probes of a backend that is well.
    pub probe: time::Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = time::Duration::from_secs;
        Self {
            proxy: seconds(5),
            handshake: seconds(10),
            connect: seconds(5),
            greeting: seconds(60),
            pre_login: seconds(180),
            smtp_command: seconds(300),
            idle: seconds(31 * 60),
            closing: seconds(5),
            drain: seconds(30),
            probe: seconds(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_sane_value() {
        assert_eq!("31m".parse(), Ok(Duration(time::Duration::from_secs(1860))));
        assert_eq!("250ms".parse::<Duration>().unwrap().to_string(), "250ms");
        for wrong in [
            "31",
            "m",
            "-1s",
            "1.5s",
            "0s",
            "400d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!("16KiB".parse(), Ok(Size(16384)));
        for wrong in ["16", "16K", "16KB", "-1B"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let net: Network = "192.0.2.128/25".parse().unwrap();
        assert!(net.contains("192.0.2.200".parse().unwrap()));
        assert!(net.contains("::ffff:192.0.2.200".parse().unwrap()), "v4-mapped counts as IPv4");
        assert!(!net.contains("192.0.2.1".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("203.0.113.9".parse().unwrap()));
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains("2001:db8::1".parse().unwrap()));
        assert!("192.0.2.0/33".parse::<Network>().is_err());
    }
}
