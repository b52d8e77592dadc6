//! Receives a backend's greeting for a session.

use super::{Filter, XCLIENT, denied, is_deaf};
use crate::{
    identity::xclient,
    protocol::{
        Dialogue, Next, Offer, Opened, Start,
        line::{line, printable},
    },
};

/// Waits for `+OK`, and introduces the client where the backend is told by XCLIENT.
#[derive(Debug)]
pub struct Opening {
    /// Whether the client still waits for a greeting.
    greet: bool,
    /// What the client may be shown from now on.
    offer: Offer,
    /// The command that is still to be said.
    introduction: Option<String>,
    /// The greeting that waits until the client has been introduced.
    greeting: Option<Vec<u8>>,
}

impl Opening {
    /// The opening of a session of which this is known. Who has not been greeted yet gets the
    /// backend's own greeting.
    #[must_use]
    pub fn new(start: &Start) -> Self {
        let introduction = start.introduce.as_deref().map(xclient::command);
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
        let is_ok = line.text.starts_with(b"+OK");
        let end = match (self.greeting.take(), self.introduction.take()) {
            (Some(greeting), _) if is_ok => Opened::Ready(greeting),
            (Some(_), _) => Opened::Deaf(denied(line.text)),
            (None, introduction) if is_ok => {
                // RFC 2595 §4 has no second greeting inside TLS.
                let greeting = if self.greet { greeting(line.text) } else { Vec::new() };
                match (introduction, is_deaf(line.text)) {
                    (None, _) => Opened::Ready(greeting),
                    (Some(_), Some(why)) => Opened::Deaf(why),
                    (Some(command), None) => {
                        out.extend_from_slice(command.as_bytes());
                        out.extend_from_slice(b"\r\n");
                        self.greeting = Some(greeting);
                        return (line.taken, Next::Read);
                    }
                }
            }
            _ if line.text.starts_with(b"-ERR") => Opened::Refused([line.text, b"\r\n"].concat()),
            _ => Opened::Garbage(format!(
                "it greets with {:?}, which is not POP3",
                printable(line.text)
            )),
        };
        (line.taken, Next::End(end))
    }
}

/// The backend's greeting without Dovecot's offer to believe us.
fn greeting(text: &[u8]) -> Vec<u8> {
    let text = printable(text).replacen(XCLIENT, "", 1);
    format!("{text}\r\n").into_bytes()
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

    #[test]
    fn by_xclient_the_client_is_introduced_before_it_is_greeted() {
        let facts = Box::new(facts("[2001:db8::1]:4660", "198.51.100.2:110", None));
        let introducing = || Opening::new(&Start { introduce: Some(facts.clone()), ..start(true) });
        let said = Talk::Front(
            "XCLIENT ADDR=2001:db8::1 PORT=4660 SESSION=0000000000000000000000ab TTL=4 CLIENT-TRANSPORT=insecure\r\n",
        );
        let greeting = || Talk::Peer("+OK [XCLIENT] Hi <1@h>\r\n");
        dialogue(
            introducing,
            &[greeting(), said, Talk::Peer("+OK Updated\r\n")],
            &Opened::Ready("+OK Hi <1@h>\r\n".into()),
            b"",
        );
        let (mut machine, mut out) = (introducing(), Vec::new());
        let (_, next) = machine.step(b"+OK Hi\r\n", &mut out);
        let Next::End(Opened::Deaf(why)) = next else { panic!("{next:?}") };
        assert!(why.contains("login_trusted_networks") && out.is_empty(), "{why}");
        let mut machine = introducing();
        assert_eq!(machine.step(b"+OK [XCLIENT] Hi\r\n", &mut out).1, Next::Read);
        let denied = Opened::Deaf("it answers XCLIENT with \"-ERR no\"".into());
        assert_eq!(machine.step(b"-ERR no\r\n", &mut out).1, Next::End(denied));
    }

    #[test]
    fn p12_the_live_greeting_passes_with_its_timestamp_and_without_xclient() {
        let ready = |text: &str| Opened::Ready(text.into());
        dialogue(
            || opening(true),
            &[Talk::Peer("+OK [XCLIENT] Hi <1@h>\r\n")],
            &ready("+OK Hi <1@h>\r\n"),
            b"",
        );
        // P13
        dialogue(|| opening(false), &[Talk::Peer("+OK Hi\r\nmore")], &ready(""), b"more");
    }

    #[test]
    fn a_refusal_is_the_backends_own() {
        let end = Opened::Refused("-ERR [SYS/PERM] No\r\n".into());
        dialogue(|| opening(false), &[Talk::Peer("-ERR [SYS/PERM] No\r\n")], &end, b"");
    }
}
