//! Reads a session along until the login has succeeded.
//!
//! One command is in flight at a time, and its literals one by one, so that it is always known
//! whether a client's octets are a command or data.

use super::{
    BEGIN_TLS, GO_AHEAD, HAS_NO_ARGUMENTS, MOST_SWALLOWED, NO_TAG, PRIVACY_REQUIRED, answer,
    capability,
    command::{Command, Literal, astrings, literal},
    id::{self, Edited, Frame},
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
    literals: Literals,
    client: Client,
    backend: Backend,
    /// The tag of the command in flight.
    tag: Vec<u8>,
    /// Whether its success is the login.
    is_login: bool,
    /// How many arguments of a LOGIN have been read; `None`: it is none, or a broken one.
    arguments: Option<usize>,
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
    /// The backend's. `literal`: how many octets its `+` asks for.
    Wait { literal: Option<u64> },
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

/// Which non-synchronising literals (RFC 7888) the backend has listed: those that it has not, it
/// would take for the end of the command, and what is in them for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Literals {
    Synchronising,
    /// `LITERAL-`: up to 4096 octets.
    Short,
    /// `LITERAL+`
    All,
}

impl Literals {
    fn listed<'a>(capabilities: impl IntoIterator<Item = &'a str>) -> Self {
        let mut best = Self::Synchronising;
        for capability in capabilities {
            match capability.to_ascii_uppercase().as_str() {
                "LITERAL+" => return Self::All,
                // RFC 9051 §7.2.2: IMAP4rev2 has LITERAL- in it.
                "LITERAL-" | "IMAP4REV2" => best = Self::Short,
                _ => {}
            }
        }
        best
    }

    fn permit(self, octets: u64) -> bool {
        match self {
            Self::Synchronising => false,
            Self::Short => octets <= 4096,
            Self::All => true,
        }
    }
}

impl Filter {
    /// A filter for a session whose backend has listed these capabilities.
    #[must_use]
    pub fn new(offer: Offer, capabilities: &[String]) -> Self {
        Self {
            offer,
            literals: Literals::listed(capabilities.iter().map(String::as_str)),
            client: Client::Command,
            backend: Backend::Line,
            tag: Vec::new(),
            is_login: false,
            arguments: None,
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
                if command.as_ref().is_some_and(|c| c.verb == b"ID")
                    && literal(line.text) != Ok(None)
                {
                    self.client = Client::Id { asked: 0 };
                    return self.id(input, 0, out);
                }
                self.command(line, command, out)
            }
            Client::SwallowRest => self.refused(line, out),
            // In the middle of a command, nothing can be answered in its place.
            _ if !line.strict => Verdict::End(Refusal::Unframeable),
            Client::Rest => self.forwarded(line.text),
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
        self.is_login = matches!(command.verb.as_slice(), b"AUTHENTICATE" | b"LOGIN");
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
            // RFC 9051 §9 has none there. A backend that takes it for a response, and not for a
            // literal, would read commands out of it.
            b"AUTHENTICATE" if literal(line.text) != Ok(None) => "BAD No literal may stand here",
            b"ID" => return self.plain_id(line, &command, out),
            verb => {
                let before = command.tag.len() + 1 + verb.len();
                self.arguments = (verb == b"LOGIN").then_some(0);
                return self.forwarded(line.text.get(before..).unwrap_or_default());
            }
        };
        answer(command.tag, refusal, &mut out.to_client);
        match literal(line.text) {
            Ok(None | Some(Literal { waits: true, .. })) => Verdict::Replace,
            Ok(Some(announced)) => self.swallow(announced),
            Err(_) => Verdict::End(Refusal::Unframeable),
        }
    }

    /// A command, or a part of it, on its way to the backend. `text`: arguments.
    fn forwarded(&mut self, text: &[u8]) -> Verdict {
        let announced = literal(text);
        let before = match &announced {
            Ok(Some(_)) => memchr::memrchr(b'{', text).map_or(text, |open| &text[..open]),
            _ => text,
        };
        self.arguments = self.arguments.zip(astrings(before)).map(|(had, more)| had + more);
        self.client = match announced {
            Ok(None) => Client::Wait { literal: None },
            Ok(Some(Literal { octets, waits: true })) => {
                self.arguments = self.arguments.map(|had| had + 1);
                Client::Wait { literal: Some(octets) }
            }
            // The backend reads on without a word, and has to take it for a literal whatever it
            // makes of the command. That is certain only for name and password of a LOGIN: behind
            // them, Dovecot has stopped to read arguments, and takes the literal for commands.
            Ok(Some(Literal { octets, waits: false }))
                if self.literals.permit(octets)
                    && before.ends_with(b" ")
                    && self.arguments.is_some_and(|had| had < 2) =>
            {
                self.arguments = self.arguments.map(|had| had + 1);
                Client::Literal { left: octets }
            }
            _ => return Verdict::End(Refusal::Unframeable),
        };
        Verdict::Pass
    }

    /// Octets that come whatever we have answered: RFC 7888 §4.
    fn swallow(&mut self, announced: Literal) -> Verdict {
        if announced.octets > MOST_SWALLOWED {
            return Verdict::End(Refusal::LineTooLong);
        }
        self.client = Client::Swallow { left: announced.octets };
        Verdict::Replace
    }

    /// The rest of a command that has been answered already.
    fn refused(&mut self, line: Line<'_>, out: &mut Out) -> Verdict {
        match literal(line.text) {
            Ok(None) => {
                self.client = Client::Command;
                Verdict::Replace
            }
            Ok(Some(announced)) => {
                if announced.waits {
                    out.to_client.extend_from_slice(GO_AHEAD);
                }
                self.swallow(announced)
            }
            Err(_) => Verdict::End(Refusal::Unframeable),
        }
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
        self.is_login = false;
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
            Frame::Whole { taken, edited } => {
                self.client = Client::Wait { literal: None };
                let Edited::Arguments(arguments) = edited else { return (taken, Verdict::Pass) };
                out.to_backend.extend_from_slice(
                    &[&self.tag, b" ID ".as_slice(), &arguments, b"\r\n"].concat(),
                );
                (taken, Verdict::Replace)
            }
            Frame::Malformed { taken } => {
                self.client = Client::Command;
                answer(&self.tag, "BAD ID wants a list of strings, or NIL", &mut out.to_client);
                (taken, Verdict::Replace)
            }
            Frame::Ambiguous | Frame::Incomplete => (0, Verdict::End(Refusal::Unframeable)),
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
            Ok(Some(announced)) => Backend::Literal { left: announced.octets },
            _ => Backend::Line,
        };
        (line.taken, if is_response { self.response(line, out) } else { Verdict::Pass })
    }

    fn response(&mut self, line: Line<'_>, out: &mut Out) -> Verdict {
        let (first, rest) = word(line.text);
        let condition = word(rest).0;
        if first == b"+" {
            if let Client::Wait { literal } = self.client {
                self.client = literal.map_or(Client::Continuation, |left| Client::Literal { left });
            }
            return Verdict::Pass;
        }
        if first == b"*" && condition.eq_ignore_ascii_case(b"PREAUTH") {
            return Verdict::End(Refusal::BackendGarbage);
        }
        let is_tagged = first == self.tag;
        // An answer before the command's end: whether what is still to come of it will be taken for
        // data or for commands, nobody can tell.
        if is_tagged
            && matches!(self.client, Client::Continuation | Client::Literal { .. } | Client::Rest)
        {
            return Verdict::End(Refusal::BackendGarbage);
        }
        let is_status = is_tagged && matches!(self.client, Client::Wait { .. });
        let is_in = is_status && self.is_login && condition.eq_ignore_ascii_case(b"OK");
        if is_status {
            self.client = Client::Command;
        }
        if let Some(listed) = capability::listed(line.text) {
            self.literals = Literals::listed(listed.iter().map(String::as_str));
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
        Filter::new(Offer::TLS, &["LITERAL+".to_owned()])
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
                ToBackend("demo {5+}\r\nrig\nt\r\n"),
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

    #[test]
    fn a_literal_that_the_backend_would_not_know_for_one_ends_the_session() {
        let without = || Filter::new(Offer::TLS, &["IMAP4rev1".to_owned()]);
        session(without, &[Client("a LOGIN {4+}\r\n")], After::Ended(Refusal::Unframeable));
        session(inside_tls, &[Client("a FOO {4+}\r\n")], After::Ended(Refusal::Unframeable));
        session(inside_tls, &[Client("a LOGIN \"x{4+}\r\n")], After::Ended(Refusal::Unframeable));
    }

    #[test]
    fn behind_name_and_password_nothing_is_certainly_a_literal() {
        for command in [
            "a LOGIN x y {4+}\r\n",
            "a LOGIN x y{4+}\r\n",
            "a LOGIN x {1+}\r\ny {4+}\r\n",
            "a LOGIN x%y {4+}\r\n",
            "a LOGIN ~{4+}\r\n",
            "a LOGIN {1+}\r\ny{4+}\r\n",
            "a LOGIN  {4+}\r\n",
        ] {
            let mut filter = inside_tls();
            let (mut input, mut ended) = (command.as_bytes(), false);
            while !input.is_empty() && !ended {
                let (taken, verdict) =
                    seam::Filter::push(&mut filter, Side::Client, input, &mut Out::default());
                ended = verdict == Verdict::End(Refusal::Unframeable);
                input = &input[taken..];
            }
            assert!(ended, "{command:?}");
        }
        session(
            inside_tls,
            &[
                Client("a AUTHENTICATE PLAIN {8+}\r\nb LOGOUT\r\nb NOOP\r\n"),
                ToClient("a BAD No literal may stand here\r\n"),
                ToBackend("b NOOP\r\n"),
            ],
            After::Filtered,
        );
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
            || Filter::new(Offer { starttls: true, proceed: true, login: true }, &[]),
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
