//! The configuration: YAML → [`Config`], or all that is wrong with it at once.
//!
//! What comes out cannot be wrong in itself; whether certificates load and ports can be bound is
//! found out by those who do it.

mod acme;
mod address;
mod backend_tls;
mod backends;
mod certificates;
mod check;
mod client_certificates;
mod dane;
mod destination;
mod identity;
mod listeners;
mod locate;
mod preset;
mod routes;
mod section;
mod together;
mod web;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

pub use dane::Dane;
pub use destination::{Destination, Member, Routes};
pub use preset::{Preset, Row};

use crate::{
    certs::{Policy, Wish},
    protocol::Protocol,
    values::{
        Acme, BackendTls, BareNewline, ClientRule, Network, Timeouts, TlsMode, UnknownName,
        WebRules,
    },
};

/// A configuration that makes sense.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our own name.
    pub hostname: String,
    /// Our other names.
    pub aliases: Vec<String>,
    /// Where we keep what we would rather not find out again.
    pub state_dir: PathBuf,
    /// Certificates that come by themselves.
    pub acme: Option<Acme>,
    /// Files and folders with certificates and keys.
    pub certificates: Vec<PathBuf>,
    /// Files and folders with what completes chains.
    pub intermediates: Vec<PathBuf>,
    /// The name whose certificate is the default.
    pub default_certificate: Option<String>,
    /// Local address → name whose certificate is shown there to clients without SNI.
    pub certificate_by_address: BTreeMap<IpAddr, String>,
    /// What is done about what is wrong with certificates.
    pub lint: Policy,
    /// Names that somebody has written down, and means to be covered by a certificate.
    pub wishes: Vec<Wish>,
    /// Name that a client asks for → what is wanted of its certificate, whatever its listener says;
    /// `None`: nothing.
    pub client_certificates_by_name: BTreeMap<String, Option<ClientRule>>,
    /// What has been published about certificates.
    pub dane: Dane,
    /// Networks whose clients may go on in clear where TLS is required.
    pub plaintext_from: Vec<Network>,
    /// What is listened on.
    pub listeners: Vec<Listener>,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// How much of everything there may be.
    pub limits: Limits,
    /// What is said, and how.
    pub log: Log,
    /// What is worth a word, and no error.
    pub warnings: Vec<Problem>,
}

/// One listener. Several addresses share all the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Addresses of ours.
    pub bind: Vec<SocketAddr>,
    /// What is spoken.
    pub protocol: Protocol,
    /// How clients come to TLS.
    pub tls: TlsMode,
    /// What becomes of clients that ask for a name that no certificate covers.
    pub unknown_name: UnknownName,
    /// What is wanted of clients' certificates; `None`: nothing.
    pub client_certificates: Option<ClientRule>,
    /// What becomes of messages with odd line ends.
    pub bare_newline: BareNewline,
    /// Networks of fronts before this one: they tell each client's address, and have to.
    pub proxy_from: Vec<Network>,
    /// Where sessions go.
    pub backend: Destination,
    /// Where sessions go whose clients ask for a name in their handshake.
    pub routes: Routes,
    /// What it does besides passing requests on, if it is one for the web.
    pub web: WebRules,
    /// Whether nobody asked for it in so many words: what it cannot do is a warning then.
    pub is_standard: bool,
}

impl Listener {
    /// All places that its sessions may go to.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        std::iter::once(&self.backend).chain(self.routes.backends.values())
    }
}

impl Config {
    /// What is wanted of the TLS to backends, once for each way.
    #[must_use]
    pub fn backend_tls(&self) -> Vec<BackendTls> {
        let all = self.listeners.iter().flat_map(Listener::destinations);
        let rules = all.flat_map(|d| d.members.iter().filter_map(|member| d.tls(&member.site)));
        let once: BTreeSet<BackendTls> = rules.collect();
        once.into_iter().collect()
    }
}

/// How much of everything there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at a time.
    pub connections: usize,
    /// Sessions that have not logged in, from one IPv4 address or one IPv6 /64.
    pub pre_login_per_address: usize,
    /// Octets of a line, or a frame, that are kept.
    pub line: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 10_000, pre_login_per_address: 100, line: 16 << 10 }
    }
}

/// What is said, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// One JSON object a line.
    pub json: bool,
    /// From which level on.
    pub level: Level,
}

/// How loud the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Something that does not make sense, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line and column in the file, from 1; `None` where the file as a whole is meant.
    pub place: Option<(usize, usize)>,
    /// The key, such as `listeners[1].protocol`; empty for the whole file.
    pub key: String,
    /// What is wrong, and what to do about it.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// All that is wrong with a file.
#[derive(Debug)]
pub struct Problems {
    /// The file.
    pub file: PathBuf,
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            let separator = if problem.place.is_some() { ":" } else { ": " };
            let newline = if n > 0 { "\n" } else { "" };
            write!(f, "{newline}{}{separator}{problem}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The largest configuration that is read. Ten thousand routes fit.
const LARGEST: u64 = 4 << 20;

impl Config {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self, Problems> {
        let whole = |text: String| Problems {
            file: file.to_owned(),
            problems: vec![Problem { place: None, key: String::new(), text }],
        };
        let length =
            std::fs::metadata(file).map_err(|e| whole(format!("it cannot be read: {e}")))?.len();
        if length > LARGEST {
            return Err(whole("it is longer than 4 MiB, which no configuration is".into()));
        }
        let text =
            std::fs::read_to_string(file).map_err(|e| whole(format!("it cannot be read: {e}")))?;
        Self::parse(&text).map_err(|problems| Problems { file: file.to_owned(), problems })
    }

    /// Understands a text.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        check::check(text)
    }
}
