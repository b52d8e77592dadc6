//! Goes to any server as a mail program does.

use super::capability;
use crate::protocol::{
    Called, Dialogue, Errand, Next,
    line::{line, printable, word},
};

/// Reads the greeting, asks CAPABILITY and STARTTLS; inside TLS, CAPABILITY and good-bye.
#[derive(Debug)]
pub struct Caller {
    errand: Errand,
    state: State,
    capabilities: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Capability,
    Starttls,
    Leaving,
}

const CAPABILITY: &[u8] = b"c CAPABILITY\r\n";
const LOGOUT: &[u8] = b"o LOGOUT\r\n";

impl Caller {
    /// A caller on this errand.
    #[must_use]
    pub fn new(errand: Errand) -> Self {
        let state = match errand {
            // RFC 9051 §6.2.1: there is no second greeting.
            Errand::Look { greeting: false } => State::Capability,
            Errand::Leave => State::Leaving,
            _ => State::Greeting,
        };
        Self { errand, state, capabilities: Vec::new() }
    }

    fn greeting(&mut self, text: &[u8], out: &mut Vec<u8>) -> Next<Called> {
        let (star, rest) = word(text);
        let condition = word(rest).0.to_ascii_uppercase();
        match (star, condition.as_slice()) {
            (b"*", b"OK") => {
                out.extend_from_slice(CAPABILITY);
                self.state = State::Capability;
                Next::Read
            }
            // RFC 9051 §7.1.4: in this state it is too late for STARTTLS.
            (b"*", b"PREAUTH" | b"BYE") => Next::End(Called::Refused(printable(text))),
            _ => Next::End(Called::Garbage(printable(text))),
        }
    }

    /// The end of the command that was sent last.
    fn completed(&mut self, text: &[u8], out: &mut Vec<u8>) -> Next<Called> {
        let is_ok = word(word(text).1).0.eq_ignore_ascii_case(b"OK");
        let capabilities = std::mem::take(&mut self.capabilities);
        match (self.state, self.errand) {
            (State::Capability, _) if !is_ok => leave(Called::Refused(printable(text)), out),
            (State::Capability, Errand::Look { .. }) => leave(Called::Seen(capabilities), out),
            (State::Capability, _)
                if !capabilities.iter().any(|c| c.eq_ignore_ascii_case("STARTTLS")) =>
            {
                leave(Called::NoTls(capabilities), out)
            }
            (State::Capability, errand) => {
                out.extend_from_slice(b"s STARTTLS\r\n");
                if errand == Errand::Smuggle {
                    out.extend_from_slice(b"n NOOP\r\n");
                }
                self.state = State::Starttls;
                self.capabilities = capabilities;
                Next::Read
            }
            _ if is_ok => Next::End(Called::Begin(capabilities)),
            _ => leave(Called::Denied(printable(text)), out),
        }
    }
}

impl Dialogue for Caller {
    type End = Called;

    fn start(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Capability => out.extend_from_slice(CAPABILITY),
            State::Leaving => out.extend_from_slice(LOGOUT),
            State::Greeting | State::Starttls => {}
        }
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Called>) {
        let Some(line) = line(input) else { return (0, Next::Read) };
        let (tag, rest) = word(line.text);
        let next = match (self.state, tag) {
            (State::Greeting, _) => self.greeting(line.text, out),
            (State::Leaving, b"n") => Next::End(Called::Answered(printable(line.text))),
            (State::Leaving, b"o") => Next::End(Called::Silent),
            (State::Leaving, _) => Next::Read,
            (State::Capability, b"c") | (State::Starttls, b"s") => self.completed(line.text, out),
            (_, b"*") if word(rest).0.eq_ignore_ascii_case(b"BYE") => {
                Next::End(Called::Refused(printable(line.text)))
            }
            (_, b"*") => {
                if let Some(listed) = capability::listed(line.text) {
                    self.capabilities = listed;
                }
                Next::Read
            }
            _ => Next::End(Called::Garbage(printable(line.text))),
        };
        (line.taken, next)
    }
}

fn leave(end: Called, out: &mut Vec<u8>) -> Next<Called> {
    out.extend_from_slice(LOGOUT);
    Next::End(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue, listed};

    #[track_caller]
    fn call(errand: Errand, talk: &[Talk], end: &Called, left: &[u8]) {
        dialogue(|| Caller::new(errand), talk, end, left);
    }

    #[test]
    fn it_asks_for_tls_where_tls_is_offered() {
        let begin = Called::Begin(listed(&["IMAP4rev1", "starttls"]));
        for (errand, command) in
            [(Errand::Upgrade, "s STARTTLS\r\n"), (Errand::Smuggle, "s STARTTLS\r\nn NOOP\r\n")]
        {
            let talk = [
                Talk::Peer("* OK [CAPABILITY X] hello\r\n"),
                Talk::Front("c CAPABILITY\r\n"),
                Talk::Peer("* CAPABILITY IMAP4rev1 starttls\r\nc OK done\r\n"),
                Talk::Front(command),
                Talk::Peer("s OK go\r\n"),
            ];
            call(errand, &talk, &begin, b"");
        }
    }

    #[test]
    fn it_goes_where_there_is_no_tls() {
        let talk = [
            Talk::Peer("* OK hello\r\n"),
            Talk::Front("c CAPABILITY\r\n"),
            Talk::Peer("* CAPABILITY IMAP4rev1\r\nc OK done\r\n"),
            Talk::Front("o LOGOUT\r\n"),
        ];
        call(Errand::Upgrade, &talk, &Called::NoTls(listed(&["IMAP4rev1"])), b"");
        let talk = [
            Talk::Peer("* OK hello\r\n"),
            Talk::Front("c CAPABILITY\r\n"),
            Talk::Peer("* CAPABILITY STARTTLS\r\nc OK done\r\n"),
            Talk::Front("s STARTTLS\r\n"),
            Talk::Peer("s NO later\r\n"),
            Talk::Front("o LOGOUT\r\n"),
        ];
        call(Errand::Upgrade, &talk, &Called::Denied("s NO later".into()), b"");
    }

    #[test]
    fn it_is_told_when_it_is_not_wanted() {
        for text in ["* BYE no", "* PREAUTH you again"] {
            let line: &'static str = format!("{text}\r\n").leak();
            call(Errand::Upgrade, &[Talk::Peer(line)], &Called::Refused(text.into()), b"");
        }
        call(Errand::Upgrade, &[Talk::Peer("+OK\r\n")], &Called::Garbage("+OK".into()), b"");
    }

    #[test]
    fn it_looks_inside() {
        let talk = [
            Talk::Front("c CAPABILITY\r\n"),
            Talk::Peer("* CAPABILITY AUTH=PLAIN\r\nc OK done\r\n"),
            Talk::Front("o LOGOUT\r\n"),
        ];
        call(Errand::Look { greeting: false }, &talk, &Called::Seen(listed(&["AUTH=PLAIN"])), b"");
    }

    #[test]
    fn it_hears_what_was_smuggled() {
        for (answer, end, left) in [
            ("* BYE\r\no OK\r\n", Called::Silent, ""),
            ("n OK\r\n* BYE\r\n", Called::Answered("n OK".into()), "* BYE\r\n"),
            ("* BYE\r\nn BAD\r\n", Called::Answered("n BAD".into()), ""),
        ] {
            let talk = [Talk::Front("o LOGOUT\r\n"), Talk::Peer(answer)];
            call(Errand::Leave, &talk, &end, left.as_bytes());
        }
    }
}
