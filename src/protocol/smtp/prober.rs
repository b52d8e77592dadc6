//! Asks a backend what it can do.

use super::{
    capability,
    introduction::{Introduction, Told, answered},
    reply::{Found, Reply, reply},
};
use crate::{
    identity::Facts,
    protocol::{Dialogue, Learned, Next, Offer, line::printable},
};

/// Reads the greeting, introduces a client where the backend is told by XCLIENT, says EHLO and
/// good-bye.
#[derive(Debug)]
pub struct Prober {
    host: String,
    introduction: Option<Box<Introduction>>,
    state: State,
    learned: Learned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Introducing,
    Hello,
}

impl Prober {
    /// A prober that says EHLO with this name. `introduce`: a client to speak of.
    #[must_use]
    pub fn new(host: &str, introduce: Option<Facts>) -> Self {
        let introduction = introduce.map(|facts| Box::new(Introduction::new(facts, host)));
        let (host, learned) = (host.to_owned(), Learned::default());
        Self { host, introduction, state: State::Greeting, learned }
    }

    fn reply(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Next<Result<Learned, String>> {
        let text = reply.lines.first().map(|line| printable(line)).unwrap_or_default();
        match (self.state, &mut self.introduction) {
            (State::Introducing, Some(introduction)) => match introduction.reply(reply, out) {
                Told::All => {}
                Told::Deaf(why) => return Next::End(Err(why)),
                Told::More => return Next::Read,
                Told::Refused => return Next::End(Err(answered("XCLIENT", reply))),
            },
            _ if !reply.is_positive() => {
                return Next::End(Err(format!("it refuses with {} {text}", reply.code)));
            }
            (State::Greeting, Some(introduction)) => {
                introduction.begin(out);
                self.state = State::Introducing;
                return Next::Read;
            }
            (State::Hello, introduction) => {
                let mut edited = capability::edit(&reply.lines[1..], Offer::TLS);
                if introduction.is_some() {
                    edited = capability::without_layers(edited);
                }
                self.learned.capabilities = edited;
                out.extend_from_slice(b"QUIT\r\n");
                return Next::End(Ok(std::mem::take(&mut self.learned)));
            }
            _ => {}
        }
        // It has greeted whom it is to greet.
        self.learned.banner = text;
        self.state = State::Hello;
        out.extend_from_slice(format!("EHLO {}\r\n", self.host).as_bytes());
        Next::Read
    }
}

impl Dialogue for Prober {
    type End = Result<Learned, String>;

    fn start(&mut self, _out: &mut Vec<u8>) {}

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Self::End>) {
        match reply(input) {
            Found::Incomplete => (0, Next::Read),
            Found::Garbage => {
                let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
                (0, Next::End(Err(format!("it says {:?}, which is not SMTP", printable(line)))))
            }
            Found::Whole(reply) => (reply.taken, self.reply(&reply, out)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[test]
    fn it_learns_banner_and_capabilities() {
        let learned = Learned {
            banner: "mx.example ESMTP".into(),
            capabilities: ["PIPELINING", "AUTH PLAIN"].map(str::to_owned).into(),
        };
        dialogue(
            || Prober::new("front.example", None),
            &[
                Talk::Peer("220 mx.example ESMTP\r\n"),
                Talk::Front("EHLO front.example\r\n"),
                Talk::Peer(
                    "250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n",
                ),
                Talk::Front("QUIT\r\n"),
            ],
            &Ok(learned),
            b"",
        );
    }

    /// What is on offer to clients is known only once there is one.
    #[test]
    fn by_xclient_it_learns_what_a_client_is_offered() {
        let learned = Learned {
            banner: "to a client".into(),
            capabilities: ["SIZE", "AUTH PLAIN"].map(str::to_owned).into(),
        };
        let stranger = || Some(crate::identity::facts("192.0.2.1:1", "192.0.2.2:25", None));
        dialogue(
            || Prober::new("front.example", stranger()),
            &[
                Talk::Peer("220 to the front\r\n"),
                Talk::Front("EHLO front.example\r\n"),
                Talk::Peer("250-mx\r\n250-STARTTLS\r\n250 XCLIENT NAME ADDR\r\n"),
                Talk::Front("XCLIENT NAME=[TEMPUNAVAIL] ADDR=192.0.2.1\r\n"),
                Talk::Peer("220 to a client\r\n"),
                Talk::Front("EHLO front.example\r\n"),
                Talk::Peer("250-mx\r\n250-SIZE\r\n250-XCLIENT ADDR\r\n250 AUTH GSSAPI PLAIN\r\n"),
                Talk::Front("QUIT\r\n"),
            ],
            &Ok(learned),
            b"",
        );
    }
}
