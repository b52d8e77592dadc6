//! Reads a session along from its first command to its last.
//!
//! SMTP has no login after which nothing matters: whoever may speak as the front after the first
//! message may do so at all. So the filter always knows what each octet is. Commands may be
//! pipelined where the backend lists PIPELINING; after AUTH, DATA and what else changes the
//! meaning of what follows, the client is held until the backend has answered.

use std::collections::VecDeque;

use super::{
    BEGIN_TLS, NO_COMMAND, NO_PARAMETERS, NO_RECIPIENT, NOT_IMPLEMENTED, STARTTLS_FIRST,
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
    /// The backend has taken a recipient of this transaction.
    has_recipient: bool,
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
    /// So many octets of a chunk that was refused here.
    Swallow {
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
    Recipient,
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
            has_recipient: false,
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
                let (taken, is_over) = take(left, input);
                if is_over {
                    self.client = Client::Command;
                }
                return (taken, Verdict::Pass);
            }
            Client::Swallow { left } => {
                let (taken, is_over) = take(left, input);
                if is_over {
                    self.client = Client::Command;
                }
                return (taken, Verdict::Replace);
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
            Judged::Wait => (0, Verdict::Hold),
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
            b"RCPT" => Sent::Recipient,
            b"ETRN" | b"EXPN" | b"HELP" | b"NOOP" | b"QUIT" | b"VRFY" => Sent::Other,
            // What follows a verb that we do not know may be no command, so that it is waited for.
            _ => Sent::Unknown,
        };
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
        // Whether it will be read as a chunk, only the answer to a RCPT tells: who still wants a login,
        // as Dovecot does, refuses BDAT like any other command, and hears the next one in its octets.
        if !self.in_chunks {
            if !self.in_flight.is_empty() {
                return Judged::Wait;
            }
            if !self.has_recipient {
                if octets > 0 {
                    self.client = Client::Swallow { left: octets };
                }
                return Judged::Answer(NO_RECIPIENT);
            }
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
                self.ends_transaction();
                self.lists(&reply.lines[1..]);
                verdict = self.edit(reply, out);
            }
            // RFC 5321 §4.1.4: it may be as if nothing had been listed.
            Sent::Ehlo | Sent::Helo => {
                if reply.is_positive() {
                    self.ends_transaction();
                }
                self.lists(&[]);
            }
            // A second MAIL is refused, and the first one counts on: RFC 5321 §3.3.
            Sent::Mail => self.in_transaction |= reply.is_positive(),
            Sent::Recipient => self.has_recipient |= reply.is_positive(),
            Sent::Message => self.ends_transaction(),
            Sent::Reset if reply.is_positive() => self.ends_transaction(),
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

    fn ends_transaction(&mut self) {
        (self.in_transaction, self.has_recipient) = (false, false);
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

/// Takes what is there of so many octets; how many, and whether they were the last.
fn take(left: &mut u64, input: &[u8]) -> (usize, bool) {
    let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= taken as u64;
    (taken, *left == 0)
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
    /// Only once all commands before it have been answered.
    Wait,
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
mod tests;
