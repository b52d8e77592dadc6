//! The one error that crosses rooms: what a session can end with.

use std::{error::Error, fmt, io};

/// What a session was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Speaking with the client in clear, before TLS.
    Greeting,
    /// The client's TLS handshake.
    Handshake,
    /// Connecting to the backend.
    Dial,
    /// Between the connection to the backend and the client's first forwarded byte.
    Opening,
    /// Bytes both ways, with the filter reading along.
    Login,
    /// Bytes both ways.
    Relay,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "greeting",
            Self::Handshake => "handshake",
            Self::Dial => "dial",
            Self::Opening => "opening",
            Self::Login => "login",
            Self::Relay => "relay",
        })
    }
}

/// Who made a session end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The mail server behind us.
    Backend,
    /// The client, or the network to it.
    Client,
    /// Ourselves: a limit, a shutdown, a fault.
    Ours,
}

/// Why a session ended before its time. What is logged, and how loudly, follows from it.
#[derive(Debug)]
pub struct SessionError {
    /// What the session was doing.
    pub phase: Phase,
    /// Who is to blame.
    pub blame: Blame,
    /// What happened.
    pub source: Box<dyn Error + Send + Sync>,
}

impl SessionError {
    /// An error of this phase, with its source.
    pub fn new(
        phase: Phase,
        blame: Blame,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { phase, blame, source: source.into() }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.phase, self.source)
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Whether this is what the end of a connection looks like when the other side does not say good-bye.
#[must_use]
pub fn is_disconnect(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}
