//! Tells a backend by ID (RFC 2971) who the client is, right behind its greeting.

use super::capability;
use crate::{
    identity::{Facts, imap_id},
    protocol::line::{printable, word},
};

/// What is asked for together: a backend that answers one command at a time answers both in turn.
#[derive(Debug)]
pub(super) struct Introduction {
    arguments: String,
    listed: Vec<String>,
}

/// What came of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The backend has taken it in. These are its capabilities.
    All(Vec<String>),
    /// It cannot be told; why, and what to do about it.
    Deaf(String),
    /// There is more to come.
    More,
    /// It says good-bye.
    Refused,
}

impl Introduction {
    pub(super) fn new(facts: &Facts) -> Self {
        Self { arguments: imap_id::arguments(facts), listed: Vec::new() }
    }

    /// Once the backend has greeted.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        let commands = format!("i ID {}\r\nc CAPABILITY\r\n", self.arguments);
        out.extend_from_slice(commands.as_bytes());
    }

    pub(super) fn line(&mut self, text: &[u8]) -> Told {
        let (tag, rest) = word(text);
        let condition = word(rest).0;
        let is_ok = condition.eq_ignore_ascii_case(b"OK");
        match tag {
            b"*" if condition.eq_ignore_ascii_case(b"BYE") => Told::Refused,
            b"i" if !is_ok => Told::Deaf(format!(
                "it answers ID with {:?}: identity: imap-id is for Dovecot, with this front's address in login_trusted_networks",
                printable(rest)
            )),
            b"c" if !is_ok => {
                Told::Deaf(format!("it answers CAPABILITY with {:?}", printable(rest)))
            }
            b"c" if self.listed.iter().any(|c| c.eq_ignore_ascii_case("UNAUTHENTICATE")) => {
                Told::Deaf(UNAUTHENTICATE.to_owned())
            }
            b"c" => Told::All(std::mem::take(&mut self.listed)),
            _ => {
                if let Some(listed) = capability::listed(text) {
                    self.listed = listed;
                }
                Told::More
            }
        }
    }
}

/// RFC 8437. After a login nobody reads along any more.
const UNAUTHENTICATE: &str = "it offers UNAUTHENTICATE, with which a client could get back to where ID is believed, and speak as this front: use identity: proxy-v2 there (Dovecot: haproxy = yes), or switch UNAUTHENTICATE off";
