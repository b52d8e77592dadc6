//! Receives a backend's greeting for a session.

use super::Filter;
use crate::protocol::{
    Dialogue, Next, Offer, Opened,
    line::{line, printable},
};

/// Waits for `+OK`.
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
        let end = if line.text.starts_with(b"+OK") {
            // RFC 2595 §4 has no second greeting inside TLS.
            Opened::Ready(if self.greet { greeting(line.text) } else { Vec::new() })
        } else if line.text.starts_with(b"-ERR") {
            Opened::Refused([line.text, b"\r\n"].concat())
        } else {
            Opened::Garbage(format!("it greets with {:?}, which is not POP3", printable(line.text)))
        };
        (line.taken, Next::End(end))
    }
}

/// The backend's greeting without Dovecot's offer to believe us.
fn greeting(text: &[u8]) -> Vec<u8> {
    let text = printable(text).replacen("[XCLIENT] ", "", 1);
    format!("{text}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[test]
    fn p12_the_live_greeting_passes_with_its_timestamp_and_without_xclient() {
        let ready = |text: &str| Opened::Ready(text.into());
        dialogue(
            || Opening::new(true, Offer::TLS),
            &[Talk::Peer("+OK [XCLIENT] Hi <1@h>\r\n")],
            &ready("+OK Hi <1@h>\r\n"),
            b"",
        );
        // P13
        dialogue(
            || Opening::new(false, Offer::TLS),
            &[Talk::Peer("+OK Hi\r\nmore")],
            &ready(""),
            b"more",
        );
    }

    #[test]
    fn a_refusal_is_the_backends_own() {
        let end = Opened::Refused("-ERR [SYS/PERM] No\r\n".into());
        dialogue(
            || Opening::new(false, Offer::TLS),
            &[Talk::Peer("-ERR [SYS/PERM] No\r\n")],
            &end,
            b"",
        );
    }
}
