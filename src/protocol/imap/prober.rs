//! Asks a backend what it can do.

use super::capability;
use crate::protocol::{
    Dialogue, Learned, Next, Offer,
    line::{line, printable, word},
};

/// Reads the greeting, asks CAPABILITY and says good-bye.
#[derive(Debug, Default)]
pub struct Prober {
    greeted: bool,
    learned: Learned,
}

impl Prober {
    fn greeting(&mut self, text: &[u8], out: &mut Vec<u8>) -> Next<Result<Learned, String>> {
        let (star, rest) = word(text);
        let (condition, rest) = word(rest);
        match (star, condition.to_ascii_uppercase().as_slice()) {
            (b"*", b"OK") => {
                let text = printable(rest);
                // Behind the code, if there is one.
                let banner = text
                    .strip_prefix('[')
                    .and_then(|t| t.split_once(']'))
                    .map_or(text.as_str(), |(_, t)| t);
                self.learned.banner = banner.trim().to_owned();
                self.greeted = true;
                out.extend_from_slice(b"1 CAPABILITY\r\n");
                Next::Read
            }
            (b"*", b"PREAUTH") => Next::End(Err("it greets with PREAUTH, before any login".into())),
            _ => Next::End(Err(format!("it greets with {:?}", printable(text)))),
        }
    }
}

impl Dialogue for Prober {
    type End = Result<Learned, String>;

    fn start(&mut self, _out: &mut Vec<u8>) {}

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Self::End>) {
        let Some(line) = line(input) else { return (0, Next::Read) };
        let next = match word(line.text) {
            _ if !self.greeted => self.greeting(line.text, out),
            (b"1", rest) if word(rest).0.eq_ignore_ascii_case(b"OK") => {
                out.extend_from_slice(b"2 LOGOUT\r\n");
                Next::End(Ok(std::mem::take(&mut self.learned)))
            }
            (b"1", rest) => {
                Next::End(Err(format!("it answers CAPABILITY with {:?}", printable(rest))))
            }
            _ => {
                if let Some(listed) = capability::listed(line.text) {
                    let edited = capability::edit(listed.iter().map(String::as_str), Offer::TLS);
                    self.learned.capabilities = edited.into_iter().map(str::to_owned).collect();
                }
                Next::Read
            }
        };
        (line.taken, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[test]
    fn it_learns_banner_and_capabilities() {
        let learned = Learned {
            banner: "Dovecot ready.".into(),
            capabilities: ["IMAP4rev1", "AUTH=PLAIN"].map(str::to_owned).into(),
        };
        dialogue(
            Prober::default,
            &[
                Talk::Peer("* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n"),
                Talk::Front("1 CAPABILITY\r\n"),
                Talk::Peer("* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n1 OK done\r\n"),
                Talk::Front("2 LOGOUT\r\n"),
            ],
            &Ok(learned),
            b"",
        );
    }
}
