//! The seam between the protocol rooms, which know bytes and nothing else, and the session, which
//! owns sockets, buffers and clocks. Reading this file is enough to write a new protocol.
//!
//! Machines own state, never buffers: the session keeps one inbox per peer, bounded by
//! `limits.line`, and shows it to the machine until a whole frame is there.

use crate::{identity::Facts, values::BareNewline};

/// A conversation with one peer that comes to an end: [`Greeter`](super::Greeter),
/// [`Prober`](super::Prober), [`Opening`](super::Opening), [`Caller`](super::Caller).
pub trait Dialogue {
    /// What the conversation was about.
    type End;

    /// What we say first, if anything.
    fn start(&mut self, out: &mut Vec<u8>);

    /// Takes at most one frame from the front of `input` and says how many octets that was.
    ///
    /// `(0, Next::Read)` means that the frame is not complete. Octets that are not taken are shown
    /// again, with more behind them.
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Self::End>);
}

/// How a dialogue goes on.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a dialogue that has ended must not be stepped again"]
pub enum Next<E> {
    /// With the next frame.
    Read,
    /// Not at all: it is over. What is in `out` is still to be sent.
    End(E),
}

/// How a client's conversation in clear ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Greeted {
    /// The client asked for TLS and was told to begin. Nothing of the clear phase may survive.
    StartTls,
    /// The client goes on in clear, and may. Its pending command has not been taken; these octets
    /// are to be said to the backend first.
    Clear(Vec<u8>),
    /// The client said good-bye, and so did we.
    Closed,
    /// The client has made too many errors, or sent what cannot be framed.
    Refused(Refusal),
}

/// What we want of a server that we call on as its clients do: [`Caller`](super::Caller).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Inside TLS: to see what it can do. `greeting`: its greeting is still to come.
    Look {
        /// Whether the server speaks first.
        greeting: bool,
    },
    /// Inside TLS, after [`Errand::Smuggle`]: nothing but to say good-bye, and to hear whether more
    /// than that is answered.
    Leave,
    /// STARTTLS with another command glued to it, as an attacker on the line would have it there:
    /// RFC 3207 §6, RFC 9051 §11.1, RFC 2595 §2.4.
    Smuggle,
    /// STARTTLS.
    Upgrade,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// What was smuggled has been answered inside TLS, in these words.
    Answered(String),
    /// TLS may begin. These were its capabilities before.
    Begin(Vec<String>),
    /// It has STARTTLS among its capabilities and does not grant it; in its words.
    Denied(String),
    /// What answers there does not speak the protocol; what it says instead.
    Garbage(String),
    /// It does not offer STARTTLS. These are its capabilities.
    NoTls(Vec<String>),
    /// It does not want to speak with us; in its words.
    Refused(String),
    /// These are its capabilities inside TLS.
    Seen(Vec<String>),
    /// Only the good-bye was answered.
    Silent,
}

/// What a backend said of itself to the probe: the material of our own greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The text of its greeting, without status and codes.
    pub banner: String,
    /// Its capabilities, one entry each, as the protocol writes them.
    pub capabilities: Vec<String>,
}

/// How the opening with a backend ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened {
    /// The backend waits for the client's first command. The octets are for the client.
    Ready(Vec<u8>),
    /// The backend itself refuses the session, in these octets for the client.
    Refused(Vec<u8>),
    /// It cannot be told who the client is in the way that is configured; why, and what to do about
    /// it, for the log.
    Deaf(String),
    /// What answers there does not speak the protocol; in words, for the log.
    Garbage(String),
}

/// What is known when a session is opened with a backend.
#[derive(Debug)]
pub struct Start {
    /// The client has had a greeting already, on this side of TLS or the other.
    pub greeted: bool,
    /// What it may be offered from now on.
    pub offer: Offer,
    /// What it has said in clear, and the backend has to hear, too.
    pub hello: Vec<u8>,
    /// What becomes of messages with odd line ends.
    pub bare_newline: BareNewline,
    /// Our own name.
    pub host: String,
    /// The client, where the backend is told of it in words of the protocol.
    pub introduce: Option<Box<Facts>>,
}

/// What a client may be offered before TLS, or inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// TLS may still be begun.
    pub starttls: bool,
    /// A client may go on with its business as things are now.
    pub proceed: bool,
    /// A client may show its credentials as things are now.
    pub login: bool,
}

impl Offer {
    /// Inside TLS: everything but TLS.
    pub const TLS: Self = Self { starttls: false, proceed: true, login: true };
}

/// Which peer octets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The mail server behind us.
    Backend,
    /// The mail program, or the mail server, in front of us.
    Client,
}

impl Side {
    /// The one that octets from this side go to.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Backend => Self::Client,
            Self::Client => Self::Backend,
        }
    }
}

/// What a filter writes itself.
#[derive(Debug, Default)]
pub struct Out {
    /// For the mail server.
    pub to_backend: Vec<u8>,
    /// For the client.
    pub to_client: Vec<u8>,
}

impl Out {
    /// The octets for this side.
    pub fn to(&mut self, side: Side) -> &mut Vec<u8> {
        match side {
            Side::Backend => &mut self.to_backend,
            Side::Client => &mut self.to_client,
        }
    }
}

/// Reads a session along, and edits as little of it as possible. One object sees both directions,
/// so that it always knows whose turn it is.
pub trait Filter {
    /// Judges the front of `input`, which came from this side, and says how many octets it took.
    fn push(&mut self, from: Side, input: &[u8], out: &mut Out) -> (usize, Verdict);

    /// Whether the client would understand a word from us now: nothing is half said to it.
    fn may_speak(&self) -> bool;

    /// Whether one side has said good-bye, so that nothing needs to be said of the end.
    fn is_over(&self) -> bool;

    /// Whether the backend may take longer than usual over what it was sent last.
    fn is_slow(&self) -> bool {
        false
    }
}

/// What becomes of the octets that a filter took.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a verdict that is not carried out desynchronises the two sides"]
pub enum Verdict {
    /// They go on unchanged, straight from the read buffer.
    Pass,
    /// What is in `out` goes on instead.
    Replace,
    /// None were taken: the frame is not complete.
    Read,
    /// None were taken: this side has to wait until the other has spoken.
    Hold,
    /// They go on unchanged, and everything after them unread: the filter's work is done.
    Opaque,
    /// What is in `out` goes on instead, and everything after it unread.
    LastWords,
    /// The client asked for TLS in the middle of a clear session, and was told to begin.
    StartTls,
    /// The session is over, for this reason. What is in `out` is still to be sent.
    End(Refusal),
}

/// Why we end a session ourselves. Each protocol has its own words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The backend broke the rules of its protocol.
    BackendGarbage,
    /// The backend cannot be reached, or does not answer.
    BackendUnavailable,
    /// A message ends for one reader where it does not for another.
    BareNewline,
    /// The client sent more after its STARTTLS than a TLS handshake.
    BytesAfterStartTls,
    /// A line, or a literal, is longer than we keep.
    LineTooLong,
    /// We are going away.
    Shutdown,
    /// The client took too long.
    Timeout,
    /// The client, or its address, holds too many sessions.
    TooManyConnections,
    /// The client made too many errors.
    TooManyErrors,
    /// A client's octets could be read in two ways.
    Unframeable,
}

impl Refusal {
    /// The reason in English, for the log and for the client.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::BackendGarbage => "The mail server gave an answer that makes no sense",
            Self::BareNewline => {
                "Line ends in a message are CRLF, and no end of data may be in doubt"
            }
            Self::BackendUnavailable => "The mail server is not available, try again later",
            Self::BytesAfterStartTls => "Nothing but a TLS handshake may follow STARTTLS",
            Self::LineTooLong => "Line too long",
            Self::Shutdown => "Shutting down, try again later",
            Self::Timeout => "Disconnected for inactivity",
            Self::TooManyConnections => "Too many connections, try again later",
            Self::TooManyErrors => "Too many errors",
            Self::Unframeable => "Syntax error",
        }
    }

    /// Whether the same client may have more luck later.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::BackendGarbage
                | Self::BackendUnavailable
                | Self::Shutdown
                | Self::TooManyConnections
        )
    }
}

/// How many errors a client may make before TLS. Postfix' `smtpd_hard_error_limit` is the same.
pub(crate) const MOST_ERRORS: u8 = 20;

/// A client's errors so far.
#[derive(Debug, Default)]
pub(crate) struct Errors(u8);

impl Errors {
    /// Answers an error, and counts it.
    pub(crate) fn answer(&mut self, text: &[u8], out: &mut Vec<u8>) -> Next<Greeted> {
        out.extend_from_slice(text);
        self.count()
    }

    /// Counts an error that has been answered.
    pub(crate) fn count(&mut self) -> Next<Greeted> {
        self.0 += 1;
        if self.0 < MOST_ERRORS {
            Next::Read
        } else {
            Next::End(Greeted::Refused(Refusal::TooManyErrors))
        }
    }
}
