//! Receives a backend's greeting for a session.

use super::{
    Filter, capability,
    introduction::{Introduction, Told},
};
use crate::protocol::{
    Dialogue, Next, Offer, Opened, Start,
    line::{line, printable, word},
};

/// Waits for `* OK`, and introduces the client where the backend is told by ID.
#[derive(Debug)]
pub struct Opening {
    /// Whether the client still waits for a greeting.
    greet: bool,
    /// What the client may be shown from now on.
    offer: Offer,
    introduction: Option<Introduction>,
    /// The greeting that waits until the client has been introduced.
    greeting: Option<Vec<u8>>,
}

impl Opening {
    /// The opening of a session of which this is known. Who has not been greeted yet gets the
    /// backend's own greeting.
    #[must_use]
    pub fn new(start: &Start) -> Self {
        let introduction = start.introduce.as_deref().map(Introduction::new);
        Self { greet: !start.greeted, offer: start.offer, introduction, greeting: None }
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
        let Some(line) = line(input) else { return (0, Next::Read) };
        if self.greeting.is_some() {
            return (line.taken, self.introducing(line.text));
        }
        let (star, rest) = word(line.text);
        let condition = word(rest).0.to_ascii_uppercase();
        let end = match (star, condition.as_slice()) {
            (b"*", b"OK") => {
                // RFC 9051 §6.2.1 has no second greeting after STARTTLS.
                let greeting =
                    if self.greet { greeting(line.text, self.offer) } else { Vec::new() };
                if let Some(introduction) = &self.introduction {
                    introduction.begin(out);
                    self.greeting = Some(greeting);
                    return (line.taken, Next::Read);
                }
                Opened::Ready(greeting)
            }
            (b"*", b"BYE") => Opened::Refused([line.text, b"\r\n"].concat()),
            // It would be a session that nobody has logged in to: RFC 9051 §7.1.4.
            (b"*", b"PREAUTH") => {
                Opened::Garbage("it greets with PREAUTH, before any login".into())
            }
            _ => Opened::Garbage(format!(
                "it greets with {:?}, which is not IMAP",
                printable(line.text)
            )),
        };
        (line.taken, Next::End(end))
    }
}

impl Opening {
    fn introducing(&mut self, text: &[u8]) -> Next<Opened> {
        match self.introduction.as_mut().map(|introduction| introduction.line(text)) {
            Some(Told::More) => Next::Read,
            Some(Told::Deaf(why)) => Next::End(Opened::Deaf(why)),
            Some(Told::Refused) => Next::End(Opened::Refused([text, b"\r\n"].concat())),
            Some(Told::All(_)) | None => {
                Next::End(Opened::Ready(self.greeting.take().unwrap_or_default()))
            }
        }
    }
}

fn greeting(text: &[u8], offer: Offer) -> Vec<u8> {
    let text = capability::edit_line(text, offer).map_or_else(|| text.to_vec(), String::into_bytes);
    [text.as_slice(), b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::facts,
        protocol::transcript::{Talk, dialogue, start},
    };

    fn opening(greet: bool) -> Opening {
        Opening::new(&start(greet))
    }

    fn introducing() -> Opening {
        let facts = Box::new(facts("192.0.2.1:4660", "198.51.100.2:143", None));
        Opening::new(&Start { introduce: Some(facts), ..start(true) })
    }

    const SAID: &str = "i ID (\"x-originating-ip\" \"192.0.2.1\" \"x-originating-port\" \"4660\" \"x-connected-ip\" \"198.51.100.2\" \"x-connected-port\" \"143\" \"x-session-id\" \"0000000000000000000000ab\" \"x-proxy-ttl\" \"4\" \"x-client-transport\" \"insecure\")\r\nc CAPABILITY\r\n";

    #[test]
    fn by_id_the_client_is_introduced_before_it_is_greeted() {
        dialogue(
            introducing,
            &[
                Talk::Peer("* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n"),
                Talk::Front(SAID),
                Talk::Peer(
                    "* ID (\"name\" {7}\r\nDovecot)\r\ni OK ID\r\n* CAPABILITY IMAP4rev1\r\nc OK\r\n",
                ),
            ],
            &Opened::Ready("* OK [CAPABILITY IMAP4rev1] hi\r\n".into()),
            b"",
        );
    }

    #[test]
    fn by_id_not_where_nobody_would_read_along_or_listen() {
        for (answer, why) in [
            ("i OK\r\n* CAPABILITY IMAP4rev1 Unauthenticate\r\nc OK\r\n", "UNAUTHENTICATE"),
            ("i BAD what?\r\n", "login_trusted_networks"),
            ("i OK\r\nc NO\r\n", "it answers CAPABILITY"),
        ] {
            let (mut machine, mut out, mut input) = (introducing(), Vec::new(), answer.as_bytes());
            assert_eq!(machine.step(b"* OK hi\r\n", &mut out), (9, Next::Read));
            let end = loop {
                let (taken, next) = machine.step(input, &mut out);
                input = &input[taken..];
                if let Next::End(end) = next {
                    break end;
                }
            };
            let Opened::Deaf(said) = end else { panic!("{end:?} to {answer:?}") };
            assert!(said.contains(why), "{said}");
        }
        dialogue(
            introducing,
            &[Talk::Peer("* OK hi\r\n"), Talk::Front(SAID), Talk::Peer("* BYE later\r\n")],
            &Opened::Refused("* BYE later\r\n".into()),
            b"",
        );
    }

    #[test]
    fn i6_i7_the_greeting_is_edited_or_consumed() {
        let greeting = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hi\r\n";
        let end = Opened::Ready("* OK [CAPABILITY IMAP4rev1] hi\r\n".into());
        dialogue(|| opening(true), &[Talk::Peer(greeting)], &end, b"");
        dialogue(|| opening(false), &[Talk::Peer(greeting)], &Opened::Ready(vec![]), b"");
    }

    #[test]
    fn i10_preauth_is_never_passed_on() {
        let end = Opened::Garbage("it greets with PREAUTH, before any login".into());
        dialogue(|| opening(true), &[Talk::Peer("* PREAUTH welcome\r\n")], &end, b"");
    }

    #[test]
    fn a_refusal_is_the_backends_own() {
        let end = Opened::Refused("* BYE [ALERT] closed for today\r\n".into());
        dialogue(|| opening(false), &[Talk::Peer("* BYE [ALERT] closed for today\r\n")], &end, b"");
    }
}
