//! Goes to any server as a mail program does.

use super::{
    capability,
    syntax::{Frame, Token, frame},
};
use crate::protocol::{Called, Dialogue, Errand, Next, line::printable};

/// Reads the capabilities that a server greets with, and asks STARTTLS; inside TLS, reads those that
/// it greets with again, and says good-bye.
#[derive(Debug)]
pub struct Caller {
    errand: Errand,
    state: State,
    capabilities: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Capabilities,
    Starttls,
    /// So many answers have come: RFC 5804 §2.2 wants the capabilities once more, then the
    /// good-bye is answered.
    Leaving(usize),
}

const LOGOUT: &[u8] = b"LOGOUT\r\n";
/// RFC 5804 §2.13: who answers, answers with this.
const TAG: &[u8] = b"smuggled";

impl Caller {
    /// A caller on this errand.
    #[must_use]
    pub fn new(errand: Errand) -> Self {
        let state = if errand == Errand::Leave { State::Leaving(0) } else { State::Capabilities };
        Self { errand, state, capabilities: Vec::new() }
    }

    /// A whole answer, and whether it is OK.
    fn answer(&mut self, said: String, tokens: &[Token<'_>], out: &mut Vec<u8>) -> Next<Called> {
        let is_ok = tokens.first().and_then(Token::word).as_deref() == Some(b"OK");
        let capabilities = std::mem::take(&mut self.capabilities);
        match (self.state, self.errand) {
            (State::Capabilities, _) if !is_ok => Next::End(Called::Refused(said)),
            (State::Capabilities, Errand::Look { .. }) => leave(Called::Seen(capabilities), out),
            (State::Capabilities, _)
                if !capabilities.iter().any(|c| c.eq_ignore_ascii_case("STARTTLS")) =>
            {
                leave(Called::NoTls(capabilities), out)
            }
            (State::Capabilities, errand) => {
                out.extend_from_slice(b"STARTTLS\r\n");
                if errand == Errand::Smuggle {
                    out.extend_from_slice(b"NOOP \"smuggled\"\r\n");
                }
                self.state = State::Starttls;
                self.capabilities = capabilities;
                Next::Read
            }
            (State::Starttls, _) if is_ok => Next::End(Called::Begin(capabilities)),
            (State::Starttls, _) => leave(Called::Denied(said), out),
            (State::Leaving(answers), _) => {
                let is_tagged = tokens.iter().any(|token| token.string() == Some(TAG));
                if is_tagged || answers == 2 {
                    return Next::End(Called::Answered(said));
                }
                self.state = State::Leaving(answers + 1);
                Next::Read
            }
        }
    }
}

impl Dialogue for Caller {
    type End = Called;

    fn start(&mut self, out: &mut Vec<u8>) {
        match (self.state, self.errand) {
            (State::Leaving(_), _) => out.extend_from_slice(LOGOUT),
            (_, Errand::Look { greeting: false }) => out.extend_from_slice(b"CAPABILITY\r\n"),
            _ => {}
        }
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Called>) {
        let line = || {
            let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
            printable(line)
        };
        let (taken, tokens) = match frame(input) {
            Frame::Incomplete => return (0, Next::Read),
            Frame::Whole { taken, tokens } => (taken, tokens),
            Frame::Malformed { .. } | Frame::Ambiguous => {
                return (0, Next::End(Called::Garbage(line())));
            }
        };
        let word = tokens.first().and_then(Token::word);
        let next = match word.as_deref() {
            Some(b"OK" | b"NO" | b"BYE") => self.answer(line(), &tokens, out),
            Some(_) => Next::End(Called::Garbage(line())),
            None => match capability::parse(&tokens) {
                Some((name, value)) => {
                    self.capabilities.push(capability::join(&name, value.as_deref()));
                    Next::Read
                }
                None => Next::End(Called::Garbage(line())),
            },
        };
        (taken, next)
    }
}

fn leave(end: Called, out: &mut Vec<u8>) -> Next<Called> {
    out.extend_from_slice(LOGOUT);
    Next::End(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[track_caller]
    fn call(errand: Errand, talk: &[Talk], end: &Called, left: &[u8]) {
        dialogue(|| Caller::new(errand), talk, end, left);
    }

    const LIST: &str = "\"SASL\" \"PLAIN\"\r\n\"STARTTLS\"\r\nOK \"hello\"\r\n";

    fn listed() -> Vec<String> {
        ["SASL PLAIN", "STARTTLS"].map(str::to_owned).into()
    }

    #[test]
    fn it_asks_for_tls_where_tls_is_offered() {
        for (errand, command) in [
            (Errand::Upgrade, "STARTTLS\r\n"),
            (Errand::Smuggle, "STARTTLS\r\nNOOP \"smuggled\"\r\n"),
        ] {
            let talk = [Talk::Peer(LIST), Talk::Front(command), Talk::Peer("OK\r\n")];
            call(errand, &talk, &Called::Begin(listed()), b"");
        }
        let talk = [
            Talk::Peer(LIST),
            Talk::Front("STARTTLS\r\n"),
            Talk::Peer("NO \"later\"\r\n"),
            Talk::Front("LOGOUT\r\n"),
        ];
        call(Errand::Upgrade, &talk, &Called::Denied("NO \"later\"".into()), b"");
    }

    #[test]
    fn it_goes_where_there_is_no_tls() {
        let talk = [Talk::Peer("\"SIEVE\" \"\"\r\nOK\r\n"), Talk::Front("LOGOUT\r\n")];
        call(Errand::Upgrade, &talk, &Called::NoTls(vec!["SIEVE ".into()]), b"");
        let refused = Called::Refused("BYE \"no\"".into());
        call(Errand::Upgrade, &[Talk::Peer("BYE \"no\"\r\n")], &refused, b"");
        call(Errand::Upgrade, &[Talk::Peer("+OK hi\r\n")], &Called::Garbage("+OK hi".into()), b"");
    }

    #[test]
    fn it_looks_inside() {
        let talk = [Talk::Peer(LIST), Talk::Front("LOGOUT\r\n")];
        call(Errand::Look { greeting: true }, &talk, &Called::Seen(listed()), b"");
    }

    #[test]
    fn it_hears_what_was_smuggled() {
        for answers in [
            "OK (TAG \"smuggled\") \"done\"\r\n",
            "\"SASL\" \"\"\r\nOK\r\nNO \"NOOP?\"\r\nOK \"bye\"\r\n",
        ] {
            let last = answers.lines().last().unwrap_or_default().to_owned();
            let talk = [Talk::Front("LOGOUT\r\n"), Talk::Peer(answers)];
            call(Errand::Leave, &talk, &Called::Answered(last), b"");
        }
    }
}
