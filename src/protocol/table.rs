//! The one table: all that differs between protocols without being a conversation.

use serde::Deserialize;

use super::{Refusal, imap, pop3, sieve, smtp};

/// The protocols that a listener can speak.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// RFC 9051 and RFC 3501.
    Imap,
    /// RFC 1939.
    Pop3,
    /// No protocol that we know: bytes through, after TLS.
    Raw,
    /// ManageSieve, RFC 5804.
    Sieve,
    /// RFC 5321, between servers.
    Smtp,
    /// RFC 6409, from mail programs.
    Submission,
}

/// One protocol's row.
#[derive(Debug)]
pub struct Row {
    /// As the configuration writes it.
    pub name: &'static str,
    /// The standard port on which it begins in clear, and where the backend is expected to listen.
    pub port: u16,
    /// The standard ports on which it begins with TLS.
    pub implicit_ports: &'static [u16],
    /// Whether TLS can be asked for in the middle of it.
    pub starttls: bool,
    /// ALPN protocol ids (RFC 7301) that we acknowledge, best first. Empty: ALPN is not looked at.
    pub alpn: &'static [&'static str],
    /// How we end a session in its words.
    pub farewell: fn(Refusal, &str, &mut Vec<u8>),
}

/// RFC 9110 §15.6.4. Who is in the middle of an answer would take it for a part of it, so only
/// those get it who have had none.
fn unavailable(why: Refusal) -> &'static [u8] {
    match why {
        Refusal::BackendUnavailable => {
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        }
        _ => b"",
    }
}

const HTTP: Row = Row {
    name: "http",
    port: 80,
    implicit_ports: &[443],
    starttls: false,
    alpn: &["h2", "http/1.1", "http/1.0"],
    farewell: |why, _, out| out.extend_from_slice(unavailable(why)),
};

const IMAP: Row = Row {
    name: "imap",
    port: 143,
    implicit_ports: &[993],
    starttls: true,
    alpn: &["imap"],
    farewell: imap::farewell,
};

const POP3: Row = Row {
    name: "pop3",
    port: 110,
    implicit_ports: &[995],
    starttls: true,
    alpn: &["pop3"],
    farewell: pop3::farewell,
};

const RAW: Row = Row {
    name: "raw",
    port: 0,
    implicit_ports: &[],
    starttls: false,
    alpn: &[],
    farewell: |_, _, _| {},
};

const SIEVE: Row = Row {
    name: "sieve",
    port: 4190,
    implicit_ports: &[],
    starttls: true,
    alpn: &["managesieve"],
    farewell: sieve::farewell,
};

const SMTP: Row = Row {
    name: "smtp",
    port: 25,
    implicit_ports: &[],
    starttls: true,
    alpn: &["smtp", "esmtp"],
    farewell: smtp::farewell,
};

const SUBMISSION: Row = Row {
    name: "submission",
    port: 587,
    implicit_ports: &[465],
    starttls: true,
    alpn: &["submission", "smtp", "esmtp"],
    farewell: smtp::farewell,
};

impl Protocol {
    /// All of them, in the order in which the standard listeners are opened.
    pub const ALL: [Self; 7] =
        [Self::Smtp, Self::Submission, Self::Imap, Self::Pop3, Self::Sieve, Self::Http, Self::Raw];

    /// What is particular to this protocol.
    #[must_use]
    pub fn row(self) -> &'static Row {
        match self {
            Self::Http => &HTTP,
            Self::Imap => &IMAP,
            Self::Pop3 => &POP3,
            Self::Raw => &RAW,
            Self::Sieve => &SIEVE,
            Self::Smtp => &SMTP,
            Self::Submission => &SUBMISSION,
        }
    }

    /// The one whose servers greet so, if it can be told; submission greets as SMTP does.
    #[must_use]
    pub fn that_greets(input: &[u8]) -> Option<Self> {
        match input {
            [b'*', b' ', ..] => Some(Self::Imap),
            [b'+', b'O', b'K', ..] | [b'-', b'E', b'R', b'R', ..] => Some(Self::Pop3),
            [b'"', ..] => Some(Self::Sieve),
            [a, b, c, b' ' | b'-', ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()) => {
                Some(Self::Smtp)
            }
            _ => None,
        }
    }

    /// As the configuration writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }
}
