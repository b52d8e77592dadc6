//! Receives a backend's greeting for a session.

use super::{
    Filter, capability,
    syntax::{Frame, Token, frame},
};
use crate::protocol::{Dialogue, Next, Offer, Opened, line::printable};

/// Reads the capability list that a backend greets with.
#[derive(Debug)]
pub struct Opening {
    /// Whether the client still waits for a greeting: also inside TLS, where RFC 5804 §2.2 wants
    /// the capabilities again, unasked.
    greet: bool,
    /// What the client may be shown from now on.
    offer: Offer,
    seen: Vec<String>,
    to_client: Vec<u8>,
}

impl Opening {
    /// `greet`: the client waits for the list.
    #[must_use]
    pub fn new(greet: bool, offer: Offer) -> Self {
        Self { greet, offer, seen: Vec::new(), to_client: Vec::new() }
    }

    /// The filter for the session that has been opened.
    #[must_use]
    pub fn filter(self) -> Filter {
        Filter::new(self.offer)
    }
}

impl Dialogue for Opening {
    type End = Opened;

    fn start(&mut self, _out: &mut Vec<u8>) {}

    fn step(&mut self, input: &[u8], _out: &mut Vec<u8>) -> (usize, Next<Opened>) {
        let (taken, tokens) = match frame(input) {
            Frame::Incomplete => return (0, Next::Read),
            Frame::Whole { taken, tokens } => (taken, tokens),
            Frame::Malformed { .. } | Frame::Ambiguous => return (0, Next::End(garbage(input))),
        };
        let condition = tokens.first().and_then(Token::word);
        let next = match condition.as_deref() {
            Some(b"OK") => {
                capability::push_own(self.offer, &mut self.to_client);
                self.to_client.extend_from_slice(&input[..taken]);
                let to_client = std::mem::take(&mut self.to_client);
                Next::End(Opened::Ready(if self.greet { to_client } else { Vec::new() }))
            }
            Some(b"BYE" | b"NO") => Next::End(Opened::Refused(input[..taken].to_vec())),
            _ => match capability::parse(&tokens) {
                None => Next::End(garbage(input)),
                Some((name, value)) => {
                    // RFC 5804 §1.7: each at most once.
                    if !self.seen.contains(&name) {
                        capability::push(&name, value.as_deref(), self.offer, &mut self.to_client);
                        self.seen.push(name);
                    }
                    Next::Read
                }
            },
        };
        (taken, next)
    }
}

fn garbage(input: &[u8]) -> Opened {
    let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
    Opened::Garbage(format!("it greets with {:?}, which is not ManageSieve", printable(line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    const GREETING: &str = "\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" {24}\r\nPLAIN SCRAM-SHA-256-PLUS\r\n\"XCLIENT\"\r\n\"STARTTLS\"\r\n\"SASL\" \"OTHER\"\r\n\"VERSION\" \"1.0\"\r\nOK \"hi\"\r\n";

    #[test]
    fn m3_m4_m6_m13_the_list_is_edited_for_the_client() {
        let end = Opened::Ready("\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"PLAIN\"\r\n\"VERSION\" \"1.0\"\r\nOK \"hi\"\r\n".into());
        dialogue(|| Opening::new(true, Offer::TLS), &[Talk::Peer(GREETING)], &end, b"");
        dialogue(
            || Opening::new(false, Offer::TLS),
            &[Talk::Peer(GREETING)],
            &Opened::Ready(vec![]),
            b"",
        );
    }

    #[test]
    fn a_refusal_is_the_backends_own() {
        let end = Opened::Refused("BYE (TRYLATER) \"later\"\r\n".into());
        dialogue(
            || Opening::new(true, Offer::TLS),
            &[Talk::Peer("BYE (TRYLATER) \"later\"\r\n")],
            &end,
            b"",
        );
    }
}
