//! Which room a protocol's conversation takes place in. Closed enums: whoever adds a protocol is
//! led through this file by the compiler.

use super::{
    Called, Dialogue, Errand, Filter, Greeted, Learned, Next, Offer, Opened, Out, Protocol, Side,
    Start, Verdict, imap, pop3, sieve, smtp,
};
use crate::identity::Facts;

macro_rules! dispatch {
    ($on:expr, $machine:ident => $call:expr) => {
        match $on {
            Self::Imap($machine) => $call,
            Self::Pop3($machine) => $call,
            Self::Sieve($machine) => $call,
            Self::Smtp($machine) => $call,
        }
    };
}

/// Speaks with a client before TLS.
#[derive(Debug)]
pub enum Greeter<'a> {
    /// IMAP
    Imap(imap::Greeter<'a>),
    /// POP3
    Pop3(pop3::Greeter<'a>),
    /// ManageSieve
    Sieve(sieve::Greeter<'a>),
    /// SMTP and submission
    Smtp(smtp::Greeter<'a>),
}

impl<'a> Greeter<'a> {
    /// `None`: the protocol has no conversation before TLS.
    #[must_use]
    pub fn new(protocol: Protocol, learned: &'a Learned, offer: Offer) -> Option<Self> {
        match protocol {
            Protocol::Imap => Some(Self::Imap(imap::Greeter::new(learned, offer))),
            Protocol::Pop3 => Some(Self::Pop3(pop3::Greeter::new(learned, offer))),
            Protocol::Sieve => Some(Self::Sieve(sieve::Greeter::new(learned, offer))),
            Protocol::Smtp | Protocol::Submission => {
                Some(Self::Smtp(smtp::Greeter::new(learned, offer)))
            }
            Protocol::Http | Protocol::Raw => None,
        }
    }
}

impl Dialogue for Greeter<'_> {
    type End = Greeted;

    fn start(&mut self, out: &mut Vec<u8>) {
        dispatch!(self, machine => machine.start(out));
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Greeted>) {
        dispatch!(self, machine => machine.step(input, out))
    }
}

/// Goes to any server as a client does.
#[derive(Debug)]
pub enum Caller {
    /// IMAP
    Imap(imap::Caller),
    /// POP3
    Pop3(pop3::Caller),
    /// ManageSieve
    Sieve(sieve::Caller),
    /// SMTP and submission
    Smtp(smtp::Caller),
}

impl Caller {
    /// `host`: our own name, or an address in brackets. `None`: there is nothing to talk about.
    #[must_use]
    pub fn new(protocol: Protocol, errand: Errand, host: &str) -> Option<Self> {
        match protocol {
            Protocol::Imap => Some(Self::Imap(imap::Caller::new(errand))),
            Protocol::Pop3 => Some(Self::Pop3(pop3::Caller::new(errand))),
            Protocol::Sieve => Some(Self::Sieve(sieve::Caller::new(errand))),
            Protocol::Smtp | Protocol::Submission => {
                Some(Self::Smtp(smtp::Caller::new(errand, host)))
            }
            Protocol::Http | Protocol::Raw => None,
        }
    }
}

impl Dialogue for Caller {
    type End = Called;

    fn start(&mut self, out: &mut Vec<u8>) {
        dispatch!(self, machine => machine.start(out));
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Called>) {
        dispatch!(self, machine => machine.step(input, out))
    }
}

/// Asks a backend what it can do.
#[derive(Debug)]
pub enum Prober {
    /// IMAP
    Imap(imap::Prober),
    /// POP3
    Pop3(pop3::Prober),
    /// ManageSieve
    Sieve(sieve::Prober),
    /// SMTP and submission
    Smtp(smtp::Prober),
}

impl Prober {
    /// `host`: our own name. `introduce`: a client to speak of, where the backend is told in words of
    /// the protocol. `None`: there is nothing that could be asked.
    #[must_use]
    pub fn new(protocol: Protocol, host: &str, introduce: Option<Facts>) -> Option<Self> {
        match protocol {
            Protocol::Imap => Some(Self::Imap(imap::Prober::new(introduce.as_ref()))),
            Protocol::Pop3 => Some(Self::Pop3(pop3::Prober::new(introduce.as_ref()))),
            Protocol::Sieve => Some(Self::Sieve(sieve::Prober::new(introduce.as_ref()))),
            Protocol::Smtp | Protocol::Submission => {
                Some(Self::Smtp(smtp::Prober::new(host, introduce)))
            }
            Protocol::Http | Protocol::Raw => None,
        }
    }
}

impl Dialogue for Prober {
    type End = Result<Learned, String>;

    fn start(&mut self, out: &mut Vec<u8>) {
        dispatch!(self, machine => machine.start(out));
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Self::End>) {
        dispatch!(self, machine => machine.step(input, out))
    }
}

/// Receives a backend's greeting for a session.
#[derive(Debug)]
pub enum Opening {
    /// IMAP
    Imap(imap::Opening),
    /// POP3
    Pop3(pop3::Opening),
    /// ManageSieve
    Sieve(sieve::Opening),
    /// SMTP and submission
    Smtp(smtp::Opening),
}

impl Opening {
    /// `None`: the backend's first octets are the client's.
    #[must_use]
    pub fn new(protocol: Protocol, start: Start) -> Option<Self> {
        match protocol {
            Protocol::Imap => Some(Self::Imap(imap::Opening::new(&start))),
            Protocol::Pop3 => Some(Self::Pop3(pop3::Opening::new(&start))),
            Protocol::Sieve => Some(Self::Sieve(sieve::Opening::new(&start))),
            Protocol::Smtp | Protocol::Submission => Some(Self::Smtp(smtp::Opening::new(start))),
            Protocol::Http | Protocol::Raw => None,
        }
    }

    /// The filter for the session that has been opened.
    #[must_use]
    pub fn filter(self) -> SessionFilter {
        match self {
            Self::Imap(opening) => SessionFilter::Imap(opening.filter()),
            Self::Pop3(opening) => SessionFilter::Pop3(opening.filter()),
            Self::Sieve(opening) => SessionFilter::Sieve(opening.filter()),
            Self::Smtp(opening) => SessionFilter::Smtp(opening.filter()),
        }
    }
}

impl Dialogue for Opening {
    type End = Opened;

    fn start(&mut self, out: &mut Vec<u8>) {
        dispatch!(self, machine => machine.start(out));
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Opened>) {
        dispatch!(self, machine => machine.step(input, out))
    }
}

/// Speaks with a client whose session a backend has refused.
#[derive(Debug)]
pub enum Refused {
    /// SMTP and submission
    Smtp(smtp::Refused),
}

impl Refused {
    /// `words`: the backend's own. `None`: they are the last that is said.
    #[must_use]
    pub fn new(protocol: Protocol, words: &[u8], greeted: bool) -> Option<Self> {
        match protocol {
            Protocol::Smtp | Protocol::Submission => {
                Some(Self::Smtp(smtp::Refused::new(words.to_vec(), greeted)))
            }
            Protocol::Http | Protocol::Imap | Protocol::Pop3 | Protocol::Raw | Protocol::Sieve => {
                None
            }
        }
    }
}

impl Dialogue for Refused {
    type End = ();

    fn start(&mut self, out: &mut Vec<u8>) {
        let Self::Smtp(machine) = self;
        machine.start(out);
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<()>) {
        let Self::Smtp(machine) = self;
        machine.step(input, out)
    }
}

/// Reads a session along.
#[derive(Debug)]
pub enum SessionFilter {
    /// IMAP
    Imap(imap::Filter),
    /// POP3
    Pop3(pop3::Filter),
    /// ManageSieve
    Sieve(sieve::Filter),
    /// SMTP and submission
    Smtp(smtp::Filter),
}

impl Filter for SessionFilter {
    fn push(&mut self, from: Side, input: &[u8], out: &mut Out) -> (usize, Verdict) {
        dispatch!(self, machine => machine.push(from, input, out))
    }

    fn may_speak(&self) -> bool {
        dispatch!(self, machine => machine.may_speak())
    }

    fn is_over(&self) -> bool {
        dispatch!(self, machine => machine.is_over())
    }

    fn is_slow(&self) -> bool {
        dispatch!(self, machine => machine.is_slow())
    }
}
