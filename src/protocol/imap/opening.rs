//! Receives a backend's greeting for a session.

use super::{Filter, capability};
use crate::protocol::{
    Dialogue, Next, Offer, Opened,
    line::{line, printable, word},
};

/// Waits for `* OK`.
#[derive(Debug)]
pub struct Opening {
    /// Whether the client still waits for a greeting.
    greet: bool,
    /// What the client may be shown from now on.
    offer: Offer,
}

impl Opening {
    /// `greet`: the client has not been greeted yet, so it gets the backend's own greeting.
    #[must_use]
    pub fn new(greet: bool, offer: Offer) -> Self {
        Self { greet, offer }
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
        let Some(line) = line(input) else { return (0, Next::Read) };
        let (star, rest) = word(line.text);
        let condition = word(rest).0.to_ascii_uppercase();
        let end = match (star, condition.as_slice()) {
            (b"*", b"OK") => {
                // RFC 9051 §6.2.1 has no second greeting after STARTTLS.
                Opened::Ready(if self.greet { greeting(line.text, self.offer) } else { Vec::new() })
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

fn greeting(text: &[u8], offer: Offer) -> Vec<u8> {
    let text = capability::edit_line(text, offer).map_or_else(|| text.to_vec(), String::into_bytes);
    [text.as_slice(), b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[test]
    fn i6_i7_the_greeting_is_edited_or_consumed() {
        let greeting = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] hi\r\n";
        let end = Opened::Ready("* OK [CAPABILITY IMAP4rev1] hi\r\n".into());
        dialogue(|| Opening::new(true, Offer::TLS), &[Talk::Peer(greeting)], &end, b"");
        dialogue(
            || Opening::new(false, Offer::TLS),
            &[Talk::Peer(greeting)],
            &Opened::Ready(vec![]),
            b"",
        );
    }

    #[test]
    fn i10_preauth_is_never_passed_on() {
        let end = Opened::Garbage("it greets with PREAUTH, before any login".into());
        dialogue(
            || Opening::new(true, Offer::TLS),
            &[Talk::Peer("* PREAUTH welcome\r\n")],
            &end,
            b"",
        );
    }

    #[test]
    fn a_refusal_is_the_backends_own() {
        let end = Opened::Refused("* BYE [ALERT] closed for today\r\n".into());
        dialogue(
            || Opening::new(false, Offer::TLS),
            &[Talk::Peer("* BYE [ALERT] closed for today\r\n")],
            &end,
            b"",
        );
    }
}
