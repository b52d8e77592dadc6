//! POP3 (RFC 1939, RFC 2449, RFC 5034) over the inbox.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lexer::trim_line_end;
use super::line::Literals;
use super::proxy::Peer;
use super::sasl;
use super::session::{Flow, Session};
use super::store::Store;

const CAPABILITIES: &str = "+OK Capability list follows\r\nTOP\r\nUIDL\r\nUSER\r\nSASL PLAIN\r\n\
    PIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nIMPLEMENTATION Vestibule-demo\r\n.\r\n";

/// One POP3 session.
pub(super) struct Pop3 {
    store: Store,
    peer: Peer,
    phase: Phase,
}

enum Phase {
    /// AUTHORIZATION, perhaps with a USER given.
    Login(Option<Vec<u8>>),
    /// The SASL response is awaited.
    Response,
    Transaction(Maildrop),
}

/// The inbox as it was at login. RFC 1939 §4 would lock it; here others may change it meanwhile,
/// which this session does not notice.
struct Maildrop {
    validity: u32,
    messages: Vec<(u32, Arc<[u8]>)>,
    /// Indexes of the messages that QUIT will remove.
    deleted: BTreeSet<usize>,
}

impl Pop3 {
    pub(super) fn new(store: Store, peer: Peer) -> Self {
        Self { store, peer, phase: Phase::Login(None) }
    }

    fn run(&mut self, line: &str, out: &mut Vec<u8>) -> Result<String, &'static str> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        match (&mut self.phase, &*verb) {
            (_, "CAPA") => {
                out.extend_from_slice(CAPABILITIES.as_bytes());
                Ok(String::new())
            }
            (Phase::Login(user), "USER") => {
                *user = Some(argument.as_bytes().to_vec());
                Ok("+OK And the password".to_owned())
            }
            (Phase::Login(user), "PASS") => {
                let user = user.take().ok_or("-ERR USER comes first")?;
                self.log_in(sasl::welcome(&user, argument.as_bytes()))
            }
            // RFC 5034 §4 is silent, but clients ask for the list this way.
            (Phase::Login(_), "AUTH") if argument.is_empty() => {
                Ok("+OK Mechanisms follow\r\nPLAIN\r\n.".to_owned())
            }
            (Phase::Login(_), "AUTH") => {
                let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
                if !mechanism.eq_ignore_ascii_case("PLAIN") {
                    return Err("-ERR PLAIN is the only mechanism");
                }
                if initial.is_empty() {
                    self.phase = Phase::Response;
                    return Ok("+ ".to_owned());
                }
                self.log_in(sasl::plain(initial.as_bytes()))
            }
            (Phase::Transaction(drop), verb) => drop.run(verb, argument, out),
            _ => Err("-ERR Unknown here; log in as demo with password demo"),
        }
    }

    fn log_in(&mut self, welcome: bool) -> Result<String, &'static str> {
        self.phase = Phase::Login(None);
        if !welcome {
            return Err("-ERR [AUTH] User and password are both demo");
        }
        let drop = self.store.with(|state| {
            let inbox = state.mailboxes.get("INBOX");
            let messages = inbox.map(|inbox| inbox.messages.as_slice()).unwrap_or_default();
            Maildrop {
                validity: inbox.map_or(0, |inbox| inbox.validity),
                messages: messages.iter().map(|m| (m.uid, Arc::clone(&m.bytes))).collect(),
                deleted: BTreeSet::new(),
            }
        });
        self.phase = Phase::Transaction(drop);
        Ok(format!("+OK Welcome. Vestibule says that you are {}", self.peer))
    }

    /// RFC 1939 §6: only QUIT removes what DELE marked.
    fn update(&self) {
        if let Phase::Transaction(Maildrop { validity, messages, deleted }) = &self.phase {
            let doomed: BTreeSet<_> = deleted.iter().map(|index| messages[*index].0).collect();
            self.store.with(|state| {
                let inbox = state.mailboxes.get("INBOX");
                if !doomed.is_empty() && inbox.is_some_and(|inbox| inbox.validity == *validity) {
                    state.remove("INBOX", |message| doomed.contains(&message.uid));
                }
            });
        }
    }
}

impl Session for Pop3 {
    const LITERALS: Literals = Literals::None;

    fn greet(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"+OK Vestibule demo server ready\r\n");
    }

    fn command(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Flow {
        let line = String::from_utf8_lossy(trim_line_end(frame));
        if line.eq_ignore_ascii_case("QUIT") && !matches!(self.phase, Phase::Response) {
            self.update();
            out.extend_from_slice(b"+OK Bye\r\n");
            return Flow::End;
        }
        let result = match self.phase {
            Phase::Response => self.log_in(sasl::plain(line.as_bytes())),
            _ => self.run(&line, out),
        };
        let reply = result.unwrap_or_else(str::to_owned);
        if !reply.is_empty() {
            out.extend_from_slice(reply.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Flow::Go
    }

    fn refuse(&mut self, _frame: &[u8], _closing: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"-ERR Line too long\r\n");
    }
}

impl Maildrop {
    /// Answers a command; an empty text means that `out` has it all.
    fn run(
        &mut self,
        verb: &str,
        argument: &str,
        out: &mut Vec<u8>,
    ) -> Result<String, &'static str> {
        match verb {
            "NOOP" => Ok("+OK".to_owned()),
            "RSET" => {
                self.deleted.clear();
                Ok("+OK Nothing is deleted".to_owned())
            }
            "STAT" => {
                let sizes: Vec<_> = self.present().map(|(_, bytes)| size(bytes)).collect();
                Ok(format!("+OK {} {}", sizes.len(), sizes.iter().sum::<usize>()))
            }
            "LIST" => self.listing(argument, out, |_, bytes| size(bytes).to_string()),
            "UIDL" => {
                let validity = self.validity;
                self.listing(argument, out, |uid, _| format!("{validity}.{uid}"))
            }
            "DELE" => {
                let index = self.find(argument)?;
                self.deleted.insert(index);
                Ok("+OK Deleted at QUIT".to_owned())
            }
            "RETR" => {
                put_message(&self.messages[self.find(argument)?].1, usize::MAX, out);
                Ok(".".to_owned())
            }
            "TOP" => {
                let (number, lines) = argument.split_once(' ').ok_or("-ERR TOP message lines")?;
                let lines = lines.parse().map_err(|_| "-ERR TOP message lines")?;
                put_message(&self.messages[self.find(number)?].1, lines, out);
                Ok(".".to_owned())
            }
            _ => Err("-ERR Unknown command"),
        }
    }

    fn present(&self) -> impl Iterator<Item = (usize, &Arc<[u8]>)> {
        let all = self.messages.iter().enumerate();
        all.filter(|(index, _)| !self.deleted.contains(index)).map(|(i, (_, bytes))| (i, bytes))
    }

    /// The index of a message by its number.
    fn find(&self, number: &str) -> Result<usize, &'static str> {
        let number: usize = number.trim().parse().map_err(|_| "-ERR Which message?")?;
        let index = number.checked_sub(1).filter(|index| *index < self.messages.len());
        index.filter(|index| !self.deleted.contains(index)).ok_or("-ERR No such message")
    }

    fn listing(
        &self,
        argument: &str,
        out: &mut Vec<u8>,
        tell: impl Fn(u32, &[u8]) -> String,
    ) -> Result<String, &'static str> {
        let about = |index: usize| tell(self.messages[index].0, &self.messages[index].1);
        if !argument.is_empty() {
            let index = self.find(argument)?;
            return Ok(format!("+OK {} {}", index + 1, about(index)));
        }
        out.extend_from_slice(b"+OK List follows\r\n");
        for (index, _) in self.present() {
            out.extend_from_slice(format!("{} {}\r\n", index + 1, about(index)).as_bytes());
        }
        Ok(".".to_owned())
    }
}

/// Octets of a message as RETR sends it, its dots not stuffed (RFC 1939 §11).
fn size(bytes: &[u8]) -> usize {
    bytes.split_inclusive(|b| *b == b'\n').map(|line| trim_line_end(line).len() + 2).sum()
}

/// The message with its lines ended by CRLF and its dots stuffed (RFC 1939 §3), and of the body
/// that many lines (§7, TOP).
fn put_message(bytes: &[u8], mut body_lines: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK Message follows\r\n");
    let mut in_body = false;
    for line in bytes.split_inclusive(|b| *b == b'\n').map(trim_line_end) {
        if in_body {
            let Some(left) = body_lines.checked_sub(1) else { break };
            body_lines = left;
        }
        in_body |= line.is_empty();
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(pop3: &mut Pop3, line: &str) -> String {
        let mut out = Vec::new();
        let _ = pop3.command(format!("{line}\r\n").as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_session_reads_and_deletes() {
        let store = Store::new();
        store.deliver(b"Subject: x\n\n.one\ntwo\n".to_vec()).unwrap();
        let mut pop3 = Pop3::new(store.clone(), Peer { address: None, tls: None });
        for (command, reply) in [
            ("STAT", "-ERR "),
            ("PASS demo", "-ERR "),
            ("USER demo", "+OK "),
            ("PASS wrong", "-ERR [AUTH] "),
            ("AUTH PLAIN", "+ \r\n"),
            ("AGRlbW8AZGVtbw==", "+OK "),
            ("LIST 2", "+OK 2 25\r\n"),
            ("RETR 2", "+OK Message follows\r\nSubject: x\r\n\r\n..one\r\ntwo\r\n.\r\n"),
            ("TOP 2 1", "+OK Message follows\r\nSubject: x\r\n\r\n..one\r\n.\r\n"),
            ("TOP 2 0", "+OK Message follows\r\nSubject: x\r\n\r\n.\r\n"),
            ("RETR 3", "-ERR "),
            ("RETR 0", "-ERR "),
            ("DELE 1", "+OK "),
            ("DELE 1", "-ERR "),
            ("STAT", "+OK 1 25\r\n"),
            ("LIST", "+OK List follows\r\n2 25\r\n.\r\n"),
            ("RSET", "+OK "),
            ("DELE 2", "+OK "),
        ] {
            let answer = say(&mut pop3, command);
            assert!(answer.starts_with(reply), "{command}: {answer}");
        }
        let uids = || -> Vec<u32> {
            store.with(|state| state.mailboxes["INBOX"].messages.iter().map(|m| m.uid).collect())
        };
        assert_eq!(uids(), [1, 2]);
        assert_eq!(say(&mut pop3, "QUIT"), "+OK Bye\r\n");
        assert_eq!(uids(), [1]);
    }
}
