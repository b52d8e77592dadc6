//! Receives a backend's greeting for a session, and says the client's EHLO again where the client
//! has said it to us.

use super::{
    Filter,
    introduction::{Introduction, Told, answered},
    reply::{Found, Reply, push, reply},
};
use crate::protocol::{Dialogue, Next, Opened, Start, line::printable};

/// Waits for `220`, introduces the client where the backend is told by XCLIENT, and waits for `250`
/// where the client was greeted in clear.
#[derive(Debug)]
pub struct Opening {
    start: Start,
    introduction: Option<Box<Introduction>>,
    state: State,
    /// What this session's EHLO reply lists.
    listed: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Introducing,
    Hello,
}

impl Opening {
    /// The opening of a session of which this is known.
    #[must_use]
    pub fn new(mut start: Start) -> Self {
        let introduction =
            start.introduce.take().map(|facts| Box::new(Introduction::new(*facts, &start.host)));
        Self { start, introduction, state: State::Greeting, listed: Vec::new() }
    }

    /// The filter for the session that has been opened.
    #[must_use]
    pub fn filter(self) -> Filter {
        let filter = Filter::new(self.start.offer, self.start.bare_newline, &self.listed);
        if self.introduction.is_some() { filter.for_a_believer() } else { filter }
    }

    fn reply(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Next<Opened> {
        match (self.state, &mut self.introduction) {
            // What it says before it knows of the client is not meant for the client.
            (State::Greeting, Some(_)) if !reply.is_positive() => {
                Next::End(Opened::Deaf(answered("this front", reply)))
            }
            (State::Greeting, Some(introduction)) => {
                introduction.begin(out);
                self.state = State::Introducing;
                Next::Read
            }
            (State::Introducing, Some(introduction)) => match introduction.reply(reply, out) {
                Told::All => self.greeted(reply, out),
                Told::Deaf(why) => Next::End(Opened::Deaf(why)),
                Told::More => Next::Read,
                Told::Refused => refused(reply),
            },
            _ if !reply.is_positive() => refused(reply),
            (State::Hello, _) => {
                self.listed = reply.lines.iter().skip(1).map(|line| line.to_vec()).collect();
                Next::End(Opened::Ready(Vec::new()))
            }
            (State::Greeting | State::Introducing, _) => self.greeted(reply, out),
        }
    }

    fn greeted(&mut self, reply: &Reply<'_>, out: &mut Vec<u8>) -> Next<Opened> {
        if self.start.hello.is_empty() {
            let mut greeting = Vec::new();
            if !self.start.greeted {
                push(reply.code, &reply.lines, &mut greeting);
            }
            return Next::End(Opened::Ready(greeting));
        }
        out.extend_from_slice(&self.start.hello);
        self.state = State::Hello;
        Next::Read
    }
}

/// A 554 must not become days of retries, nor a 4yz a bounce.
fn refused(reply: &Reply<'_>) -> Next<Opened> {
    let mut words = Vec::new();
    push(reply.code, &reply.lines, &mut words);
    Next::End(Opened::Refused(words))
}

impl Dialogue for Opening {
    type End = Opened;

    fn start(&mut self, _out: &mut Vec<u8>) {}

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Opened>) {
        match reply(input) {
            Found::Incomplete => (0, Next::Read),
            Found::Garbage => {
                let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
                (
                    0,
                    Next::End(Opened::Garbage(format!(
                        "it says {:?}, which is not SMTP",
                        printable(line)
                    ))),
                )
            }
            Found::Whole(reply) => (reply.taken, self.reply(&reply, out)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::facts,
        protocol::{
            Offer,
            transcript::{Talk, dialogue},
        },
        values::BareNewline,
    };

    fn start(greet: bool, hello: &str) -> Start {
        Start {
            greeted: !greet,
            offer: Offer::TLS,
            hello: hello.into(),
            bare_newline: BareNewline::default(),
            host: "front.example".into(),
            introduce: None,
        }
    }

    fn opening(greet: bool, hello: &str) -> Opening {
        Opening::new(start(greet, hello))
    }

    fn introducing(greet: bool, hello: &str) -> Opening {
        let facts = Box::new(facts("192.0.2.1:4660", "198.51.100.2:25", None));
        Opening::new(Start { introduce: Some(facts), ..start(greet, hello) })
    }

    const OFFER: &str = "250-mx.example\r\n250-PIPELINING\r\n250 XCLIENT PORT ADDR\r\n";
    const EHLO: &str = "EHLO front.example\r\n";
    const XCLIENT: &str = "XCLIENT PORT=4660 ADDR=192.0.2.1\r\n";

    #[test]
    fn s6_s10_the_greeting_passes_or_is_consumed() {
        let greeting = "220-mx.example\r\n220 ESMTP\r\n";
        dialogue(
            || opening(true, ""),
            &[Talk::Peer(greeting)],
            &Opened::Ready(greeting.into()),
            b"",
        );
        dialogue(|| opening(false, ""), &[Talk::Peer(greeting)], &Opened::Ready(vec![]), b"");
    }

    #[test]
    fn a_client_in_clear_has_its_ehlo_said_again() {
        dialogue(
            || opening(false, "EHLO me\r\n"),
            &[
                Talk::Peer("220 mx\r\n"),
                Talk::Front("EHLO me\r\n"),
                Talk::Peer("250-mx\r\n250 CHUNKING\r\n"),
            ],
            &Opened::Ready(vec![]),
            b"",
        );
    }

    #[test]
    fn s27_a_backends_own_refusal_keeps_code_and_text() {
        let refused = |text: &str| Opened::Refused(text.into());
        dialogue(
            || opening(false, "EHLO me\r\n"),
            &[Talk::Peer("554-go\r\n554 away\r\n")],
            &refused("554-go\r\n554 away\r\n"),
            b"",
        );
        dialogue(
            || opening(false, "EHLO me\r\n"),
            &[
                Talk::Peer("220 mx\r\n"),
                Talk::Front("EHLO me\r\n"),
                Talk::Peer("450 4.7.1 later\r\n"),
            ],
            &refused("450 4.7.1 later\r\n"),
            b"",
        );
    }

    #[test]
    fn by_xclient_the_second_greeting_is_the_clients() {
        let before = [Talk::Peer("220 to you\r\n"), Talk::Front(EHLO), Talk::Peer(OFFER)];
        let [a, b, c] = before;
        dialogue(
            || introducing(true, ""),
            &[a, b, c, Talk::Front(XCLIENT), Talk::Peer("220 to the client\r\n")],
            &Opened::Ready("220 to the client\r\n".into()),
            b"",
        );
        dialogue(
            || introducing(false, "EHLO me\r\n"),
            &[
                Talk::Peer("220 to you\r\n"),
                Talk::Front(EHLO),
                Talk::Peer(OFFER),
                Talk::Front(XCLIENT),
                Talk::Peer("220 to the client\r\n"),
                Talk::Front("EHLO me\r\n"),
                Talk::Peer("250-mx\r\n250 CHUNKING\r\n"),
            ],
            &Opened::Ready(vec![]),
            b"",
        );
    }

    /// Runs an opening that comes as far as these replies.
    #[track_caller]
    fn ends(replies: &[&'static str], end: &Opened) {
        let mut talk = vec![Talk::Peer("220 to you\r\n"), Talk::Front(EHLO)];
        for (n, reply) in replies.iter().enumerate() {
            talk.push(Talk::Peer(reply));
            if n == 0 && replies.len() > 1 {
                talk.push(Talk::Front(XCLIENT));
            }
        }
        dialogue(|| introducing(true, ""), &talk, end, b"");
    }

    #[test]
    fn by_xclient_a_refusal_of_the_client_passes_and_one_of_the_front_does_not() {
        for words in ["554 5.7.1 no\r\n", "450 4.7.1 later\r\n", "421 4.7.0 too many\r\n"] {
            ends(&[OFFER, words], &Opened::Refused(words.into()));
        }
        let deaf = |why: &str| Opened::Deaf(why.into());
        ends(
            &[OFFER, "501 5.5.4 Bad ADDR\r\n"],
            &deaf("it answers XCLIENT with 501 5.5.4 Bad ADDR"),
        );
        ends(&["550 who?\r\n"], &deaf("it answers our EHLO with 550 who?"));
        dialogue(
            || introducing(true, ""),
            &[Talk::Peer("554 not you\r\n")],
            &deaf("it answers this front with 554 not you"),
            b"",
        );
    }

    #[test]
    fn by_xclient_only_where_it_is_offered_with_the_address() {
        for offer in ["250 mx\r\n", "250-mx\r\n250 XCLIENT\r\n", "250-mx\r\n250 XCLIENT NAME\r\n"] {
            let machine = || introducing(true, "");
            let mut opening = machine();
            let mut out = Vec::new();
            for input in ["220 mx\r\n", offer] {
                if let (_, Next::End(end)) = opening.step(input.as_bytes(), &mut out) {
                    let Opened::Deaf(why) = end else { panic!("{end:?} to {offer:?}") };
                    assert!(why.contains("smtpd_authorized_xclient_hosts"), "{why}");
                    out.clear();
                }
            }
            assert_eq!(out, b"", "{offer:?}");
        }
    }

    /// Behind a security layer of SASL nobody could read along, and the backend believes XCLIENT.
    #[test]
    fn by_xclient_no_mechanism_with_a_layer_is_shown_or_begun() {
        use crate::protocol::transcript::{After, Turn, session};
        session(
            || introducing(true, "").filter(),
            &[
                Turn::Client("EHLO me\r\n"),
                Turn::ToBackend("EHLO me\r\n"),
                Turn::Backend("250-mx\r\n250-AUTH GSSAPI PLAIN\r\n250 XCLIENT ADDR\r\n"),
                Turn::ToClient("250-mx\r\n250 AUTH PLAIN\r\n"),
                Turn::Client("AUTH gssapi YII=\r\nauth DIGEST-MD5\r\nAUTH PLAIN AA==\r\n"),
                Turn::ToClient(
                    "504 5.5.4 Unrecognized authentication type\r\n504 5.5.4 Unrecognized authentication type\r\n",
                ),
                Turn::ToBackend("AUTH PLAIN AA==\r\n"),
            ],
            After::Filtered,
        );
        session(
            || opening(true, "").filter(),
            &[Turn::Client("AUTH GSSAPI\r\n"), Turn::ToBackend("AUTH GSSAPI\r\n")],
            After::Filtered,
        );
    }
}
