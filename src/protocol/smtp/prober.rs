//! Asks a backend what it can do.

use super::{
    capability,
    reply::{Found, Reply, reply},
};
use crate::protocol::{Dialogue, Learned, Next, Offer, line::printable};

/// Reads the greeting, says EHLO and good-bye.
#[derive(Debug)]
pub struct Prober {
    host: String,
    learned: Option<Learned>,
}

impl Prober {
    /// A prober that says EHLO with this name.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self { host: host.to_owned(), learned: None }
    }

    fn reply(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Next<Result<Learned, String>> {
        let text = reply.lines.first().map(|line| printable(line)).unwrap_or_default();
        if !reply.is_positive() {
            return Next::End(Err(format!("it refuses with {} {text}", reply.code)));
        }
        let Some(mut learned) = self.learned.take() else {
            self.learned = Some(Learned { banner: text, capabilities: Vec::new() });
            out.extend_from_slice(format!("EHLO {}\r\n", self.host).as_bytes());
            return Next::Read;
        };
        learned.capabilities = capability::edit(&reply.lines[1..], Offer::TLS);
        out.extend_from_slice(b"QUIT\r\n");
        Next::End(Ok(learned))
    }
}

impl Dialogue for Prober {
    type End = Result<Learned, String>;

    fn start(&mut self, _out: &mut Vec<u8>) {}

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Self::End>) {
        match reply(input) {
            Found::Incomplete => (0, Next::Read),
            Found::Garbage => {
                let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
                (0, Next::End(Err(format!("it says {:?}, which is not SMTP", printable(line)))))
            }
            Found::Whole(reply) => (reply.taken, self.reply(&reply, out)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[test]
    fn it_learns_banner_and_capabilities() {
        let learned = Learned {
            banner: "mx.example ESMTP".into(),
            capabilities: ["PIPELINING", "AUTH PLAIN"].map(str::to_owned).into(),
        };
        dialogue(
            || Prober::new("front.example"),
            &[
                Talk::Peer("220 mx.example ESMTP\r\n"),
                Talk::Front("EHLO front.example\r\n"),
                Talk::Peer(
                    "250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n",
                ),
                Talk::Front("QUIT\r\n"),
            ],
            &Ok(learned),
            b"",
        );
    }
}
