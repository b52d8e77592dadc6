//! Receives a backend's greeting for a session.

use super::{
    Filter, capability, denied, is_deaf,
    syntax::{Frame, Token, frame},
};
use crate::{
    identity::xclient,
    protocol::{Dialogue, Next, Offer, Opened, Start, line::printable},
};

/// Reads the capability list that a backend greets with, and introduces the client where the backend
/// is told by XCLIENT.
#[derive(Debug)]
pub struct Opening {
    /// Whether the client still waits for a greeting: also inside TLS, where RFC 5804 §2.2 wants
    /// the capabilities again, unasked.
    greet: bool,
    /// What the client may be shown from now on.
    offer: Offer,
    seen: Vec<String>,
    to_client: Vec<u8>,
    /// The command that is still to be said.
    introduction: Option<String>,
    /// It has been said.
    introduced: bool,
}

impl Opening {
    /// The opening of a session of which this is known.
    #[must_use]
    pub fn new(start: &Start) -> Self {
        Self {
            // RFC 5804 §2.2: the only protocol that greets again inside TLS.
            greet: !start.greeted || start.offer == Offer::TLS,
            offer: start.offer,
            seen: Vec::new(),
            to_client: Vec::new(),
            introduction: start.introduce.as_deref().map(xclient::command),
            introduced: false,
        }
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

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Opened>) {
        let (taken, tokens) = match frame(input) {
            Frame::Incomplete => return (0, Next::Read),
            Frame::Whole { taken, tokens } => (taken, tokens),
            Frame::Malformed { .. } | Frame::Ambiguous => return (0, Next::End(garbage(input))),
        };
        let condition = tokens.first().and_then(Token::word);
        let next = match condition.as_deref() {
            Some(b"OK") if self.introduced => self.ready(),
            _ if self.introduced => Next::End(Opened::Deaf(denied(&input[..taken]))),
            Some(b"OK") => {
                capability::push_own(self.offer, &mut self.to_client);
                self.to_client.extend_from_slice(&input[..taken]);
                match (self.introduction.take(), is_deaf(&self.seen)) {
                    (None, _) => self.ready(),
                    (Some(_), Some(why)) => Next::End(Opened::Deaf(why)),
                    (Some(command), None) => {
                        out.extend_from_slice(command.as_bytes());
                        out.extend_from_slice(b"\r\n");
                        self.introduced = true;
                        Next::Read
                    }
                }
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

impl Opening {
    fn ready(&mut self) -> Next<Opened> {
        let to_client = std::mem::take(&mut self.to_client);
        Next::End(Opened::Ready(if self.greet { to_client } else { Vec::new() }))
    }
}

fn garbage(input: &[u8]) -> Opened {
    let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
    Opened::Garbage(format!("it greets with {:?}, which is not ManageSieve", printable(line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::facts,
        protocol::transcript::{Talk, dialogue},
        values::BareNewline,
    };

    fn start(offer: Offer) -> Start {
        Start {
            greeted: true,
            offer,
            hello: Vec::new(),
            bare_newline: BareNewline::default(),
            host: "front.example".into(),
            introduce: None,
        }
    }

    const CLEAR: Offer = Offer { starttls: true, proceed: true, login: true };

    #[test]
    fn by_xclient_the_client_is_introduced_before_it_is_greeted() {
        let facts = Box::new(facts("[2001:db8::1]:4660", "198.51.100.2:4190", None));
        let introducing =
            || Opening::new(&Start { introduce: Some(facts.clone()), ..start(Offer::TLS) });
        let said = || {
            Talk::Front(
                "XCLIENT ADDR=2001:db8::1 PORT=4660 SESSION=0000000000000000000000ab TTL=4 CLIENT-TRANSPORT=insecure\r\n",
            )
        };
        let end = Opened::Ready("\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"PLAIN\"\r\n\"VERSION\" \"1.0\"\r\nOK \"hi\"\r\n".into());
        dialogue(
            introducing,
            &[Talk::Peer(GREETING), said(), Talk::Peer("OK \"Updated\"\r\n")],
            &end,
            b"",
        );
        let denied = Opened::Deaf("it answers XCLIENT with \"NO \\\"You\\\"\"".into());
        dialogue(
            introducing,
            &[Talk::Peer(GREETING), said(), Talk::Peer("NO \"You\"\r\n")],
            &denied,
            b"",
        );
        for (capability, hint) in [
            ("\"XCLIENT\"\r\n\"UNAUTHENTICATE\"", "UNAUTHENTICATE"),
            ("\"A\"", "login_trusted_networks"),
        ] {
            let (mut machine, mut out) = (introducing(), Vec::new());
            let greeting = format!("{capability}\r\nOK\r\n");
            let mut input = greeting.as_bytes();
            let end = loop {
                let (taken, next) = machine.step(input, &mut out);
                input = &input[taken..];
                if let Next::End(end) = next {
                    break end;
                }
            };
            let Opened::Deaf(why) = end else { panic!("{end:?}") };
            assert!(why.contains(hint) && out.is_empty(), "{why}");
        }
    }

    const GREETING: &str = "\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" {24}\r\nPLAIN SCRAM-SHA-256-PLUS\r\n\"XCLIENT\"\r\n\"STARTTLS\"\r\n\"SASL\" \"OTHER\"\r\n\"VERSION\" \"1.0\"\r\nOK \"hi\"\r\n";

    #[test]
    fn m3_m4_m6_m13_the_list_is_edited_for_the_client() {
        let end = Opened::Ready("\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"PLAIN\"\r\n\"VERSION\" \"1.0\"\r\nOK \"hi\"\r\n".into());
        dialogue(|| Opening::new(&start(Offer::TLS)), &[Talk::Peer(GREETING)], &end, b"");
        dialogue(
            || Opening::new(&start(CLEAR)),
            &[Talk::Peer(GREETING)],
            &Opened::Ready(vec![]),
            b"",
        );
    }

    #[test]
    fn a_refusal_is_the_backends_own() {
        let end = Opened::Refused("BYE (TRYLATER) \"later\"\r\n".into());
        dialogue(
            || Opening::new(&start(Offer::TLS)),
            &[Talk::Peer("BYE (TRYLATER) \"later\"\r\n")],
            &end,
            b"",
        );
    }
}
