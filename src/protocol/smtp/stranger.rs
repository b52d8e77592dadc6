//! Asks as a stranger whether mail for a foreign domain is taken: whether the server is an open relay.

use super::reply::{Found, Reply, reply};
use crate::protocol::{Dialogue, Next, line::printable};

/// Begins a message and never sends one. The session must be behind its EHLO.
#[derive(Debug, Default)]
pub struct Stranger {
    state: State,
    /// What was said of the mail for others.
    verdict: Option<Relaying>,
}

/// What a server says to a stranger's mail for somebody who is not its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relaying {
    /// It takes it, in these words: it is an open relay.
    Granted(String),
    /// It does not.
    Refused(String),
    /// It does not say: it may be another time, or was refused for another reason.
    Untold(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Mail,
    Rcpt,
    Rset,
}

/// RFC 2606 §3: nobody's domains, and no backend's own.
const MAIL: &[u8] = b"MAIL FROM:<stranger@example.net>\r\n";
const RCPT: &[u8] = b"RCPT TO:<stranger@example.com>\r\n";

/// RFC 3463, RFC 7372 and RFC 7505: that a domain takes no mail, or sends none from there, or that the
/// stranger's address has no name, says nothing about relaying. Others have better ones.
const ABOUT_OTHERS: [&str; 8] =
    ["5.1.2", "5.1.8", "5.1.10", "5.4.4", "5.7.23", "5.7.24", "5.7.25", "5.7.27"];

/// RFC 4954 §6 and RFC 3463 §3.8: what a server says at MAIL that wants a login. Anything else is about
/// the sender.
const ABOUT_LOGIN: [&str; 2] = ["5.7.0", "5.7.1"];

impl Stranger {
    fn reply(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Next<Relaying> {
        if self.state == State::Rset {
            out.extend_from_slice(b"QUIT\r\n");
            let untold = || Relaying::Untold(said(reply));
            return Next::End(self.verdict.take().unwrap_or_else(untold));
        }
        if self.state == State::Mail && reply.is_positive() {
            out.extend_from_slice(RCPT);
            self.state = State::Rcpt;
            return Next::Read;
        }
        let said = said(reply);
        let is_one_of = |codes: &[&str]| {
            let status = said.split(' ').nth(1).unwrap_or_default();
            codes.contains(&status)
        };
        let is_proof = match self.state {
            State::Mail => reply.code == 530 || is_one_of(&ABOUT_LOGIN),
            _ => !is_one_of(&ABOUT_OTHERS),
        };
        self.verdict = Some(match reply.code / 100 {
            2 => Relaying::Granted(said),
            5 if is_proof => Relaying::Refused(said),
            _ => Relaying::Untold(said),
        });
        out.extend_from_slice(b"RSET\r\n");
        self.state = State::Rset;
        Next::Read
    }
}

impl Dialogue for Stranger {
    type End = Relaying;

    fn start(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAIL);
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Relaying>) {
        match reply(input) {
            Found::Incomplete => (0, Next::Read),
            Found::Garbage => {
                let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
                let said = format!("it says {:?}, which is not SMTP", printable(line));
                (0, Next::End(self.verdict.take().unwrap_or(Relaying::Untold(said))))
            }
            Found::Whole(reply) => (reply.taken, self.reply(&reply, out)),
        }
    }
}

fn said(reply: &Reply<'_>) -> String {
    let text: Vec<String> = reply.lines.iter().map(|line| printable(line)).collect();
    format!("{} {}", reply.code, text.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[track_caller]
    fn asks(mail: &str, rcpt: Option<&str>, end: &Relaying) {
        let leak = |text: &str| -> &'static str { format!("{text}\r\n").leak() };
        let mut talk =
            vec![Talk::Front("MAIL FROM:<stranger@example.net>\r\n"), Talk::Peer(leak(mail))];
        if let Some(rcpt) = rcpt {
            talk.push(Talk::Front("RCPT TO:<stranger@example.com>\r\n"));
            talk.push(Talk::Peer(leak(rcpt)));
        }
        talk.extend([Talk::Front("RSET\r\n"), Talk::Peer("250 ok\r\n"), Talk::Front("QUIT\r\n")]);
        dialogue(Stranger::default, &talk, end, b"");
    }

    #[test]
    fn s17_a_stranger_never_says_data() {
        let words = "554 5.7.1 <stranger@example.com>: Relay access denied";
        asks("250 ok", Some(words), &Relaying::Refused(words.into()));
        asks("250 ok", Some("250 2.1.5 Ok"), &Relaying::Granted("250 2.1.5 Ok".into()));
        asks("250 ok", Some("251 will forward"), &Relaying::Granted("251 will forward".into()));
        asks("250 ok", Some("454 4.7.1 later"), &Relaying::Untold("454 4.7.1 later".into()));
        asks("530 5.7.0 login", None, &Relaying::Refused("530 5.7.0 login".into()));
        asks("451 4.7.1 later", None, &Relaying::Untold("451 4.7.1 later".into()));
    }

    #[test]
    fn what_is_said_of_the_domains_says_nothing_of_relaying() {
        for words in [
            "556 5.1.10 null MX",
            "550 5.7.27 null MX",
            "550 5.1.2 no such domain",
            "550 5.7.23 SPF",
            "550 5.7.25 no PTR",
        ] {
            asks("250 ok", Some(words), &Relaying::Untold(words.into()));
        }
        for words in ["550 5.7.1 log in first", "530 log in"] {
            asks(words, None, &Relaying::Refused(words.into()));
        }
        for words in ["550 not this sender", "550 5.1.7 not this sender", "550 5.7.23 SPF"] {
            asks(words, None, &Relaying::Untold(words.into()));
        }
    }
}
