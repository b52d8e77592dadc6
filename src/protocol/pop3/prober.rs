//! Asks a backend what it can do.

use super::{XCLIENT, capability, denied, is_deaf};
use crate::{
    identity::{Facts, xclient},
    protocol::{
        Dialogue, Learned, Next, Offer,
        line::{line, printable},
    },
};

/// Reads the greeting, asks CAPA and says good-bye. Where the backend is told by XCLIENT, a client is
/// introduced first.
#[derive(Debug, Default)]
pub struct Prober {
    state: State,
    /// The command that is still to be said.
    introduction: Option<String>,
    learned: Learned,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Greeting,
    Introducing,
    Capa,
    List,
}

impl Dialogue for Prober {
    type End = Result<Learned, String>;

    fn start(&mut self, _out: &mut Vec<u8>) {}

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Self::End>) {
        let Some(line) = line(input) else { return (0, Next::Read) };
        let ok = line.text.strip_prefix(b"+OK");
        let next = match (&self.state, ok) {
            (State::Greeting, None) => {
                Next::End(Err(format!("it greets with {:?}", printable(line.text))))
            }
            (State::Greeting, Some(text)) => {
                self.learned.banner = printable(text.trim_ascii()).replacen(XCLIENT, "", 1);
                if let Some(command) = self.introduction.take() {
                    if let Some(why) = is_deaf(line.text) {
                        return (line.taken, Next::End(Err(why)));
                    }
                    out.extend_from_slice(command.as_bytes());
                    out.extend_from_slice(b"\r\n");
                    self.state = State::Introducing;
                    return (line.taken, Next::Read);
                }
                out.extend_from_slice(b"CAPA\r\n");
                self.state = State::Capa;
                Next::Read
            }
            (State::Introducing, None) => Next::End(Err(denied(line.text))),
            (State::Introducing, Some(_)) => {
                out.extend_from_slice(b"CAPA\r\n");
                self.state = State::Capa;
                Next::Read
            }
            // A server from before RFC 2449. What every server can do (RFC 1939) is listed for it.
            (State::Capa, None) => {
                self.learned.capabilities = ["USER", "UIDL", "TOP"].map(str::to_owned).into();
                self.quit(out)
            }
            (State::Capa, Some(_)) => {
                self.state = State::List;
                Next::Read
            }
            (State::List, _) if line.text == b"." => self.quit(out),
            (State::List, _) => {
                let text = printable(line.text);
                self.learned.capabilities.extend(capability::edit(&text, Offer::TLS));
                Next::Read
            }
        };
        (line.taken, next)
    }
}

impl Prober {
    /// `introduce`: a client to speak of.
    #[must_use]
    pub fn new(introduce: Option<&Facts>) -> Self {
        Self { introduction: introduce.map(xclient::command), ..Self::default() }
    }

    fn quit(&mut self, out: &mut Vec<u8>) -> Next<Result<Learned, String>> {
        out.extend_from_slice(b"QUIT\r\n");
        Next::End(Ok(std::mem::take(&mut self.learned)))
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
            capabilities: ["TOP", "USER", "SASL PLAIN"].map(str::to_owned).into(),
        };
        dialogue(
            Prober::default,
            &[
                Talk::Peer("+OK [XCLIENT] Dovecot ready.\r\n"),
                Talk::Front("CAPA\r\n"),
                Talk::Peer("+OK\r\nTOP\r\nUSER\r\nSTLS\r\nSASL PLAIN\r\n.\r\n"),
                Talk::Front("QUIT\r\n"),
            ],
            &Ok(learned),
            b"",
        );
    }

    #[test]
    fn by_xclient_it_learns_what_a_client_is_offered() {
        let facts = crate::identity::facts("192.0.2.1:1", "192.0.2.2:2", None);
        let learned =
            Learned { banner: "hi".into(), capabilities: ["USER"].map(str::to_owned).into() };
        dialogue(
            || Prober::new(Some(&facts)),
            &[
                Talk::Peer("+OK [XCLIENT] hi\r\n"),
                Talk::Front(
                    "XCLIENT ADDR=192.0.2.1 PORT=1 SESSION=0000000000000000000000ab TTL=4 CLIENT-TRANSPORT=insecure\r\n",
                ),
                Talk::Peer("+OK Updated\r\n"),
                Talk::Front("CAPA\r\n"),
                Talk::Peer("+OK\r\nUSER\r\n.\r\n"),
                Talk::Front("QUIT\r\n"),
            ],
            &Ok(learned),
            b"",
        );
        let (mut machine, mut out) = (Prober::new(Some(&facts)), Vec::new());
        let (_, next) = machine.step(b"+OK hi\r\n", &mut out);
        assert!(matches!(next, Next::End(Err(why)) if why.contains("login_trusted_networks")));
    }
}
