//! Reads a session along until the login has succeeded.
//!
//! A command is read whole before it goes on, with its literals, and one is in flight at a time.

use super::{
    BEGIN_TLS, ENCRYPT_NEEDED, HAS_NO_ARGUMENTS, NOT_AVAILABLE, SYNTAX, UNKNOWN, capability,
    syntax::{Frame, Token, frame, push_quoted},
};
use crate::protocol::{Offer, Out, Refusal, Side, Verdict, line::is_foreign, seam};

/// The non-authenticated state of RFC 5804 §2, with a backend.
#[derive(Debug)]
pub struct Filter {
    offer: Offer,
    state: State,
    /// The client has said good-bye, or the backend has.
    is_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The client's turn: a command.
    Command,
    /// The client's turn: a string that the SASL exchange asked for (RFC 5804 §2.1).
    Credential,
    /// The backend's turn.
    Wait(Sent),
}

/// The command in flight, as far as it matters for its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Authenticate,
    Capability,
    Other,
}

impl Filter {
    /// A filter for a session that has just been opened.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        Self { offer, state: State::Command, is_over: false }
    }

    fn command(&mut self, tokens: &[Token<'_>], out: &mut Out) -> Verdict {
        let Some((first, arguments)) = tokens.split_first() else { return answer(SYNTAX, out) };
        // A string is no command to any server; what to say to it is the backend's affair.
        let verb = first.word().unwrap_or_default();
        let sent = match verb.as_slice() {
            b"STARTTLS" if !self.offer.starttls => return answer(NOT_AVAILABLE, out),
            b"STARTTLS" if !arguments.is_empty() => return answer(HAS_NO_ARGUMENTS, out),
            b"STARTTLS" => {
                out.to_client.extend_from_slice(BEGIN_TLS);
                return Verdict::StartTls;
            }
            // The backend trusts us: no client may speak as we would.
            b"XCLIENT" => return answer(UNKNOWN, out),
            b"AUTHENTICATE" if !self.offer.login => return answer(ENCRYPT_NEEDED, out),
            b"AUTHENTICATE" => Sent::Authenticate,
            b"CAPABILITY" => Sent::Capability,
            _ => Sent::Other,
        };
        self.is_over = verb == b"LOGOUT";
        // A mechanism and, perhaps, a response: RFC 5804 §2.1.
        let is_sasl = sent == Sent::Authenticate && arguments.len() == 2;
        match forward(tokens, is_sasl, out) {
            None => answer(SYNTAX, out),
            Some(verdict) => {
                self.state = State::Wait(sent);
                verdict
            }
        }
    }

    fn credential(&mut self, tokens: &[Token<'_>], out: &mut Out) -> Verdict {
        // RFC 5804 §2.1: a string, and nothing else.
        let [Token::Quoted(_) | Token::Literal { .. }] = tokens else {
            return Verdict::End(Refusal::Unframeable);
        };
        self.state = State::Wait(Sent::Authenticate);
        forward(tokens, true, out).unwrap_or(Verdict::End(Refusal::Unframeable))
    }

    fn response(&mut self, sent: Option<Sent>, tokens: &[Token<'_>], out: &mut Out) -> Verdict {
        let condition = tokens.first().and_then(Token::word);
        self.is_over |= condition.as_deref() == Some(b"BYE");
        match (condition.as_deref(), sent) {
            (Some(b"OK"), Some(Sent::Authenticate)) => return Verdict::Opaque,
            (Some(b"OK"), Some(Sent::Capability)) => {
                capability::push_own(self.offer, &mut out.to_client);
                self.state = State::Command;
            }
            (Some(b"BYE" | b"NO" | b"OK"), _) => self.state = State::Command,
            // A challenge is one string.
            (None, Some(Sent::Authenticate)) => self.state = State::Credential,
            (None, _) => {
                if let Some((name, value)) = capability::parse(tokens) {
                    capability::push(&name, value.as_deref(), self.offer, &mut out.to_client);
                    return Verdict::Replace;
                }
            }
            _ => {}
        }
        Verdict::Pass
    }
}

impl seam::Filter for Filter {
    fn push(&mut self, from: Side, input: &[u8], out: &mut Out) -> (usize, Verdict) {
        let sent = if let State::Wait(sent) = self.state { Some(sent) } else { None };
        if from == Side::Client && sent.is_some() {
            return (0, Verdict::Hold);
        }
        if from == Side::Client && self.state == State::Command && is_foreign(input) {
            return (0, Verdict::End(Refusal::Unframeable));
        }
        match (from, frame(input)) {
            (_, Frame::Incomplete) => (0, Verdict::Read),
            (Side::Backend, Frame::Whole { taken, tokens }) => {
                let own = out.to_client.len();
                match self.response(sent, &tokens, out) {
                    // Our own line stands before the OK that ends the list.
                    Verdict::Pass if out.to_client.len() > own => {
                        out.to_client.extend_from_slice(&input[..taken]);
                        (taken, Verdict::Replace)
                    }
                    verdict => (taken, verdict),
                }
            }
            (Side::Backend, Frame::Malformed { .. } | Frame::Ambiguous) => {
                (0, Verdict::End(Refusal::BackendGarbage))
            }
            (Side::Client, Frame::Ambiguous) => (0, Verdict::End(Refusal::Unframeable)),
            (Side::Client, Frame::Malformed { .. }) if self.state == State::Credential => {
                (0, Verdict::End(Refusal::Unframeable))
            }
            (Side::Client, Frame::Malformed { taken }) => (taken, answer(SYNTAX, out)),
            (Side::Client, Frame::Whole { taken, tokens }) => {
                let credential = self.state == State::Credential;
                (
                    taken,
                    if credential {
                        self.credential(&tokens, out)
                    } else {
                        self.command(&tokens, out)
                    },
                )
            }
        }
    }

    fn may_speak(&self) -> bool {
        true
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

/// A command on its way to the backend; `None`: it would not be certain to frame it as we did.
///
/// Not every server reads the arguments of a command that it refuses: Dovecot skips the line that
/// announced a literal, and takes what is in it for commands. So literals become quoted strings.
/// What is too long for one passes only as a SASL response, which holds no line ends and no spaces.
fn forward(tokens: &[Token<'_>], is_sasl: bool, out: &mut Out) -> Option<Verdict> {
    let is_literal = |token: &Token<'_>| matches!(token, Token::Literal { .. });
    if !tokens.iter().any(is_literal) {
        return Some(Verdict::Pass);
    }
    let mut command = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        if n > 0 {
            command.push(b' ');
        }
        match token {
            Token::Word(word) => command.extend_from_slice(word),
            Token::Quoted(text) => push_quoted(text, &mut command),
            Token::Literal { text, .. } if fits_quotes(text) => push_quoted(text, &mut command),
            // RFC 5804 §4: a client's literals have a `+`.
            Token::Literal { text, .. } if is_sasl && n + 1 == tokens.len() && is_base64(text) => {
                command.extend_from_slice(format!("{{{}+}}\r\n", text.len()).as_bytes());
                command.extend_from_slice(text);
            }
            Token::Literal { .. } => return None,
        }
    }
    out.to_backend.extend_from_slice(&command);
    out.to_backend.extend_from_slice(b"\r\n");
    Some(Verdict::Replace)
}

/// RFC 5804 §4: a quoted string holds at most 1024 octets.
fn fits_quotes(text: &[u8]) -> bool {
    text.len() <= 1024 && !text.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'))
}

fn is_base64(text: &[u8]) -> bool {
    text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

fn answer(text: &[u8], out: &mut Out) -> Verdict {
    out.to_client.extend_from_slice(text);
    Verdict::Replace
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
                Client("AUTHENTICATE \"PLAIN\" {4+}\r\nAGQA\r\nAUTHENTICATE \"LOGIN\"\r\n"),
                ToBackend("AUTHENTICATE \"PLAIN\" \"AGQA\"\r\n"),
                Backend("NO \"wrong\"\r\n"),
                ToClient("NO \"wrong\"\r\n"),
                ToBackend("AUTHENTICATE \"LOGIN\"\r\n"),
                Backend("{8}\r\nVXNlcg==\r\n"),
                ToClient("{8}\r\nVXNlcg==\r\n"),
                Client("\"STARTTLS\"\r\n"),
                ToBackend("\"STARTTLS\"\r\n"),
                Backend("OK (SASL \"x\") \"in\"\r\n"),
                ToClient("OK (SASL \"x\") \"in\"\r\n"),
                Client("XCLIENT\r\n"),
                ToBackend("XCLIENT\r\n"),
            ],
            After::Opaque,
        );
    }

    #[test]
    fn m4_m7_m13_what_ends_at_the_front_is_refused_and_not_shown() {
        session(
            inside_tls,
            &[
                Client("STARTTLS\r\nXCLIENT \"ADDR=1\"\r\nCAPABILITY\r\n"),
                ToClient("NO \"STARTTLS is not available here\"\r\nNO \"Unknown command\"\r\n"),
                ToBackend("CAPABILITY\r\n"),
                Backend("\"SASL\" \"PLAIN\"\r\n\"XCLIENT\"\r\n\"STARTTLS\"\r\nOK \"done\"\r\n"),
                ToClient("\"SASL\" \"PLAIN\"\r\nOK \"done\"\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn m8_a_literal_is_data_for_the_backend_too() {
        session(
            inside_tls,
            &[
                Client("AUTHENTICATE \"PLAIN\" {009}\r\nXCLIENT\r\n\r\n"),
                ToClient("NO \"Syntax error\"\r\n"),
                Client("FOO {9+}\r\nXCLIENT\"A\r\n"),
                ToBackend("FOO \"XCLIENT\\\"A\"\r\n"),
                Backend("NO\r\n"),
                ToClient("NO\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn a_response_too_long_for_quotes_passes_if_it_is_base64() {
        let sent = |literal: &str, verb: &str| {
            let (mut filter, mut out) = (inside_tls(), Out::default());
            let command = format!("{verb} \"X\" {{{}+}}\r\n{literal}\r\n", literal.len());
            let (taken, _) =
                seam::Filter::push(&mut filter, Side::Client, command.as_bytes(), &mut out);
            assert_eq!(taken, command.len());
            String::from_utf8(out.to_backend).unwrap() == command
        };
        assert!(sent(&"QUJD".repeat(2000), "AUTHENTICATE"));
        assert!(!sent(&"QUJD".repeat(2000), "AUTHENTICATE \"Y\""));
        assert!(!sent(&"QUJD".repeat(2000), "HAVESPACE"));
        assert!(!sent(&"QUJ ".repeat(2000), "AUTHENTICATE"));
    }

    #[test]
    fn a_credential_that_is_no_string_ends_the_session() {
        session(
            inside_tls,
            &[
                Client("AUTHENTICATE \"X\"\r\n"),
                ToBackend("AUTHENTICATE \"X\"\r\n"),
                Backend("\"\"\r\n"),
                ToClient("\"\"\r\n"),
                Client("XCLIENT \"ADDR=1\"\r\n"),
            ],
            After::Ended(Refusal::Unframeable),
        );
    }

    #[test]
    fn in_clear_tls_may_still_be_begun() {
        session(
            || Filter::new(Offer { starttls: true, proceed: true, login: true }),
            &[
                Client("CAPABILITY\r\nSTARTTLS\r\n"),
                ToBackend("CAPABILITY\r\n"),
                Backend("\"SASL\" \"PLAIN\"\r\nOK \"done\"\r\n"),
                ToClient(
                    "\"SASL\" \"PLAIN\"\r\n\"STARTTLS\"\r\nOK \"done\"\r\nOK \"Begin TLS negotiation now\"\r\n",
                ),
            ],
            After::StartTls,
        );
    }
}
