//! Receives a backend's greeting for a session, and says the client's EHLO again where the client
//! has said it to us.

use super::{
    Filter,
    reply::{Found, Reply, push, reply},
};
use crate::protocol::{Dialogue, Next, Offer, Opened, line::printable};
use crate::values::BareNewline;

/// Waits for `220`, and for `250` where the client was greeted in clear.
#[derive(Debug)]
pub struct Opening {
    greet: bool,
    offer: Offer,
    bare_newline: BareNewline,
    hello: Vec<u8>,
    is_greeted: bool,
    /// What this session's EHLO reply lists.
    listed: Vec<Vec<u8>>,
}

impl Opening {
    /// `greet`: the client has not been greeted yet. `hello`: what it has said to us.
    #[must_use]
    pub fn new(greet: bool, offer: Offer, hello: Vec<u8>, bare_newline: BareNewline) -> Self {
        Self { greet, offer, bare_newline, hello, is_greeted: false, listed: Vec::new() }
    }

    /// The filter for the session that has been opened.
    #[must_use]
    pub fn filter(self) -> Filter {
        Filter::new(self.offer, self.bare_newline, &self.listed)
    }

    fn reply(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Next<Opened> {
        if !reply.is_positive() {
            // A 554 must not become days of retries, nor a 4yz a bounce.
            let mut words = Vec::new();
            push(reply.code, &reply.lines, &mut words);
            return Next::End(Opened::Refused(words));
        }
        if self.is_greeted {
            self.listed = reply.lines.iter().skip(1).map(|line| line.to_vec()).collect();
            return Next::End(Opened::Ready(Vec::new()));
        }
        self.is_greeted = true;
        if self.hello.is_empty() {
            let mut greeting = Vec::new();
            if self.greet {
                push(reply.code, &reply.lines, &mut greeting);
            }
            return Next::End(Opened::Ready(greeting));
        }
        out.extend_from_slice(&self.hello);
        Next::Read
    }
}

impl Dialogue for Opening {
    type End = Opened;

    fn start(&mut self, _out: &mut Vec<u8>) {}

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Opened>) {
        match reply(input) {
            Found::Incomplete => (0, Next::Read),
            Found::Garbage => {
                let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
                (
                    0,
                    Next::End(Opened::Garbage(format!(
                        "it says {:?}, which is not SMTP",
                        printable(line)
                    ))),
                )
            }
            Found::Whole(reply) => (reply.taken, self.reply(&reply, out)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    fn opening(greet: bool, hello: &str) -> Opening {
        Opening::new(greet, Offer::TLS, hello.into(), BareNewline::default())
    }

    #[test]
    fn s6_s10_the_greeting_passes_or_is_consumed() {
        let greeting = "220-mx.example\r\n220 ESMTP\r\n";
        dialogue(
            || opening(true, ""),
            &[Talk::Peer(greeting)],
            &Opened::Ready(greeting.into()),
            b"",
        );
        dialogue(|| opening(false, ""), &[Talk::Peer(greeting)], &Opened::Ready(vec![]), b"");
    }

    #[test]
    fn a_client_in_clear_has_its_ehlo_said_again() {
        dialogue(
            || opening(false, "EHLO me\r\n"),
            &[
                Talk::Peer("220 mx\r\n"),
                Talk::Front("EHLO me\r\n"),
                Talk::Peer("250-mx\r\n250 CHUNKING\r\n"),
            ],
            &Opened::Ready(vec![]),
            b"",
        );
    }

    #[test]
    fn s27_a_backends_own_refusal_keeps_code_and_text() {
        let refused = |text: &str| Opened::Refused(text.into());
        dialogue(
            || opening(false, "EHLO me\r\n"),
            &[Talk::Peer("554-go\r\n554 away\r\n")],
            &refused("554-go\r\n554 away\r\n"),
            b"",
        );
        dialogue(
            || opening(false, "EHLO me\r\n"),
            &[
                Talk::Peer("220 mx\r\n"),
                Talk::Front("EHLO me\r\n"),
                Talk::Peer("450 4.7.1 later\r\n"),
            ],
            &refused("450 4.7.1 later\r\n"),
            b"",
        );
    }
}
