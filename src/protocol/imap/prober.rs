//! Asks a backend what it can do.

use super::{
    capability,
    introduction::{Introduction, Told},
};
use crate::{
    identity::Facts,
    protocol::{
        Dialogue, Learned, Next, Offer,
        line::{line, printable, word},
    },
};

/// Reads the greeting, asks CAPABILITY and says good-bye. Where the backend is told by ID, a client
/// is introduced first.
#[derive(Debug, Default)]
pub struct Prober {
    greeted: bool,
    introduction: Option<Introduction>,
    learned: Learned,
}

impl Prober {
    /// `introduce`: a client to speak of.
    #[must_use]
    pub fn new(introduce: Option<&Facts>) -> Self {
        Self { introduction: introduce.map(Introduction::new), ..Self::default() }
    }

    fn introducing(&mut self, text: &[u8], out: &mut Vec<u8>) -> Next<Result<Learned, String>> {
        match self.introduction.as_mut().map(|introduction| introduction.line(text)) {
            Some(Told::Deaf(why)) => Next::End(Err(why)),
            Some(Told::Refused) => Next::End(Err(format!("it says {:?}", printable(text)))),
            Some(Told::All(listed)) => {
                self.lists(&listed);
                self.leave(out)
            }
            Some(Told::More) | None => Next::Read,
        }
    }

    fn lists(&mut self, listed: &[String]) {
        let edited = capability::edit(listed.iter().map(String::as_str), Offer::TLS);
        self.learned.capabilities = edited.into_iter().map(str::to_owned).collect();
    }

    fn leave(&mut self, out: &mut Vec<u8>) -> Next<Result<Learned, String>> {
        out.extend_from_slice(b"2 LOGOUT\r\n");
        Next::End(Ok(std::mem::take(&mut self.learned)))
    }

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
                match &self.introduction {
                    Some(introduction) => introduction.begin(out),
                    None => out.extend_from_slice(b"1 CAPABILITY\r\n"),
                }
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
            _ if self.introduction.is_some() => self.introducing(line.text, out),
            (b"1", rest) if word(rest).0.eq_ignore_ascii_case(b"OK") => self.leave(out),
            (b"1", rest) => {
                Next::End(Err(format!("it answers CAPABILITY with {:?}", printable(rest))))
            }
            _ => {
                if let Some(listed) = capability::listed(line.text) {
                    self.lists(&listed);
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

    #[test]
    fn by_id_it_learns_what_a_client_is_offered() {
        let facts = crate::identity::facts("192.0.2.1:1", "192.0.2.2:2", None);
        let learned =
            Learned { banner: "hi".into(), capabilities: ["IMAP4rev1"].map(str::to_owned).into() };
        dialogue(
            || Prober::new(Some(&facts)),
            &[
                Talk::Peer("* OK [CAPABILITY LOGINDISABLED] hi\r\n"),
                Talk::Front(
                    "i ID (\"x-originating-ip\" \"192.0.2.1\" \"x-originating-port\" \"1\" \"x-connected-ip\" \"192.0.2.2\" \"x-connected-port\" \"2\" \"x-session-id\" \"0000000000000000000000ab\" \"x-proxy-ttl\" \"4\" \"x-client-transport\" \"insecure\")\r\nc CAPABILITY\r\n",
                ),
                Talk::Peer("* ID NIL\r\ni OK done\r\n* CAPABILITY IMAP4rev1\r\nc OK done\r\n"),
                Talk::Front("2 LOGOUT\r\n"),
            ],
            &Ok(learned),
            b"",
        );
    }
}
