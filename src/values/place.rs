//! Where backends are.

use std::fmt;

use serde::Deserialize;

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
