//! Speaks with a client before TLS.

use super::{
    BEGIN_TLS, GO_AHEAD, HAS_NO_ARGUMENTS, MOST_SWALLOWED, NO_TAG, PRIVACY_REQUIRED, answer,
    capability,
    command::{Command, Literal, literal},
};
use crate::protocol::{
    Dialogue, Greeted, Learned, Next, Offer, Refusal,
    line::{Line, is_foreign, line, timeless},
    seam::Errors,
};

/// The not authenticated state of RFC 9051 §3.1 as far as it can go without a backend.
#[derive(Debug)]
pub struct Greeter<'a> {
    learned: &'a Learned,
    offer: Offer,
    errors: Errors,
    state: State,
}

#[derive(Debug)]
enum State {
    Command,
    /// Octets of a literal that nobody reads. RFC 7888 §4: they come, whatever we answer.
    Swallow {
        left: u64,
        answer: Vec<u8>,
    },
    /// The rest of that command.
    Rest {
        answer: Vec<u8>,
    },
}

impl<'a> Greeter<'a> {
    /// A greeter that shows what was learned of the backend.
    #[must_use]
    pub fn new(learned: &'a Learned, offer: Offer) -> Self {
        Self { learned, offer, errors: Errors::default(), state: State::Command }
    }

    fn capabilities(&self) -> String {
        let learned = self.learned.capabilities.iter().map(String::as_str);
        format!("CAPABILITY {}", capability::edit(learned, self.offer).join(" "))
    }

    /// The whole command is there: carries it out.
    fn command(&mut self, command: &Command<'_>, out: &mut Vec<u8>) -> Next<Greeted> {
        let tag = command.tag;
        match command.verb.as_slice() {
            b"CAPABILITY" => {
                out.extend_from_slice(format!("* {}\r\n", self.capabilities()).as_bytes());
                answer(tag, "OK Capability completed", out);
                Next::Read
            }
            b"NOOP" => {
                answer(tag, "OK NOOP completed", out);
                Next::Read
            }
            b"LOGOUT" => {
                out.extend_from_slice(b"* BYE Logging out\r\n");
                answer(tag, "OK Logout completed", out);
                Next::End(Greeted::Closed)
            }
            b"STARTTLS" if !self.offer.starttls => {
                answer(tag, "BAD STARTTLS is not available here", out);
                self.errors.count()
            }
            b"STARTTLS" if !command.arguments.is_empty() => {
                answer(tag, HAS_NO_ARGUMENTS, out);
                self.errors.count()
            }
            b"STARTTLS" => {
                answer(tag, BEGIN_TLS, out);
                Next::End(Greeted::StartTls)
            }
            b"AUTHENTICATE" | b"LOGIN" => {
                answer(tag, PRIVACY_REQUIRED, out);
                self.errors.count()
            }
            _ => {
                answer(tag, "BAD Unknown command, or not permitted before STARTTLS", out);
                self.errors.count()
            }
        }
    }

    /// A command that announces a literal: what is answered in the end, and when.
    fn with_literal(
        &mut self,
        command: &Command<'_>,
        announced: Literal,
        out: &mut Vec<u8>,
    ) -> Next<Greeted> {
        let (mut reply, mut next) = (Vec::new(), Next::Read);
        match command.verb.as_slice() {
            b"ID" => id(command.tag, &mut reply),
            verb => {
                let text = match verb {
                    b"AUTHENTICATE" | b"LOGIN" => PRIVACY_REQUIRED,
                    b"STARTTLS" => HAS_NO_ARGUMENTS,
                    _ => "BAD Syntax error",
                };
                answer(command.tag, text, &mut reply);
                next = self.errors.count();
                if announced.waits {
                    // The client waits for a go-ahead, and takes a tagged answer for a no.
                    out.extend_from_slice(&reply);
                    return next;
                }
            }
        }
        if announced.waits {
            out.extend_from_slice(GO_AHEAD);
        }
        self.swallow(announced, reply).unwrap_or(next)
    }

    fn swallow(&mut self, announced: Literal, answer: Vec<u8>) -> Option<Next<Greeted>> {
        self.state = State::Swallow { left: announced.octets, answer };
        // RFC 7888 §5: what is too much to read is answered with BYE.
        (announced.octets > MOST_SWALLOWED)
            .then_some(Next::End(Greeted::Refused(Refusal::LineTooLong)))
    }

    fn rest(&mut self, line: Line<'_>, reply: Vec<u8>, out: &mut Vec<u8>) -> Next<Greeted> {
        match literal(line.text) {
            Some(announced) => {
                if announced.waits {
                    out.extend_from_slice(GO_AHEAD);
                }
                self.swallow(announced, reply).unwrap_or(Next::Read)
            }
            None => {
                out.extend_from_slice(&reply);
                Next::Read
            }
        }
    }
}

fn id(tag: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"* ID NIL\r\n");
    answer(tag, "OK ID completed", out);
}

impl Dialogue for Greeter<'_> {
    type End = Greeted;

    fn start(&mut self, out: &mut Vec<u8>) {
        let greeting =
            format!("* OK [{}] {}\r\n", self.capabilities(), timeless(&self.learned.banner));
        out.extend_from_slice(greeting.as_bytes());
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Greeted>) {
        if let State::Swallow { left, answer } = &mut self.state {
            let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
            *left -= taken as u64;
            if *left == 0 {
                self.state = State::Rest { answer: std::mem::take(answer) };
            }
            if taken > 0 {
                return (taken, Next::Read);
            }
        }
        if matches!(self.state, State::Command) && is_foreign(input) {
            return (0, Next::End(Greeted::Refused(Refusal::Unframeable)));
        }
        let Some(line) = line(input) else { return (0, Next::Read) };
        if let State::Rest { answer } = std::mem::replace(&mut self.state, State::Command) {
            return (line.taken, self.rest(line, answer, out));
        }
        let Some(command) = Command::parse(line.text) else {
            out.extend_from_slice(NO_TAG);
            return (line.taken, self.errors.count());
        };
        let is_ours = matches!(
            command.verb.as_slice(),
            b"CAPABILITY" | b"ID" | b"LOGOUT" | b"NOOP" | b"STARTTLS"
        );
        if self.offer.proceed && !is_ours {
            return (0, Next::End(Greeted::Clear(Vec::new())));
        }
        let next = match literal(line.text) {
            Some(announced) => self.with_literal(&command, announced, out),
            None if command.verb == b"ID" => {
                id(command.tag, out);
                Next::Read
            }
            None => self.command(&command, out),
        };
        (line.taken, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    const REQUIRED: Offer = Offer { starttls: true, proceed: false, login: false };
    const HELLO: Talk = Talk::Front(
        "* OK [CAPABILITY IMAP4rev1 SASL-IR ID STARTTLS LOGINDISABLED] Dovecot ready.\r\n",
    );

    fn learned() -> &'static Learned {
        let capabilities =
            ["IMAP4rev1", "SASL-IR", "ID", "AUTH=PLAIN", "STARTTLS"].map(str::to_owned).into();
        Box::leak(Box::new(Learned { banner: "Dovecot ready.".into(), capabilities }))
    }

    #[track_caller]
    fn required(talk: &[Talk], end: &Greeted, left: &[u8]) {
        dialogue(|| Greeter::new(learned(), REQUIRED), talk, end, left);
    }

    #[test]
    fn i1_i2_i3_starttls_ends_the_clear_phase() {
        required(
            &[
                HELLO,
                Talk::Peer("a STARTTLS please\r\n"),
                Talk::Front("a BAD STARTTLS has no arguments\r\n"),
                Talk::Peer("x]9 startTLS\r\nb LOGIN a b\r\n"),
                Talk::Front("x]9 OK Begin TLS negotiation now\r\n"),
            ],
            &Greeted::StartTls,
            b"b LOGIN a b\r\n",
        );
    }

    #[test]
    fn i8_i9_no_login_in_clear_and_the_answer_does_not_depend_on_the_password() {
        required(
            &[
                HELLO,
                Talk::Peer(
                    "1 LOGIN demo right\r\n2 AUTHENTICATE PLAIN AGRlbW8AZGVtbw==\r\n3 LOGIN {4}\r\n4 CAPABILITY\r\n5 LOGOUT\r\n",
                ),
                Talk::Front(
                    "1 NO [PRIVACYREQUIRED] Begin TLS with STARTTLS first, credentials are not taken in clear\r\n\
                     2 NO [PRIVACYREQUIRED] Begin TLS with STARTTLS first, credentials are not taken in clear\r\n\
                     3 NO [PRIVACYREQUIRED] Begin TLS with STARTTLS first, credentials are not taken in clear\r\n\
                     * CAPABILITY IMAP4rev1 SASL-IR ID STARTTLS LOGINDISABLED\r\n4 OK Capability completed\r\n\
                     * BYE Logging out\r\n5 OK Logout completed\r\n",
                ),
            ],
            &Greeted::Closed,
            b"",
        );
    }

    #[test]
    fn i11_text_inside_a_literal_is_no_command() {
        required(
            &[
                HELLO,
                Talk::Peer("a LOGIN {12+}\r\nb STARTTLS\r\n {3+}\r\nabc\r\n"),
                Talk::Front(
                    "a NO [PRIVACYREQUIRED] Begin TLS with STARTTLS first, credentials are not taken in clear\r\n",
                ),
                Talk::Peer("c ID ({10}\r\n"),
                Talk::Front("+ OK\r\n"),
                Talk::Peer("d LOGOUT\r\n {1+}\r\nx)\r\n"),
                Talk::Front("* ID NIL\r\nc OK ID completed\r\n"),
                Talk::Peer("e STARTTLS {3+}\r\nabc\r\nf STARTTLS\r\n"),
                Talk::Front(
                    "e BAD STARTTLS has no arguments\r\nf OK Begin TLS negotiation now\r\n",
                ),
            ],
            &Greeted::StartTls,
            b"",
        );
    }

    #[test]
    fn i12_a_literal_of_4_gib_is_not_waited_for() {
        required(
            &[HELLO, Talk::Peer("a LOGIN {4294967296+}\r\n")],
            &Greeted::Refused(Refusal::LineTooLong),
            b"",
        );
    }

    #[test]
    fn a_client_that_may_goes_on_in_clear() {
        let offer = Offer { starttls: true, proceed: true, login: true };
        dialogue(
            || Greeter::new(learned(), offer),
            &[
                Talk::Front(
                    "* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN STARTTLS] Dovecot ready.\r\n",
                ),
                Talk::Peer("a NOOP\r\nb LOGIN {4}\r\n"),
                Talk::Front("a OK NOOP completed\r\n"),
            ],
            &Greeted::Clear(Vec::new()),
            b"b LOGIN {4}\r\n",
        );
    }
}
