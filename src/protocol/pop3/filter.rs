//! Reads a session along until the login has succeeded.
//!
//! One command is in flight at a time, so it is always known which command a reply belongs to,
//! and no credential can be taken for a command or the other way round.

use super::{BEGIN_TLS, NO_CREDENTIALS, ONLY_WITHOUT_TLS, UNKNOWN, capability, command};
use crate::protocol::{
    Offer, Out, Refusal, Side, Verdict,
    line::{Line, is_foreign, line, printable},
    seam,
};

/// The AUTHORIZATION state of RFC 1939 §4, with a backend.
#[derive(Debug)]
pub struct Filter {
    offer: Offer,
    state: State,
    /// A name was given: RFC 2595 §4 permits STLS only before.
    named: bool,
    /// The client has said good-bye, or the backend has.
    is_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The client's turn: a command.
    Command,
    /// The client's turn: one line of a SASL exchange (RFC 5034 §4).
    Credential,
    /// The backend's turn: the status of this command.
    Status(Sent),
    /// The backend's turn: the rest of a multi-line reply.
    Listing { capabilities: bool },
}

/// The command in flight, as far as it matters for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Its success is the login.
    Login,
    /// Its success is the login, if the client has `proved` anything; `+ ` asks for that.
    Auth { proved: bool },
    /// CAPA: a listing that is edited.
    Capabilities,
    /// A listing that passes.
    Listing,
    /// Any other: one line.
    Other,
}

impl Filter {
    /// A filter for a session that has just been opened.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        Self { offer, state: State::Command, named: false, is_over: false }
    }

    fn command(&mut self, line: Line<'_>, out: &mut Out) -> Verdict {
        let (verb, arguments) = command(line.text);
        // What two servers could read in two ways, no server gets to read.
        if !line.strict {
            return answer(b"-ERR Commands end in CRLF and hold no control characters\r\n", out);
        }
        let sent = match verb.as_slice() {
            // A tab, or a space in front, may mean nothing to a backend.
            verb if verb.is_empty() || !verb.iter().all(u8::is_ascii_graphic) => {
                return answer(UNKNOWN, out);
            }
            b"STLS" if !self.offer.starttls => return answer(ONLY_WITHOUT_TLS, out),
            b"STLS" if self.named => return answer(b"-ERR STLS comes before USER\r\n", out),
            b"STLS" if !arguments.is_empty() => {
                return answer(b"-ERR STLS has no arguments\r\n", out);
            }
            b"STLS" => {
                out.to_client.extend_from_slice(BEGIN_TLS);
                return Verdict::StartTls;
            }
            // The backend trusts us: no client may speak as we would.
            b"XCLIENT" => return answer(UNKNOWN, out),
            b"APOP" | b"AUTH" | b"PASS" | b"USER" if !self.offer.login => {
                return answer(NO_CREDENTIALS, out);
            }
            b"APOP" | b"PASS" => Sent::Login,
            b"AUTH" => match words(line.text) {
                // Without an argument it asks which mechanisms there are, and logs nobody in.
                Some(1) => Sent::Listing,
                Some(count @ 2..=3) => Sent::Auth { proved: count == 3 },
                _ => return answer(b"-ERR AUTH wants a mechanism, and no empty words\r\n", out),
            },
            b"CAPA" => Sent::Capabilities,
            // RFC 6856 §3.2
            b"LANG" if arguments.is_empty() => Sent::Listing,
            b"USER" => {
                self.named = true;
                Sent::Other
            }
            b"LANG" | b"NOOP" | b"QUIT" | b"UTF8" => Sent::Other,
            // How long the reply to any other is, and whose it then seems to be, nobody knows.
            _ => return answer(UNKNOWN, out),
        };
        self.is_over = verb == b"QUIT";
        self.state = State::Status(sent);
        Verdict::Pass
    }

    fn status(&mut self, sent: Sent, text: &[u8]) -> Verdict {
        let ok = text.starts_with(b"+OK");
        self.state = match sent {
            Sent::Login | Sent::Auth { proved: true } if ok => return Verdict::Opaque,
            // A success of nothing: what follows may be a list, or a login that we did not see.
            Sent::Auth { proved: false } if ok => return Verdict::End(Refusal::BackendGarbage),
            Sent::Auth { .. } if text.first() == Some(&b'+') => State::Credential,
            Sent::Capabilities if ok => State::Listing { capabilities: true },
            Sent::Listing if ok => State::Listing { capabilities: false },
            Sent::Login => {
                self.named = false;
                State::Command
            }
            _ => State::Command,
        };
        Verdict::Pass
    }

    fn listing(&mut self, capabilities: bool, text: &[u8], out: &mut Out) -> Verdict {
        let last = text == b".";
        if last {
            self.state = State::Command;
        }
        match (capabilities, last) {
            (false, _) => Verdict::Pass,
            (true, false) => {
                // P5: what is not ours to edit passes to the octet, whatever its length.
                let shown = printable(text);
                match capability::edit(&shown, self.offer) {
                    Some(kept) if kept == shown => return Verdict::Pass,
                    Some(kept) => out.to_client.extend_from_slice(format!("{kept}\r\n").as_bytes()),
                    None => {}
                }
                Verdict::Replace
            }
            (true, true) => {
                if let Some(own) = capability::own(self.offer) {
                    out.to_client.extend_from_slice(format!("{own}\r\n").as_bytes());
                }
                out.to_client.extend_from_slice(b".\r\n");
                Verdict::Replace
            }
        }
    }
}

impl seam::Filter for Filter {
    fn push(&mut self, from: Side, input: &[u8], out: &mut Out) -> (usize, Verdict) {
        if from == Side::Client && matches!(self.state, State::Status(_) | State::Listing { .. }) {
            return (0, Verdict::Hold);
        }
        if from == Side::Client && self.state == State::Command && is_foreign(input) {
            return (0, Verdict::End(Refusal::Unframeable));
        }
        let Some(line) = line(input) else { return (0, Verdict::Read) };
        let verdict = match (from, self.state) {
            (Side::Client, State::Credential) if !line.strict => Verdict::End(Refusal::Unframeable),
            (Side::Client, State::Credential) => {
                self.state = State::Status(Sent::Auth { proved: true });
                Verdict::Pass
            }
            (Side::Client, _) => self.command(line, out),
            (Side::Backend, State::Status(sent)) => self.status(sent, line.text),
            (Side::Backend, State::Listing { capabilities }) => {
                self.listing(capabilities, line.text, out)
            }
            // The backend speaks unasked: it says good-bye, and waits for no credential any more.
            (Side::Backend, State::Command | State::Credential) => {
                self.is_over = true;
                self.state = State::Command;
                Verdict::Pass
            }
        };
        (line.taken, verdict)
    }

    fn may_speak(&self) -> bool {
        !matches!(self.state, State::Listing { .. })
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

/// How many words a line has; `None`: one of them is empty, which servers count or do not.
fn words(text: &[u8]) -> Option<usize> {
    let words = text.split(|b| *b == b' ');
    words.clone().all(|w| !w.is_empty()).then(|| words.count())
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
                Client("USER demo\r\nPASS wrong\r\nPASS right\r\nXCLIENT ADDR=1\r\n"),
                ToBackend("USER demo\r\n"),
                Backend("+OK\r\n"),
                ToClient("+OK\r\n"),
                ToBackend("PASS wrong\r\n"),
                Backend("-ERR [AUTH] No\r\n"),
                ToClient("-ERR [AUTH] No\r\n"),
                ToBackend("PASS right\r\n"),
                Backend("+OK Logged in.\r\n"),
                ToClient("+OK Logged in.\r\n"),
                ToBackend("XCLIENT ADDR=1\r\n"),
            ],
            After::Opaque,
        );
    }

    #[test]
    fn p3_p12_what_ends_at_the_front_is_refused_in_every_state() {
        session(
            inside_tls,
            &[
                Client("STLS\r\nxclient ADDR=192.0.2.9\r\nUSER demo\r\nXCLIENT ADDR=1\r\n"),
                ToClient("-ERR Command not permitted when TLS active\r\n-ERR Unknown command\r\n"),
                ToBackend("USER demo\r\n"),
                Backend("+OK\r\n"),
                ToClient("+OK\r\n-ERR Unknown command\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn a_refused_auth_turns_no_credential_into_a_command() {
        session(
            inside_tls,
            &[
                Client("AUTH PLAIN\r\nXCLIENT ADDR=1\r\n"),
                ToBackend("AUTH PLAIN\r\n"),
                Backend("-ERR No\r\n"),
                ToClient("-ERR No\r\n-ERR Unknown command\r\n"),
                Client("AUTH PLAIN\r\n"),
                ToBackend("AUTH PLAIN\r\n"),
                Backend("+ \r\n"),
                ToClient("+ \r\n"),
                Client("STLS\r\n"), // base64, as it happens
                ToBackend("STLS\r\n"),
                Backend("+OK\r\n"),
                ToClient("+OK\r\n"),
            ],
            After::Opaque,
        );
    }

    #[test]
    fn auth_without_arguments_is_a_listing() {
        session(
            inside_tls,
            &[
                Client("AUTH\r\nSTLS\r\n"),
                ToBackend("AUTH\r\n"),
                Backend("+OK\r\nPLAIN\r\n+OK\r\n.\r\n"),
                ToClient(
                    "+OK\r\nPLAIN\r\n+OK\r\n.\r\n-ERR Command not permitted when TLS active\r\n",
                ),
            ],
            After::Filtered,
        );
    }

    /// Two servers count the words of a line in two ways, and one of them lists its mechanisms.
    #[test]
    fn p12_a_listing_is_never_taken_for_a_login() {
        session(
            inside_tls,
            &[
                Client("AUTH  PLAIN\r\nAUTH \r\nAUTH PLAIN  x\r\nXOIP 192.0.2.9\r\n"),
                ToClient(
                    "-ERR AUTH wants a mechanism, and no empty words\r\n\
                     -ERR AUTH wants a mechanism, and no empty words\r\n\
                     -ERR AUTH wants a mechanism, and no empty words\r\n\
                     -ERR Unknown command\r\n",
                ),
            ],
            After::Filtered,
        );
        session(
            inside_tls,
            &[Client("AUTH PLAIN\r\n"), ToBackend("AUTH PLAIN\r\n"), Backend("+OK\r\n")],
            After::Ended(Refusal::BackendGarbage),
        );
    }

    #[test]
    fn p4_p5_the_live_list_is_edited_and_keeps_its_dots() {
        session(
            inside_tls,
            &[
                Client("CAPA\r\n"),
                ToBackend("CAPA\r\n"),
                Backend("+OK\r\nSTLS\r\n..odd\r\nSASL PLAIN OAUTHBEARER-PLUS\r\n.\r\n"),
                ToClient("+OK\r\n..odd\r\nSASL PLAIN\r\n.\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn p2_in_clear_stls_is_offered_until_a_name_is_given() {
        session(
            || Filter::new(Offer { starttls: true, proceed: true, login: true }),
            &[
                Client("CAPA\r\nUSER a\r\nSTLS\r\nPASS no\r\nSTLS\r\nCAPA\r\n"),
                ToBackend("CAPA\r\n"),
                Backend("+OK\r\nSTLS\r\nUSER\r\n.\r\n"),
                ToClient("+OK\r\nUSER\r\nSTLS\r\n.\r\n"),
                ToBackend("USER a\r\n"),
                Backend("+OK\r\n"),
                ToClient("+OK\r\n-ERR STLS comes before USER\r\n"),
                ToBackend("PASS no\r\n"),
                Backend("-ERR\r\n"),
                ToClient("-ERR\r\n+OK Begin TLS negotiation now\r\n"),
            ],
            After::StartTls,
        );
    }

    #[test]
    fn a_line_that_two_servers_could_read_in_two_ways_is_not_passed() {
        session(
            inside_tls,
            &[
                Client("NOOP\rXCLIENT ADDR=1\r\n"),
                ToClient("-ERR Commands end in CRLF and hold no control characters\r\n"),
            ],
            After::Filtered,
        );
    }
}
