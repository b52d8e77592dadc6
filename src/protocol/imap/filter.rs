//! Reads a session along until the login has succeeded.
//!
//! One command is in flight at a time, and its literals one by one, so that it is always known
//! whether a client's octets are a command or data. A literal goes on only when the backend has
//! asked for it, whatever the client did: servers differ in where they take one for a literal
//! (RFC 7888 §4 leaves that to luck), and those who do not would read commands out of it.

use super::{
    BEGIN_TLS, GO_AHEAD, HAS_NO_ARGUMENTS, MOST_SWALLOWED, NO_TAG, PRIVACY_REQUIRED, answer,
    capability,
    command::{Command, Literal, literal},
    id::{self, Frame},
};
use crate::protocol::{
    Offer, Out, Refusal, Side, Verdict,
    line::{Line, is_foreign, line, word},
    seam,
};

/// The not authenticated state of RFC 9051 §3.1, with a backend.
#[derive(Debug)]
pub struct Filter {
    offer: Offer,
    client: Client,
    backend: Backend,
    /// The command in flight.
    tag: Vec<u8>,
    sent: Sent,
    /// The backend has said good-bye.
    is_over: bool,
}

/// The command in flight, as far as it matters for its responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Its success is the login, and `+` asks for a line of it.
    Authenticate,
    /// Its success is the login, and `+` asks for a literal of it.
    Login,
    Other,
}

/// Whose turn it is, and for what.
#[derive(Debug)]
enum Client {
    /// The client's: a command.
    Command,
    /// The client's: an ID command, so many of whose literals we have asked for.
    Id { asked: usize },
    /// The client's: octets of a literal, which go on.
    Literal { left: u64 },
    /// The client's: the rest of the command behind a literal.
    Rest,
    /// The client's: a line that a `+` asked for.
    Continuation,
    /// The client's: octets of a literal in a command that is refused.
    Swallow { left: u64 },
    /// The client's: the rest of that command.
    SwallowRest,
    /// The backend's. `literal`: what its `+` asks for.
    Wait { literal: Option<Literal> },
}

/// Where in its responses the backend is.
#[derive(Clone, Copy, Debug)]
enum Backend {
    Line,
    Literal {
        left: u64,
    },
    /// The rest of a response behind a literal.
    Rest,
}

impl Filter {
    /// A filter for a session that has just been opened.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        Self {
            offer,
            client: Client::Command,
            backend: Backend::Line,
            tag: Vec::new(),
            sent: Sent::Other,
            is_over: false,
        }
    }

    fn client_sends(&mut self, input: &[u8], out: &mut Out) -> (usize, Verdict) {
        match &mut self.client {
            Client::Wait { .. } => return (0, Verdict::Hold),
            Client::Literal { left: 0 } => self.client = Client::Rest,
            Client::Swallow { left: 0 } => self.client = Client::SwallowRest,
            Client::Literal { left } => return (take(left, input), Verdict::Pass),
            Client::Swallow { left } => return (take(left, input), Verdict::Replace),
            Client::Id { asked } => {
                let asked = *asked;
                return self.id(input, asked, out);
            }
            Client::Command if is_foreign(input) => {
                return (0, Verdict::End(Refusal::Unframeable));
            }
            _ => {}
        }
        let Some(line) = line(input) else { return (0, Verdict::Read) };
        let verdict = match self.client {
            Client::Command => {
                let command = Command::parse(line.text);
                if command.as_ref().is_some_and(|c| c.verb == b"ID") && literal(line.text).is_some()
                {
                    self.client = Client::Id { asked: 0 };
                    return self.id(input, 0, out);
                }
                self.command(line, command, out)
            }
            Client::SwallowRest => self.refused(line, out),
            // In the middle of a command, nothing can be answered in its place.
            _ if !line.strict => Verdict::End(Refusal::Unframeable),
            Client::Rest => self.forwarded(line, out),
            _ => {
                self.client = Client::Wait { literal: None };
                Verdict::Pass
            }
        };
        (line.taken, verdict)
    }

    fn command(&mut self, line: Line<'_>, command: Option<Command<'_>>, out: &mut Out) -> Verdict {
        let Some(command) = command else {
            out.to_client.extend_from_slice(NO_TAG);
            return Verdict::Replace;
        };
        self.tag = command.tag.to_vec();
        self.sent = match command.verb.as_slice() {
            b"AUTHENTICATE" => Sent::Authenticate,
            b"LOGIN" => Sent::Login,
            _ => Sent::Other,
        };
        let refusal = match command.verb.as_slice() {
            _ if !line.strict => "BAD Commands end in CRLF and hold no control characters",
            b"STARTTLS" if !self.offer.starttls => "BAD STARTTLS is not available here",
            b"STARTTLS" if !command.arguments.is_empty() => HAS_NO_ARGUMENTS,
            b"STARTTLS" => {
                answer(command.tag, BEGIN_TLS, &mut out.to_client);
                return Verdict::StartTls;
            }
            // What follows could not be read along any more (RFC 4978 §3).
            b"COMPRESS" => "NO Log in first",
            b"XCLIENT" | b"XFORWARD" => "BAD Unknown command",
            b"AUTHENTICATE" | b"LOGIN" if !self.offer.login => PRIVACY_REQUIRED,
            b"ID" => return self.plain_id(line, &command, out),
            // RFC 9051 §9: of the commands before a login, no other has one. A `+` would ask for
            // something else.
            b"LOGIN" => return self.forwarded(line, out),
            _ if literal(line.text).is_some() => "BAD No literal may stand here",
            _ => return self.forwarded(line, out),
        };
        answer(command.tag, refusal, &mut out.to_client);
        match literal(line.text) {
            None | Some(Literal { waits: true, .. }) => Verdict::Replace,
            Some(announced) => self.swallow(announced.octets),
        }
    }

    /// A command, or a part of it, on its way to the backend.
    fn forwarded(&mut self, line: Line<'_>, out: &mut Out) -> Verdict {
        let literal = literal(line.text);
        self.client = Client::Wait { literal };
        match literal {
            Some(Literal { octets, waits: false }) => {
                if octets > MOST_SWALLOWED {
                    return Verdict::End(Refusal::LineTooLong);
                }
                // The client sends it in any case; the backend is asked first.
                let before = memchr::memrchr(b'{', line.text).unwrap_or_default();
                out.to_backend.extend_from_slice(&line.text[..before]);
                out.to_backend.extend_from_slice(format!("{{{octets}}}\r\n").as_bytes());
                Verdict::Replace
            }
            _ => Verdict::Pass,
        }
    }

    /// Octets that come whatever has been answered: RFC 7888 §4.
    fn swallow(&mut self, octets: u64) -> Verdict {
        if octets > MOST_SWALLOWED {
            return Verdict::End(Refusal::LineTooLong);
        }
        self.client = Client::Swallow { left: octets };
        Verdict::Replace
    }

    /// The rest of a command that has been answered already.
    fn refused(&mut self, line: Line<'_>, out: &mut Out) -> Verdict {
        let Some(announced) = literal(line.text) else {
            self.client = Client::Command;
            return Verdict::Replace;
        };
        if announced.waits {
            out.to_client.extend_from_slice(GO_AHEAD);
        }
        self.swallow(announced.octets)
    }

    /// An ID command on one line.
    fn plain_id(&mut self, line: Line<'_>, command: &Command<'_>, out: &mut Out) -> Verdict {
        let whole = [line.text, b"\r\n"].concat();
        let (_, frame) = id::frame(&whole, line.text.len() - command.arguments.len());
        self.id_framed(frame, out).1
    }

    /// An ID command with literals: it is read whole before any of it goes on.
    fn id(&mut self, input: &[u8], asked: usize, out: &mut Out) -> (usize, Verdict) {
        let Some(first) = line(input) else { return (0, Verdict::Read) };
        let Some(command) = Command::parse(first.text) else {
            return (0, Verdict::End(Refusal::Unframeable));
        };
        self.tag = command.tag.to_vec();
        self.sent = Sent::Other;
        let (waiting, frame) = id::frame(input, first.text.len() - command.arguments.len());
        for _ in asked..waiting {
            out.to_client.extend_from_slice(GO_AHEAD);
        }
        if frame == Frame::Incomplete {
            self.client = Client::Id { asked: waiting };
            return (0, Verdict::Read);
        }
        self.id_framed(frame, out)
    }

    fn id_framed(&mut self, frame: Frame, out: &mut Out) -> (usize, Verdict) {
        match frame {
            Frame::Incomplete => (0, Verdict::Read),
            Frame::Whole { taken, arguments } => {
                self.client = Client::Wait { literal: None };
                let command = [&self.tag, b" ID ".as_slice(), &arguments, b"\r\n"].concat();
                out.to_backend.extend_from_slice(&command);
                (taken, Verdict::Replace)
            }
            Frame::Malformed { taken } => {
                self.client = Client::Command;
                answer(&self.tag, "BAD ID wants a list of strings, or NIL", &mut out.to_client);
                (taken, Verdict::Replace)
            }
        }
    }

    fn backend_sends(&mut self, input: &[u8], out: &mut Out) -> (usize, Verdict) {
        match &mut self.backend {
            Backend::Literal { left: 0 } => self.backend = Backend::Rest,
            Backend::Literal { left } => return (take(left, input), Verdict::Pass),
            _ => {}
        }
        let Some(line) = line(input) else { return (0, Verdict::Read) };
        let is_response = matches!(self.backend, Backend::Line);
        self.backend = match literal(line.text) {
            Some(announced) => Backend::Literal { left: announced.octets },
            None => Backend::Line,
        };
        (line.taken, if is_response { self.response(line, out) } else { Verdict::Pass })
    }

    fn response(&mut self, line: Line<'_>, out: &mut Out) -> Verdict {
        let (first, rest) = word(line.text);
        let condition = word(rest).0;
        if first == b"+" {
            return self.continuation();
        }
        if first == b"*" && condition.eq_ignore_ascii_case(b"PREAUTH") {
            return Verdict::End(Refusal::BackendGarbage);
        }
        // RFC 9051 §7.1.5
        self.is_over |= first == b"*" && condition.eq_ignore_ascii_case(b"BYE");
        let is_ok = condition.eq_ignore_ascii_case(b"OK");
        let mut is_in = false;
        if first == self.tag {
            match self.client {
                // An answer before the command's end: whether what is still to come of it will be
                // taken for data or for commands, nobody can tell.
                Client::Continuation | Client::Literal { .. } | Client::Rest => {
                    return Verdict::End(Refusal::BackendGarbage);
                }
                Client::Wait { literal: Some(_) } if is_ok => {
                    return Verdict::End(Refusal::BackendGarbage);
                }
                // Refused; but the literal is on its way.
                Client::Wait { literal: Some(Literal { octets, waits: false }) } => {
                    self.client = Client::Swallow { left: octets };
                }
                Client::Wait { .. } => {
                    is_in = is_ok && self.sent != Sent::Other;
                    self.client = Client::Command;
                }
                _ => {}
            }
        }
        // Once in, nobody may begin TLS: RFC 9051 §6.2.1.
        let offer = if is_in { Offer { starttls: false, ..self.offer } } else { self.offer };
        let edited = capability::edit_line(line.text, offer);
        if let Some(edited) = &edited {
            out.to_client.extend_from_slice(format!("{edited}\r\n").as_bytes());
        }
        match (is_in, edited.is_some()) {
            (false, false) => Verdict::Pass,
            (false, true) => Verdict::Replace,
            (true, false) => Verdict::Opaque,
            (true, true) => Verdict::LastWords,
        }
    }
}

impl Filter {
    /// The backend asks for more of the command in flight.
    fn continuation(&mut self) -> Verdict {
        let Client::Wait { literal } = self.client else {
            return Verdict::End(Refusal::BackendGarbage);
        };
        match literal {
            Some(Literal { octets, waits }) => {
                self.client = Client::Literal { left: octets };
                // A client that did not wait must not be told to go ahead.
                if waits { Verdict::Pass } else { Verdict::Replace }
            }
            None if self.sent == Sent::Authenticate => {
                self.client = Client::Continuation;
                Verdict::Pass
            }
            None => Verdict::End(Refusal::BackendGarbage),
        }
    }
}

impl seam::Filter for Filter {
    fn push(&mut self, from: Side, input: &[u8], out: &mut Out) -> (usize, Verdict) {
        match from {
            Side::Backend => self.backend_sends(input, out),
            Side::Client => self.client_sends(input, out),
        }
    }

    fn may_speak(&self) -> bool {
        matches!(self.backend, Backend::Line)
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

fn take(left: &mut u64, input: &[u8]) -> usize {
    let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= taken as u64;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{After, Turn::*, session};

    fn inside_tls() -> Filter {
        Filter::new(Offer::TLS)
    }

    #[test]
    fn a_login_passes_and_then_everything_does() {
        session(
            inside_tls,
            &[
                Client("a LOGIN demo wrong\r\nb LOGIN {4}\r\n"),
                ToBackend("a LOGIN demo wrong\r\n"),
                Backend("a NO [AUTHENTICATIONFAILED] No\r\n"),
                ToClient("a NO [AUTHENTICATIONFAILED] No\r\n"),
                ToBackend("b LOGIN {4}\r\n"),
                Backend("+ OK\r\n"),
                ToClient("+ OK\r\n"),
                Client("demo {5+}\r\nrig\nt\r\nc ID (\"x-a\" \"b\")\r\n"),
                ToBackend("demo {5}\r\n"),
                // The client has not waited, so it is not told.
                Backend("+ go\r\n"),
                ToBackend("rig\nt\r\n"),
                Backend("b OK [CAPABILITY IMAP4rev1 IDLE UNAUTHENTICATE] in\r\n"),
                ToClient("b OK [CAPABILITY IMAP4rev1 IDLE] in\r\n"),
                ToBackend("c ID (\"x-a\" \"b\")\r\n"),
            ],
            After::Opaque,
        );
    }

    #[test]
    fn i5_i7_what_ends_at_the_front_is_refused_and_not_shown() {
        session(
            inside_tls,
            &[
                Client("a STARTTLS\r\nb COMPRESS DEFLATE\r\nc XCLIENT ADDR=1\r\nd CAPABILITY\r\n"),
                ToClient(
                    "a BAD STARTTLS is not available here\r\nb NO Log in first\r\nc BAD Unknown command\r\n",
                ),
                ToBackend("d CAPABILITY\r\n"),
                Backend("* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nd OK done\r\n"),
                ToClient("* CAPABILITY IMAP4rev1\r\nd OK done\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn i13_id_loses_its_x_fields_in_every_form() {
        session(
            inside_tls,
            &[
                Client(
                    "a ID (\"name\" \"x\" \"x-originating-ip\" \"192.0.2.9\")\r\nb ID ({16}\r\n",
                ),
                ToBackend("a ID (\"name\" \"x\")\r\n"),
                Backend("* ID {3}\r\na O\r\na OK done\r\n"),
                ToClient("* ID {3}\r\na O\r\na OK done\r\n+ OK\r\n"),
                Client("x-originating-ip \"192.0.2.9\" {4+}\r\nname NIL)\r\nc id\r\n"),
                ToBackend("b ID (\"name\" NIL)\r\n"),
                Backend("b OK\r\n"),
                ToClient("b OK\r\nc BAD ID wants a list of strings, or NIL\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn a_refused_literal_turns_no_data_into_commands() {
        session(
            inside_tls,
            &[
                Client("a LOGIN {30}\r\n"),
                ToBackend("a LOGIN {30}\r\n"),
                Backend("a BAD too long\r\n"),
                ToClient("a BAD too long\r\n"),
                Client("b ID (\"x-originating-ip\" \"1\")\r\n"),
                ToBackend("b ID NIL\r\n"),
                Backend("a OK a reused tag\r\nb OK\r\n"),
                ToClient("a OK a reused tag\r\nb OK\r\n"),
            ],
            After::Filtered,
        );
    }

    /// RFC 7888 §4: the octets come whatever the backend says. Where it takes no literal, they are
    /// taken out of its way.
    #[test]
    fn i11_a_literal_goes_on_only_when_the_backend_asks_for_it() {
        for command in ["a LOGIN {27+}", "a LOGIN x y{27+}", "a LOGIN ) {27+}", "a LOGIN \"x{27+}"]
        {
            let asked = command.replace('+', "") + "\r\n";
            let sent = format!("{command}\r\nb ID (\"x-session-id\" \"1\")\r\n\r\nc NOOP\r\n");
            session(
                inside_tls,
                &[
                    Client(sent.leak()),
                    ToBackend(asked.leak()),
                    Backend("a BAD no\r\n"),
                    ToClient("a BAD no\r\n"),
                    ToBackend("c NOOP\r\n"),
                ],
                After::Filtered,
            );
        }
    }

    #[test]
    fn only_a_login_and_an_id_have_literals() {
        session(
            inside_tls,
            &[
                Client("a AUTHENTICATE PLAIN {8+}\r\nb LOGOUT\r\nb FOO {4}\r\nc NOOP\r\n"),
                ToClient("a BAD No literal may stand here\r\nb BAD No literal may stand here\r\n"),
                ToBackend("c NOOP\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn i12_a_literal_of_4_gib_is_not_waited_for() {
        session(
            inside_tls,
            &[Client("a LOGIN {4294967296+}\r\n")],
            After::Ended(Refusal::LineTooLong),
        );
    }

    #[test]
    fn a_go_ahead_that_nobody_asked_for_ends_the_session() {
        let ended = After::Ended(Refusal::BackendGarbage);
        session(
            inside_tls,
            &[Client("a IDLE\r\n"), ToBackend("a IDLE\r\n"), Backend("+ idling\r\n")],
            ended,
        );
        session(inside_tls, &[Backend("+ go\r\n")], ended);
    }

    #[test]
    fn a_refused_command_takes_its_literals_with_it() {
        session(
            inside_tls,
            &[
                Client("a COMPRESS {10+}\r\nb LOGOUT\r\n {2+}\r\nxx\r\nb NOOP\r\n"),
                ToClient("a NO Log in first\r\n"),
                ToBackend("b NOOP\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn a_sasl_exchange_is_line_by_line() {
        session(
            inside_tls,
            &[
                Client("a AUTHENTICATE PLAIN\r\nb ID (\"x-a\" \"b\")\r\n"),
                ToBackend("a AUTHENTICATE PLAIN\r\n"),
                Backend("a NO no such mechanism\r\n"),
                ToClient("a NO no such mechanism\r\n"),
                ToBackend("b ID NIL\r\n"),
                Backend("b OK\r\n"),
                ToClient("b OK\r\n"),
                Client("c AUTHENTICATE LOGIN\r\n"),
                ToBackend("c AUTHENTICATE LOGIN\r\n"),
                Backend("+ VXNlcg==\r\n"),
                ToClient("+ VXNlcg==\r\n"),
                Client("c OK\r\nZGVtbw==\r\n"),
                ToBackend("c OK\r\n"),
                Backend("+ UGFzcw==\r\n"),
                ToClient("+ UGFzcw==\r\n"),
                ToBackend("ZGVtbw==\r\n"),
                Backend("c OK in\r\n"),
                ToClient("c OK in\r\n"),
            ],
            After::Opaque,
        );
    }

    #[test]
    fn i10_preauth_ends_the_session() {
        session(
            inside_tls,
            &[Backend("* PREAUTH hello\r\n")],
            After::Ended(Refusal::BackendGarbage),
        );
    }

    #[test]
    fn in_clear_tls_may_still_be_begun() {
        session(
            || Filter::new(Offer { starttls: true, proceed: true, login: true }),
            &[
                Client("a CAPABILITY\r\nb STARTTLS x\r\nc STARTTLS\r\n"),
                ToBackend("a CAPABILITY\r\n"),
                Backend("* CAPABILITY IMAP4rev1\r\na OK\r\n"),
                ToClient(
                    "* CAPABILITY IMAP4rev1 STARTTLS\r\na OK\r\nb BAD STARTTLS has no arguments\r\nc OK Begin TLS negotiation now\r\n",
                ),
            ],
            After::StartTls,
        );
    }
}
