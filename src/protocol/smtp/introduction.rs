//! Tells a backend by XCLIENT who the client is. It greets the front first, and the client by the
//! answer to the last command.

use std::collections::VecDeque;

use super::reply::Reply;
use crate::{
    identity::{Facts, xclient},
    protocol::line::printable,
};

/// What is said between a backend's greeting to the front and the one to the client.
#[derive(Debug)]
pub(super) struct Introduction {
    facts: Facts,
    /// Our own name.
    host: String,
    /// The commands that are still to come; `None` until it is known what may stand in them.
    commands: Option<VecDeque<String>>,
}

/// What came of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The reply is the backend's greeting to the client.
    All,
    /// It cannot be told; why, and what to do about it.
    Deaf(String),
    /// There is more to say.
    More,
    /// It does not want this client.
    Refused,
}

impl Introduction {
    pub(super) fn new(facts: Facts, host: &str) -> Self {
        Self { facts, host: host.to_owned(), commands: None }
    }

    /// Once the backend has greeted.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("EHLO {}\r\n", self.host).as_bytes());
    }

    pub(super) fn reply(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Told {
        let Some(commands) = &mut self.commands else {
            if !reply.is_positive() {
                return Told::Deaf(answered("our EHLO", reply));
            }
            let listed = reply.lines[1..].iter().find_map(|line| attributes(line));
            let commands = listed.and_then(|listed| xclient::commands(&listed, &self.facts));
            let Some(commands) = commands else { return Told::Deaf(NOT_OFFERED.to_owned()) };
            self.commands = Some(commands.into());
            return self.say(out);
        };
        match (reply.is_positive(), reply.code) {
            (true, _) => self.say(out),
            // Until all is told, it speaks of the front; and of a syntax error it never is the client
            // who is guilty.
            _ if !commands.is_empty() => Told::Deaf(answered("XCLIENT", reply)),
            (_, 500..=504) => Told::Deaf(answered("XCLIENT", reply)),
            _ => Told::Refused,
        }
    }

    fn say(&mut self, out: &mut Vec<u8>) -> Told {
        let Some(command) = self.commands.as_mut().and_then(VecDeque::pop_front) else {
            return Told::All;
        };
        out.extend_from_slice(command.as_bytes());
        out.extend_from_slice(b"\r\n");
        Told::More
    }
}

/// The attributes that an EHLO line offers, if it is XCLIENT's.
fn attributes(line: &[u8]) -> Option<String> {
    let line = printable(line);
    let (keyword, attributes) = line.split_once(' ')?;
    keyword.eq_ignore_ascii_case("XCLIENT").then(|| attributes.to_owned())
}

const NOT_OFFERED: &str = "it does not offer XCLIENT with ADDR to this front: add the front's address to its configuration (Postfix: smtpd_authorized_xclient_hosts, for smtpd and not behind postscreen; Dovecot: login_trusted_networks), or choose another identity";

/// What a backend answered, in words.
pub(super) fn answered(what: &str, reply: &Reply<'_>) -> String {
    let text = reply.lines.first().map(|line| printable(line)).unwrap_or_default();
    format!("it answers {what} with {} {text}", reply.code)
}
