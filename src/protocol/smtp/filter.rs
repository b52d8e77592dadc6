//! Reads a session along from its first command to its last.
//!
//! SMTP has no login after which nothing matters: whoever may speak as the front after the first
//! message may do so at all. So the filter always knows what each octet is. Commands may be
//! pipelined where the backend lists PIPELINING; after AUTH, DATA and what else changes the
//! meaning of what follows, the client is held until the backend has answered.

use std::collections::VecDeque;

use super::{
    BEGIN_TLS, NO_COMMAND, NO_PARAMETERS, NOT_IMPLEMENTED, STARTTLS_FIRST,
    body::{Found as BodyFound, Scanner},
    capability,
    command::{chunk, is_plain, is_trust, parse},
    reply::{Found, Reply, push, reply},
};
use crate::{
    protocol::{
        Offer, Out, Refusal, Side, Verdict,
        line::{Line, is_foreign, line},
        seam,
    },
    values::BareNewline,
};

/// Commands in flight at the most. RFC 5321 §4.5.3.1.10 wants room for 100 recipients.
const MOST_IN_FLIGHT: usize = 500;

/// A session, command by command.
#[derive(Debug)]
pub struct Filter {
    offer: Offer,
    bare_newline: BareNewline,
    client: Client,
    /// Commands whose replies are still to come.
    in_flight: VecDeque<Sent>,
    /// What this session's EHLO reply has listed.
    pipelining: bool,
    chunking: bool,
    /// Between a BDAT that is not the last and the one that is.
    in_chunks: bool,
    /// Between MAIL and its end.
    in_transaction: bool,
    /// Whether a SASL mechanism may bring a security layer, behind which nobody reads along.
    layers: bool,
    /// The backend's last word was one after which it may close.
    is_over: bool,
}

/// What the client's next octets are.
#[derive(Debug)]
enum Client {
    Command,
    /// A line of a SASL exchange (RFC 4954 §4).
    Credential,
    /// The message behind a 354.
    Body(Box<Scanner>),
    /// So many octets of a BDAT chunk (RFC 3030 §2).
    Chunk {
        left: u64,
    },
    /// Nothing until all replies are there.
    Wait,
}

/// A command in flight, as far as it matters for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Auth,
    Data,
    Ehlo,
    Helo,
    /// The message itself, which the last reply of a transaction answers.
    Message,
    Mail,
    Other,
    Reset,
    Unknown,
}

impl Filter {
    /// A filter for a session whose backend has listed these keywords in clear already; inside TLS
    /// the client begins anew (RFC 3207 §4.2), and nothing has been listed.
    #[must_use]
    pub fn new(offer: Offer, bare_newline: BareNewline, listed: &[Vec<u8>]) -> Self {
        Self {
            offer,
            bare_newline,
            client: Client::Command,
            in_flight: VecDeque::new(),
            pipelining: capability::has(listed, "PIPELINING"),
            chunking: capability::has(listed, "CHUNKING"),
            in_chunks: false,
            in_transaction: false,
            layers: true,
            is_over: false,
        }
    }

    /// The same before a backend that believes the front in words of SMTP.
    #[must_use]
    pub fn for_a_believer(self) -> Self {
        Self { layers: false, ..self }
    }

    fn client_sends(&mut self, input: &[u8], out: &mut Out) -> (usize, Verdict) {
        match &mut self.client {
            Client::Wait => return (0, Verdict::Hold),
            Client::Body(_) => return self.body(input),
            Client::Chunk { left } => {
                let taken =
                    usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= taken as u64;
                if *left == 0 {
                    self.client = Client::Command;
                }
                return (taken, Verdict::Pass);
            }
            Client::Command | Client::Credential => {}
        }
        if matches!(self.client, Client::Command) && is_foreign(input) {
            return (0, Verdict::End(Refusal::Unframeable));
        }
        let Some(line) = line(input) else { return (0, Verdict::Read) };
        if matches!(self.client, Client::Credential) {
            if !line.strict {
                return (line.taken, Verdict::End(Refusal::Unframeable));
            }
            self.client = Client::Wait;
            self.in_flight.push_back(Sent::Auth);
            return (line.taken, Verdict::Pass);
        }
        let may_send =
            self.in_flight.is_empty() || (self.pipelining && self.in_flight.len() < MOST_IN_FLIGHT);
        if !may_send {
            return (0, Verdict::Hold);
        }
        match self.command(line) {
            Judged::Send(verdict) => {
                self.is_over = false;
                if verdict == Verdict::Replace {
                    out.to_backend.extend_from_slice(line.text);
                    out.to_backend.extend_from_slice(b"\r\n");
                }
                (line.taken, verdict)
            }
            // Answers come in the order of the commands.
            _ if !self.in_flight.is_empty() => (0, Verdict::Hold),
            Judged::Answer(text) => {
                out.to_client.extend_from_slice(text);
                (line.taken, Verdict::Replace)
            }
            Judged::StartTls => {
                out.to_backend.extend_from_slice(b"QUIT\r\n");
                out.to_client.extend_from_slice(BEGIN_TLS);
                (line.taken, Verdict::StartTls)
            }
            Judged::End => (line.taken, Verdict::End(Refusal::Unframeable)),
        }
    }

    fn command(&mut self, line: Line<'_>) -> Judged {
        let (verb, parameters) = parse(line.text);
        // What two servers could read in two ways, no server gets to read.
        if !is_plain(line.text) {
            return Judged::Answer(NO_COMMAND);
        }
        let sent = match verb.as_slice() {
            verb if is_trust(verb) => return Judged::Answer(NOT_IMPLEMENTED),
            _ if self.in_chunks && !goes_with_chunks(&verb, parameters) => {
                return Judged::Answer(b"503 5.5.1 The message has chunks to come\r\n");
            }
            b"STARTTLS" if !self.offer.starttls => {
                return Judged::Answer(b"503 5.5.1 TLS is active\r\n");
            }
            b"STARTTLS" if !parameters.is_empty() => return Judged::Answer(NO_PARAMETERS),
            // RFC 3207 §4.2: the envelope would not be kept.
            b"STARTTLS" if self.in_transaction => {
                return Judged::Answer(b"503 5.5.1 Not inside a mail transaction\r\n");
            }
            b"STARTTLS" => return Judged::StartTls,
            b"AUTH" if !self.offer.login => return Judged::Answer(STARTTLS_FIRST),
            b"AUTH" if !self.layers && capability::is_layered(parameters) => {
                return Judged::Answer(b"504 5.5.4 Unrecognized authentication type\r\n");
            }
            b"AUTH" => Sent::Auth,
            b"DATA" => Sent::Data,
            b"EHLO" => Sent::Ehlo,
            b"HELO" => Sent::Helo,
            b"RSET" => Sent::Reset,
            b"MAIL" => Sent::Mail,
            b"BDAT" => return self.chunk(line, parameters),
            b"ETRN" | b"EXPN" | b"HELP" | b"NOOP" | b"QUIT" | b"RCPT" | b"VRFY" => Sent::Other,
            // What follows a verb that we do not know may be no command, so that it is waited for.
            _ => Sent::Unknown,
        };
        self.in_transaction |= sent == Sent::Mail;
        self.in_chunks &= sent != Sent::Reset;
        self.in_flight.push_back(sent);
        if matches!(sent, Sent::Auth | Sent::Data | Sent::Ehlo | Sent::Helo | Sent::Unknown) {
            self.client = Client::Wait;
        }
        Judged::send(line)
    }

    /// A backend that does not know BDAT, or not in this form, would take the chunk for commands:
    /// not even the client's answer may come first.
    fn chunk(&mut self, line: Line<'_>, parameters: &[u8]) -> Judged {
        let Some((octets, last)) = chunk(parameters).filter(|_| self.chunking && line.strict)
        else {
            return Judged::End;
        };
        // Some refuse it, and are then deaf to what follows.
        if octets == 0 && !last {
            return Judged::Answer(b"501 5.5.4 An empty chunk is the last one or none\r\n");
        }
        self.in_chunks = !last;
        self.in_flight.push_back(if last { Sent::Message } else { Sent::Other });
        if octets > 0 {
            self.client = Client::Chunk { left: octets };
        }
        Judged::Send(Verdict::Pass)
    }

    fn body(&mut self, input: &[u8]) -> (usize, Verdict) {
        let Client::Body(scanner) = &mut self.client else { return (0, Verdict::Hold) };
        match scanner.scan(input) {
            BodyFound::More(0) => (0, Verdict::Read),
            BodyFound::More(taken) => (taken, Verdict::Pass),
            BodyFound::End(taken) => {
                self.client = Client::Wait;
                self.in_flight.push_back(Sent::Message);
                (taken, Verdict::Pass)
            }
            // The backend never sees an end, so it delivers nothing.
            BodyFound::Bare(_) => (0, Verdict::End(Refusal::BareNewline)),
        }
    }

    fn backend_sends(&mut self, input: &[u8], out: &mut Out) -> (usize, Verdict) {
        match reply(input) {
            Found::Incomplete => (0, Verdict::Read),
            Found::Garbage => (0, Verdict::End(Refusal::BackendGarbage)),
            Found::Whole(reply) => (reply.taken, self.reply(&reply, out)),
        }
    }

    fn reply(&mut self, reply: &Reply<'_>, out: &mut Out) -> Verdict {
        let sent = self.in_flight.pop_front();
        // RFC 5321 §3.8. Who refuses and then closes, as Postfix' postscreen does, has said why.
        self.is_over =
            matches!(reply.code, 221 | 421) || (reply.code >= 400 && self.in_flight.is_empty());
        // Without a command it is a 421: the backend says good-bye.
        let Some(sent) = sent else { return Verdict::Pass };
        let mut verdict = Verdict::Pass;
        let mut client = None;
        match sent {
            Sent::Auth if reply.code == 334 => client = Some(Client::Credential),
            Sent::Data if reply.code == 354 => {
                client = Some(Client::Body(Box::new(Scanner::new(self.bare_newline))));
            }
            // The client's answer would be neither a command nor data that we know of.
            _ if reply.code / 100 == 3 => return Verdict::End(Refusal::BackendGarbage),
            Sent::Ehlo if reply.is_positive() => {
                self.in_transaction = false;
                self.lists(&reply.lines[1..]);
                verdict = self.edit(reply, out);
            }
            // RFC 5321 §4.1.4: it may be as if nothing had been listed.
            Sent::Ehlo | Sent::Helo => {
                self.in_transaction &= !reply.is_positive();
                self.lists(&[]);
            }
            Sent::Mail if !reply.is_positive() => self.in_transaction = false,
            Sent::Message => self.in_transaction = false,
            Sent::Reset if reply.is_positive() => self.in_transaction = false,
            _ => {}
        }
        match client {
            Some(client) => self.client = client,
            None if matches!(self.client, Client::Wait) && self.in_flight.is_empty() => {
                self.client = Client::Command;
            }
            None => {}
        }
        verdict
    }

    fn lists(&mut self, keywords: &[&[u8]]) {
        self.pipelining = capability::has(keywords, "PIPELINING");
        self.chunking = capability::has(keywords, "CHUNKING");
    }

    /// The EHLO reply with its keywords edited, and its first line as it is.
    fn edit(&self, reply: &Reply<'_>, out: &mut Out) -> Verdict {
        let mut edited = capability::edit(&reply.lines[1..], self.offer);
        if !self.layers {
            edited = capability::without_layers(edited);
        }
        if edited.iter().map(String::as_bytes).eq(reply.lines[1..].iter().copied()) {
            return Verdict::Pass;
        }
        let mut lines = vec![reply.lines[0]];
        lines.extend(edited.iter().map(String::as_bytes));
        push(reply.code, &lines, &mut out.to_client);
        Verdict::Replace
    }
}

/// What every server hears between two chunks. Behind anything else, Exim takes even chunks for
/// commands until there is an RSET among them.
fn goes_with_chunks(verb: &[u8], parameters: &[u8]) -> bool {
    match verb {
        b"BDAT" => true,
        b"NOOP" | b"QUIT" | b"RSET" => parameters.is_empty(),
        _ => false,
    }
}

/// What becomes of a command.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Answer(&'static [u8]),
    End,
    Send(Verdict),
    StartTls,
}

impl Judged {
    /// A command may end in a bare LF, as people type it; what goes on ends in CRLF, so that it is
    /// one command for every server.
    fn send(line: Line<'_>) -> Self {
        Self::Send(if line.strict { Verdict::Pass } else { Verdict::Replace })
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
        // A reply in the place of another's would be taken for it; and one is certain: 421, or the
        // refusal of a message, is true of whatever it is taken for.
        true
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn is_slow(&self) -> bool {
        self.in_flight.back() == Some(&Sent::Message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{After, Turn::*, session};

    const CLEAR: Offer = Offer { starttls: true, proceed: true, login: false };

    fn inside_tls() -> Filter {
        Filter::new(Offer::TLS, BareNewline::StrictEod, &[])
    }

    fn pipelining() -> Filter {
        Filter::new(
            Offer::TLS,
            BareNewline::StrictEod,
            &[b"PIPELINING".to_vec(), b"CHUNKING".to_vec()],
        )
    }

    #[test]
    fn s8_s9_s11_s14_what_ends_at_the_front_is_refused_and_not_shown() {
        session(
            inside_tls,
            &[
                Client("EHLO me\r\nSTARTTLS\r\nXCLIENT ADDR=1\r\nxforward a=b\r\n"),
                ToBackend("EHLO me\r\n"),
                Backend("250-mx\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR\r\n"),
                ToClient(
                    "250-mx\r\n250 AUTH PLAIN\r\n503 5.5.1 TLS is active\r\n502 5.5.1 Command not implemented\r\n502 5.5.1 Command not implemented\r\n",
                ),
                Client("EHLO me\r\n"),
                ToBackend("EHLO me\r\n"),
                Backend("250 mx\r\n"),
                ToClient("250 mx\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn s18_s20_s24_a_message_is_content_and_the_next_command_is_none_of_it() {
        session(
            pipelining,
            &[
                Client(
                    "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSTARTTLS\r\nXCLIENT\r\n.\r\nXCLIENT ADDR=1\r\nMAIL FROM:<e@f>\r\n",
                ),
                ToBackend("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
                Backend("250 ok\r\n250 ok\r\n"),
                ToClient("250 ok\r\n250 ok\r\n"),
                Backend("354 go\r\n"),
                ToClient("354 go\r\n"),
                ToBackend("STARTTLS\r\nXCLIENT\r\n.\r\n"),
                Backend("250 queued\r\n"),
                ToClient("250 queued\r\n502 5.5.1 Command not implemented\r\n"),
                ToBackend("MAIL FROM:<e@f>\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn a_refused_data_turns_no_message_into_commands() {
        session(
            pipelining,
            &[
                Client("DATA\r\nXCLIENT ADDR=1\r\n.\r\n"),
                ToBackend("DATA\r\n"),
                Backend("503 no\r\n"),
                ToClient(
                    "503 no\r\n502 5.5.1 Command not implemented\r\n500 5.5.2 This is no command\r\n",
                ),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn s16_s20_credentials_are_no_commands_and_commands_no_credentials() {
        session(
            inside_tls,
            &[
                Client("AUTH LOGIN\r\nXCLIENT ADDR=1\r\n"),
                ToBackend("AUTH LOGIN\r\n"),
                Backend("535 no\r\n"),
                ToClient("535 no\r\n502 5.5.1 Command not implemented\r\n"),
                Client("AUTH LOGIN\r\n"),
                ToBackend("AUTH LOGIN\r\n"),
                Backend("334 VXNlcg==\r\n"),
                ToClient("334 VXNlcg==\r\n"),
                Client("XCLIENT\r\nUVVJVA==\r\n"),
                ToBackend("XCLIENT\r\n"),
                Backend("334 UGFzcw==\r\n"),
                ToClient("334 UGFzcw==\r\n"),
                ToBackend("UVVJVA==\r\n"),
                Backend("235 in\r\n"),
                ToClient("235 in\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn s19_chunks_are_content_to_the_octet() {
        session(
            pipelining,
            &[
                Client("BDAT 10\r\nSTARTTLS\r\nBDAT 0 LAST\r\nNOOP\r\n"),
                ToBackend("BDAT 10\r\nSTARTTLS\r\nBDAT 0 LAST\r\nNOOP\r\n"),
            ],
            After::Filtered,
        );
        let ended = After::Ended(Refusal::Unframeable);
        session(pipelining, &[Client("BDAT 10 FIRST\r\n")], ended);
        session(pipelining, &[Client("BDAT 4294967306\r\n")], ended);
        session(inside_tls, &[Client("BDAT 10\r\n")], ended);
    }

    #[test]
    fn s19_a_message_in_chunks_has_nothing_else_in_it() {
        session(
            pipelining,
            &[
                Client("BDAT 0\r\nBDAT 1\r\nxNOOP\r\nVRFY a\r\n"),
                ToClient("501 5.5.4 An empty chunk is the last one or none\r\n"),
                ToBackend("BDAT 1\r\nxNOOP\r\n"),
                Backend("250 ok\r\n250 ok\r\n"),
                ToClient("250 ok\r\n250 ok\r\n503 5.5.1 The message has chunks to come\r\n"),
                Client("RSET x\r\n"),
                ToClient("503 5.5.1 The message has chunks to come\r\n"),
                Client("RSET\r\nVRFY a\r\n"),
                ToBackend("RSET\r\nVRFY a\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn s19_what_ehlo_has_listed_holds_until_the_next_hello() {
        for (hello, answer) in [("HELO me\r\n", "250 mx\r\n"), ("EHLO\r\n", "501 no\r\n")] {
            session(
                pipelining,
                &[
                    Client(hello),
                    ToBackend(hello),
                    Client("BDAT 9\r\nXCLIENT\r\n"),
                    Backend(answer),
                    ToClient(answer),
                ],
                After::Ended(Refusal::Unframeable),
            );
        }
    }

    #[test]
    fn without_pipelining_commands_are_fed_one_at_a_time() {
        session(
            inside_tls,
            &[
                Client("NOOP\r\nVRFY a\r\n"),
                ToBackend("NOOP\r\n"),
                Backend("250 ok\r\n"),
                ToClient("250 ok\r\n"),
                ToBackend("VRFY a\r\n"),
            ],
            After::Filtered,
        );
    }

    #[test]
    fn s15_s26_in_clear_no_credentials_and_tls_only_between_messages() {
        session(
            || Filter::new(CLEAR, BareNewline::StrictEod, &[]),
            &[
                Client("AUTH PLAIN x\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\n"),
                ToClient("530 5.7.0 Must issue a STARTTLS command first\r\n"),
                ToBackend("MAIL FROM:<a@b>\r\n"),
                Backend("250 ok\r\n"),
                ToClient("250 ok\r\n503 5.5.1 Not inside a mail transaction\r\n"),
                Client("RSET\r\nSTARTTLS\r\n"),
                ToBackend("RSET\r\n"),
                Backend("250 ok\r\n"),
                ToClient("250 ok\r\n220 2.0.0 Ready to start TLS\r\n"),
                ToBackend("QUIT\r\n"),
            ],
            After::StartTls,
        );
    }

    #[test]
    fn s21_a_smuggled_end_ends_the_session_before_the_backend_sees_it() {
        session(
            inside_tls,
            &[
                Client("DATA\r\n"),
                ToBackend("DATA\r\n"),
                Backend("354 go\r\n"),
                ToClient("354 go\r\n"),
                Client("a\r\n.\nMAIL FROM:<x@y>\r\n"),
                ToBackend("a\r\n"),
            ],
            After::Ended(Refusal::BareNewline),
        );
    }

    /// Postfix skips and takes for a space what others take for a part of the verb.
    #[test]
    fn s14_a_verb_is_one_word_for_everybody_or_none() {
        for command in [
            " XCLIENT ADDR=1",
            "\tXCLIENT ADDR=1",
            "XCLIENT\tADDR=1",
            "BDAT\t117",
            " DATA",
            "",
            ".",
        ] {
            session(
                pipelining,
                &[
                    Client(format!("{command}\r\n").leak()),
                    ToClient("500 5.5.2 This is no command\r\n"),
                ],
                After::Filtered,
            );
        }
    }

    #[test]
    fn a_question_that_nobody_asked_for_ends_the_session() {
        session(
            pipelining,
            &[Client("XODD\r\nBDAT 26\r\n"), ToBackend("XODD\r\n"), Backend("334 Go on\r\n")],
            After::Ended(Refusal::BackendGarbage),
        );
    }

    #[test]
    fn a_bare_lf_behind_a_command_is_made_a_line_end_for_everybody() {
        session(inside_tls, &[Client("NOOP\n"), ToBackend("NOOP\r\n")], After::Filtered);
        session(
            inside_tls,
            &[Client("NOOP\rQUIT\r\n"), ToClient("500 5.5.2 This is no command\r\n")],
            After::Filtered,
        );
    }
}
