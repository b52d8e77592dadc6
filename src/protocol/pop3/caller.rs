//! Goes to any server as a mail program does.

use crate::protocol::{
    Called, Dialogue, Errand, Next,
    line::{line, printable},
};

/// Reads the greeting, asks CAPA and STLS; inside TLS, CAPA and good-bye.
#[derive(Debug)]
pub struct Caller {
    errand: Errand,
    state: State,
    capabilities: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Capa,
    List,
    Stls,
    /// So many answers have come since the good-bye.
    Leaving(usize),
}

const CAPA: &[u8] = b"CAPA\r\n";
const QUIT: &[u8] = b"QUIT\r\n";

impl Caller {
    /// A caller on this errand.
    #[must_use]
    pub fn new(errand: Errand) -> Self {
        let state = match errand {
            // RFC 2595 §4: there is no second greeting.
            Errand::Look { greeting: false } => State::Capa,
            Errand::Leave => State::Leaving(0),
            _ => State::Greeting,
        };
        Self { errand, state, capabilities: Vec::new() }
    }

    /// Its capabilities are known; `listed`: from itself.
    fn offered(&mut self, listed: bool, out: &mut Vec<u8>) -> Next<Called> {
        let capabilities = std::mem::take(&mut self.capabilities);
        match self.errand {
            Errand::Look { .. } => leave(Called::Seen(capabilities), out),
            _ if listed && !capabilities.iter().any(|c| c.eq_ignore_ascii_case("STLS")) => {
                leave(Called::NoTls(capabilities), out)
            }
            // A server from before RFC 2449 lists nothing, and may have it all the same.
            errand => {
                out.extend_from_slice(b"STLS\r\n");
                if errand == Errand::Smuggle {
                    out.extend_from_slice(b"NOOP\r\n");
                }
                self.state = State::Stls;
                self.capabilities = capabilities;
                Next::Read
            }
        }
    }

    fn answer(&mut self, text: &[u8], is_ok: bool, out: &mut Vec<u8>) -> Next<Called> {
        let capabilities = std::mem::take(&mut self.capabilities);
        match self.state {
            State::Greeting if is_ok => {
                out.extend_from_slice(CAPA);
                self.state = State::Capa;
                Next::Read
            }
            State::Greeting => Next::End(Called::Refused(printable(text))),
            State::Capa if is_ok => {
                self.state = State::List;
                Next::Read
            }
            State::Capa => self.offered(false, out),
            State::Stls if is_ok => Next::End(Called::Begin(capabilities)),
            State::Stls if capabilities.is_empty() => leave(Called::NoTls(capabilities), out),
            State::Stls => leave(Called::Denied(printable(text)), out),
            // One is for QUIT.
            State::Leaving(0) => {
                self.state = State::Leaving(1);
                Next::Read
            }
            State::List | State::Leaving(_) => Next::End(Called::Answered(printable(text))),
        }
    }
}

impl Dialogue for Caller {
    type End = Called;

    fn start(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Capa => out.extend_from_slice(CAPA),
            State::Leaving(_) => out.extend_from_slice(QUIT),
            State::Greeting | State::List | State::Stls => {}
        }
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Called>) {
        let Some(line) = line(input) else { return (0, Next::Read) };
        let is_ok = line.text.starts_with(b"+OK");
        let next = match self.state {
            State::List if line.text == b"." => self.offered(true, out),
            State::List => {
                self.capabilities.push(printable(line.text));
                Next::Read
            }
            _ if is_ok || line.text.starts_with(b"-ERR") => self.answer(line.text, is_ok, out),
            _ => Next::End(Called::Garbage(printable(line.text))),
        };
        (line.taken, next)
    }
}

fn leave(end: Called, out: &mut Vec<u8>) -> Next<Called> {
    out.extend_from_slice(QUIT);
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
        let begin = Called::Begin(listed(&["UIDL", "STLS"]));
        for (errand, command) in
            [(Errand::Upgrade, "STLS\r\n"), (Errand::Smuggle, "STLS\r\nNOOP\r\n")]
        {
            let talk = [
                Talk::Peer("+OK hello\r\n"),
                Talk::Front("CAPA\r\n"),
                Talk::Peer("+OK\r\nUIDL\r\nSTLS\r\n.\r\n"),
                Talk::Front(command),
                Talk::Peer("+OK go\r\n"),
            ];
            call(errand, &talk, &begin, b"");
        }
    }

    #[test]
    fn it_asks_also_where_nothing_is_listed() {
        for (answer, end, bye) in [
            ("+OK go\r\n", Called::Begin(vec![]), ""),
            ("-ERR what?\r\n", Called::NoTls(vec![]), "QUIT\r\n"),
        ] {
            let talk = [
                Talk::Peer("+OK hello\r\n"),
                Talk::Front("CAPA\r\n"),
                Talk::Peer("-ERR what?\r\n"),
                Talk::Front("STLS\r\n"),
                Talk::Peer(answer),
                Talk::Front(bye),
            ];
            call(Errand::Upgrade, &talk, &end, b"");
        }
    }

    #[test]
    fn it_goes_where_there_is_no_tls() {
        let talk = [
            Talk::Peer("+OK hello\r\n"),
            Talk::Front("CAPA\r\n"),
            Talk::Peer("+OK\r\nUIDL\r\n.\r\n"),
            Talk::Front("QUIT\r\n"),
        ];
        call(Errand::Upgrade, &talk, &Called::NoTls(listed(&["UIDL"])), b"");
        let refused = Called::Refused("-ERR no".into());
        call(Errand::Upgrade, &[Talk::Peer("-ERR no\r\n")], &refused, b"");
        call(Errand::Upgrade, &[Talk::Peer("220 mx\r\n")], &Called::Garbage("220 mx".into()), b"");
    }

    #[test]
    fn it_looks_inside() {
        let talk =
            [Talk::Front("CAPA\r\n"), Talk::Peer("+OK\r\nUSER\r\n.\r\n"), Talk::Front("QUIT\r\n")];
        call(Errand::Look { greeting: false }, &talk, &Called::Seen(listed(&["USER"])), b"");
    }

    #[test]
    fn it_hears_what_was_smuggled() {
        let talk = [Talk::Front("QUIT\r\n"), Talk::Peer("-ERR what?\r\n+OK bye\r\n")];
        call(Errand::Leave, &talk, &Called::Answered("+OK bye".into()), b"");
    }
}
