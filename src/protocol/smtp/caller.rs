//! Goes to any server as another mail server, or a mail program, does.

use super::{
    capability,
    reply::{Found, Reply, reply},
};
use crate::protocol::{Called, Dialogue, Errand, Next, line::printable};

/// Reads the greeting, says EHLO and STARTTLS; inside TLS, EHLO and good-bye.
#[derive(Debug)]
pub struct Caller {
    errand: Errand,
    host: String,
    state: State,
    capabilities: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Greeting,
    Ehlo,
    Starttls,
    /// So many replies have come since the good-bye.
    Leaving(usize),
}

impl Caller {
    /// A caller that says EHLO with this name.
    #[must_use]
    pub fn new(errand: Errand, host: &str) -> Self {
        let state = match errand {
            // RFC 3207 §4.2: there is no second greeting.
            Errand::Look { greeting: false } => State::Ehlo,
            Errand::Leave => State::Leaving(0),
            _ => State::Greeting,
        };
        Self { errand, host: host.to_owned(), state, capabilities: Vec::new() }
    }

    fn ehlo(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("EHLO {}\r\n", self.host).as_bytes());
        self.state = State::Ehlo;
    }

    fn reply(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Next<Called> {
        let capabilities = std::mem::take(&mut self.capabilities);
        match self.state {
            State::Greeting if reply.is_positive() => {
                self.ehlo(out);
                Next::Read
            }
            State::Greeting => Next::End(Called::Refused(said(reply))),
            State::Ehlo => self.offered(reply, out),
            State::Starttls if reply.code == 220 => Next::End(Called::Begin(capabilities)),
            State::Starttls => leave(Called::Denied(said(reply)), out),
            // QUIT is answered with 221, NOOP with anything but that: RFC 5321 §4.3.2.
            State::Leaving(0) if reply.code == 221 || reply.code == 421 => {
                Next::End(Called::Silent)
            }
            State::Leaving(0) if !reply.is_positive() => {
                self.state = State::Leaving(1);
                Next::Read
            }
            State::Leaving(_) => Next::End(Called::Answered(said(reply))),
        }
    }

    fn offered(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Next<Called> {
        let listed: Vec<String> = match reply.is_positive() {
            true => reply.lines[1..].iter().map(|line| printable(line)).collect(),
            // A server from before RFC 1869 has no extensions.
            false => Vec::new(),
        };
        let has_starttls = capability::has(&listed, "STARTTLS");
        match self.errand {
            Errand::Look { .. } if reply.is_positive() => leave(Called::Seen(listed), out),
            Errand::Look { .. } => leave(Called::Refused(said(reply)), out),
            _ if !has_starttls => leave(Called::NoTls(listed), out),
            errand => {
                out.extend_from_slice(b"STARTTLS\r\n");
                if errand == Errand::Smuggle {
                    out.extend_from_slice(b"NOOP\r\n");
                }
                self.state = State::Starttls;
                self.capabilities = listed;
                Next::Read
            }
        }
    }
}

impl Dialogue for Caller {
    type End = Called;

    fn start(&mut self, out: &mut Vec<u8>) {
        match self.state {
            State::Ehlo => self.ehlo(out),
            State::Leaving(_) => out.extend_from_slice(b"QUIT\r\n"),
            State::Greeting | State::Starttls => {}
        }
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Called>) {
        match reply(input) {
            Found::Incomplete => (0, Next::Read),
            Found::Garbage => {
                let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
                (0, Next::End(Called::Garbage(printable(line))))
            }
            Found::Whole(reply) => (reply.taken, self.reply(&reply, out)),
        }
    }
}

fn said(reply: &Reply<'_>) -> String {
    let text: Vec<String> = reply.lines.iter().map(|line| printable(line)).collect();
    format!("{} {}", reply.code, text.join(" "))
}

fn leave(end: Called, out: &mut Vec<u8>) -> Next<Called> {
    out.extend_from_slice(b"QUIT\r\n");
    Next::End(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue, listed};

    #[track_caller]
    fn call(errand: Errand, talk: &[Talk], end: &Called, left: &[u8]) {
        dialogue(|| Caller::new(errand, "[192.0.2.1]"), talk, end, left);
    }

    const OFFER: &str = "250-mx.example\r\n250-SIZE 1\r\n250 StartTLS\r\n";

    #[test]
    fn it_asks_for_tls_where_tls_is_offered() {
        let begin = Called::Begin(listed(&["SIZE 1", "StartTLS"]));
        for (errand, command) in
            [(Errand::Upgrade, "STARTTLS\r\n"), (Errand::Smuggle, "STARTTLS\r\nNOOP\r\n")]
        {
            let talk = [
                Talk::Peer("220-mx.example\r\n220 ESMTP\r\n"),
                Talk::Front("EHLO [192.0.2.1]\r\n"),
                Talk::Peer(OFFER),
                Talk::Front(command),
                Talk::Peer("220 go\r\n"),
            ];
            call(errand, &talk, &begin, b"");
        }
    }

    #[test]
    fn it_goes_where_there_is_no_tls() {
        let greeting = [Talk::Peer("220 mx\r\n"), Talk::Front("EHLO [192.0.2.1]\r\n")];
        for (answers, end) in [
            (&["250-mx\r\n250 SIZE\r\n"][..], Called::NoTls(listed(&["SIZE"]))),
            (&["500 what?\r\n"], Called::NoTls(vec![])),
            (&[OFFER, "454 4.7.0 later\r\n"], Called::Denied("454 4.7.0 later".into())),
        ] {
            let mut talk: Vec<Talk> = greeting
                .iter()
                .map(|t| match t {
                    Talk::Peer(p) => Talk::Peer(p),
                    Talk::Front(f) => Talk::Front(f),
                })
                .collect();
            talk.push(Talk::Peer(answers[0]));
            if let Some(second) = answers.get(1) {
                talk.push(Talk::Front("STARTTLS\r\n"));
                talk.push(Talk::Peer(second));
            }
            talk.push(Talk::Front("QUIT\r\n"));
            call(Errand::Upgrade, &talk, &end, b"");
        }
    }

    #[test]
    fn it_is_told_when_it_is_not_wanted() {
        let refused = Called::Refused("554 5.7.1 no".into());
        call(Errand::Upgrade, &[Talk::Peer("554 5.7.1 no\r\n")], &refused, b"");
        let garbage = Called::Garbage("* OK hello".into());
        call(Errand::Upgrade, &[Talk::Peer("* OK hello\r\n")], &garbage, b"* OK hello\r\n");
    }

    #[test]
    fn it_looks_inside() {
        let talk = [
            Talk::Front("EHLO [192.0.2.1]\r\n"),
            Talk::Peer("250-mx\r\n250 AUTH PLAIN\r\n"),
            Talk::Front("QUIT\r\n"),
        ];
        call(Errand::Look { greeting: false }, &talk, &Called::Seen(listed(&["AUTH PLAIN"])), b"");
    }

    #[test]
    fn it_hears_what_was_smuggled() {
        for (answer, end, left) in [
            ("221 bye\r\n", Called::Silent, ""),
            ("250 ok\r\n221 bye\r\n", Called::Answered("250 ok".into()), "221 bye\r\n"),
            ("503 first\r\n221 bye\r\n", Called::Answered("221 bye".into()), ""),
        ] {
            let talk = [Talk::Front("QUIT\r\n"), Talk::Peer(answer)];
            call(Errand::Leave, &talk, &end, left.as_bytes());
        }
    }
}
