//! Asks a backend what it can do: it says so unasked.

use super::{
    capability,
    syntax::{Frame, Token, frame},
};
use crate::protocol::{Dialogue, Learned, Next, line::printable};

/// Reads the capability list that a backend greets with, and says good-bye.
#[derive(Debug, Default)]
pub struct Prober {
    learned: Learned,
    seen: Vec<String>,
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
        if tokens.first().and_then(Token::word).as_deref() == Some(b"OK") {
            let text = tokens.last().and_then(Token::string).unwrap_or_default();
            self.learned.banner = printable(text);
            out.extend_from_slice(b"LOGOUT\r\n");
            return (taken, Next::End(Ok(std::mem::take(&mut self.learned))));
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
}
