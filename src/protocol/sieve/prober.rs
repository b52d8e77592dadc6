//! Asks a backend what it can do: it says so unasked.

use super::{
    capability, denied, is_deaf,
    syntax::{Frame, Token, frame},
};
use crate::{
    identity::{Facts, xclient},
    protocol::{Dialogue, Learned, Next, line::printable},
};

/// Reads the capability list that a backend greets with, and says good-bye. Where the backend is told
/// by XCLIENT, a client is introduced between.
#[derive(Debug, Default)]
pub struct Prober {
    /// The command that is still to be said.
    introduction: Option<String>,
    /// It has been said.
    introduced: bool,
    learned: Learned,
    seen: Vec<String>,
}

impl Prober {
    /// `introduce`: a client to speak of.
    #[must_use]
    pub fn new(introduce: Option<&Facts>) -> Self {
        Self { introduction: introduce.map(xclient::command), ..Self::default() }
    }

    fn leave(&mut self, out: &mut Vec<u8>) -> Next<Result<Learned, String>> {
        out.extend_from_slice(b"LOGOUT\r\n");
        Next::End(Ok(std::mem::take(&mut self.learned)))
    }
}

impl Dialogue for Prober {
    type End = Result<Learned, String>;

    fn start(&mut self, _out: &mut Vec<u8>) {}

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Self::End>) {
        let wrong = || {
            Next::End(Err(format!(
                "it greets with {:?}",
                printable(&input[..input.len().min(200)])
            )))
        };
        let (taken, tokens) = match frame(input) {
            Frame::Incomplete => return (0, Next::Read),
            Frame::Whole { taken, tokens } => (taken, tokens),
            Frame::Malformed { .. } | Frame::Ambiguous => return (0, wrong()),
        };
        let is_ok = tokens.first().and_then(Token::word).as_deref() == Some(b"OK");
        if self.introduced {
            let why = denied(&input[..taken]);
            return (taken, if is_ok { self.leave(out) } else { Next::End(Err(why)) });
        }
        if is_ok {
            let text = tokens.last().and_then(Token::string).unwrap_or_default();
            self.learned.banner = printable(text);
            let next = match (self.introduction.take(), is_deaf(&self.seen)) {
                (None, _) => self.leave(out),
                (Some(_), Some(why)) => Next::End(Err(why)),
                (Some(command), None) => {
                    out.extend_from_slice(command.as_bytes());
                    out.extend_from_slice(b"\r\n");
                    self.introduced = true;
                    Next::Read
                }
            };
            return (taken, next);
        }
        let Some((name, value)) = capability::parse(&tokens) else { return (0, wrong()) };
        if !self.seen.contains(&name) {
            self.learned.capabilities.push(capability::join(&name, value.as_deref()));
            self.seen.push(name);
        }
        (taken, Next::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[test]
    fn it_learns_banner_and_capabilities() {
        let capabilities = ["IMPLEMENTATION x y", "SASL PLAIN", "NOTIFY"].map(str::to_owned).into();
        dialogue(
            Prober::default,
            &[
                Talk::Peer(
                    "\"implementation\" \"x y\"\r\n\"SASL\" \"PLAIN\"\r\n\"SASL\" \"B\"\r\n\"NOTIFY\"\r\nOK (A \"b\") \"ready\"\r\n",
                ),
                Talk::Front("LOGOUT\r\n"),
            ],
            &Ok(Learned { banner: "ready".into(), capabilities }),
            b"",
        );
    }

    #[test]
    fn by_xclient_it_introduces_a_client() {
        let facts = crate::identity::facts("192.0.2.1:1", "192.0.2.2:2", None);
        let learned = Learned {
            banner: "ready".into(),
            capabilities: ["SASL PLAIN", "XCLIENT"].map(str::to_owned).into(),
        };
        dialogue(
            || Prober::new(Some(&facts)),
            &[
                Talk::Peer("\"SASL\" \"PLAIN\"\r\n\"XCLIENT\"\r\nOK \"ready\"\r\n"),
                Talk::Front(
                    "XCLIENT ADDR=192.0.2.1 PORT=1 SESSION=0000000000000000000000ab TTL=4 CLIENT-TRANSPORT=insecure\r\n",
                ),
                Talk::Peer("OK \"Updated\"\r\n"),
                Talk::Front("LOGOUT\r\n"),
            ],
            &Ok(learned),
            b"",
        );
    }
}
