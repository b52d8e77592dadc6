//! SMTP (RFC 5321): the mail exchanger of `localhost`, and its submission service (RFC 6409).
//!
//! Mail for the demo user ends in the inbox; there is nowhere else to send it.

use std::net::IpAddr;
use std::time::Duration;

use super::lexer::trim_line_end;
use super::line::Literals;
use super::proxy::Peer;
use super::sasl;
use super::session::{Flow, Session};
use super::store::Store;
use super::time;

/// Octets of one message.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;
/// RFC 5321 §4.5.3.1.8 wants no less.
const MAX_RECIPIENTS: usize = 100;
/// RFC 5321 §4.5.3.1.3, its brackets not counted.
const MAX_PATH: usize = 254;
const BYE: &str = "221 2.0.0 Bye";
const LOST: &str = "501 5.5.4 BDAT octets [LAST]";
const NO_MAIL: &str = "503 5.5.1 MAIL first";
const TOO_BIG: &str = "552 5.3.4 Too big; 8 MiB is the most";
const EXTENSIONS: &str = "PIPELINING\r\n250-SIZE 8388608\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
    250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n";

/// Whom a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Other mail servers: nobody logs in.
    Exchanger,
    /// The user's own mail program, after a login.
    Submission,
}

/// One SMTP session.
pub(super) struct Smtp {
    store: Store,
    peer: Peer,
    role: Role,
    logged_in: bool,
    /// The client's name for itself, and whether it said EHLO.
    client: Option<(String, bool)>,
    mail: Option<Mail>,
    phase: Phase,
}

/// What the next octets are.
enum Phase {
    /// A piece of a chunk that has so much left (RFC 3030 §2).
    Chunk {
        left: usize,
        last: bool,
    },
    Command,
    /// A line of the message; whether CRLF came just before it.
    Data(bool),
    /// The LOGIN mechanism's second answer, the user name being known.
    Password(Vec<u8>),
    /// The PLAIN mechanism's answer.
    Plain,
    /// The LOGIN mechanism's first answer.
    User,
}

/// A mail transaction from MAIL on.
#[derive(Default)]
struct Mail {
    from: String,
    utf8: bool,
    recipients: usize,
    too_big: bool,
    message: Vec<u8>,
}

impl Smtp {
    pub(super) fn new(store: Store, peer: Peer, role: Role) -> Self {
        let phase = Phase::Command;
        Self { store, peer, role, logged_in: false, client: None, mail: None, phase }
    }

    fn run(&mut self, line: &str) -> Result<String, &'static str> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        match &*verb {
            "EHLO" | "HELO" => self.hello(argument.trim(), verb == "EHLO"),
            "AUTH" if self.role == Role::Submission => self.authenticate(argument),
            "MAIL" => self.mail(argument),
            "RCPT" => self.recipient(argument),
            "DATA" => {
                bare(argument)?;
                // RFC 3030 §2: DATA and BDAT do not go together.
                if !self.ready()?.message.is_empty() {
                    return Err("503 5.5.1 BDAT goes on with BDAT");
                }
                self.phase = Phase::Data(true);
                Ok("354 Go ahead; a line with a dot alone ends it".to_owned())
            }
            "BDAT" => self.chunk(argument),
            "RSET" => {
                bare(argument)?;
                self.mail = None;
                Ok("250 2.0.0 Forgotten".to_owned())
            }
            "NOOP" => Ok("250 2.0.0 Done".to_owned()),
            "VRFY" if argument.is_empty() => Err("501 5.5.4 VRFY whom?"),
            // RFC 5321 §3.5.3: what a server says that does not tell.
            "VRFY" => Ok("252 2.1.5 Send something and see".to_owned()),
            "HELP" => Ok("214 2.0.0 Mail to demo@localhost ends in the inbox of demo".to_owned()),
            "QUIT" => bare(argument).map(|()| BYE.to_owned()),
            _ => Err("500 5.5.1 Unknown command"),
        }
    }

    /// RFC 5321 §4.1.4: a greeting forgets the transaction.
    fn hello(&mut self, name: &str, extended: bool) -> Result<String, &'static str> {
        // The name goes into a header field, so it must be what a name or address literal can be.
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if name.is_empty() || name.len() > 255 || !name.bytes().all(fine) {
            return Err("501 5.5.4 Greet with your name");
        }
        self.mail = None;
        self.client = Some((name.to_owned(), extended));
        let auth = if self.role == Role::Submission { "250-AUTH PLAIN LOGIN\r\n" } else { "" };
        Ok(match extended {
            true => format!("250-localhost greets {name}\r\n250-{EXTENSIONS}{auth}250 HELP"),
            false => "250 localhost".to_owned(),
        })
    }

    fn authenticate(&mut self, argument: &str) -> Result<String, &'static str> {
        if !matches!(self.client, Some((_, true))) || self.mail.is_some() || self.logged_in {
            return Err("503 5.5.1 Not now");
        }
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        let (phase, challenge) = match &*mechanism.to_ascii_uppercase() {
            "PLAIN" => (Phase::Plain, "334 "),
            "LOGIN" => (Phase::User, "334 VXNlcm5hbWU6"),
            _ => return Err("504 5.5.4 PLAIN and LOGIN are the mechanisms"),
        };
        self.phase = phase;
        if initial.is_empty() { Ok(challenge.to_owned()) } else { self.respond(initial) }
    }

    /// The client's next word in an AUTH exchange (RFC 4954 §4).
    fn respond(&mut self, response: &str) -> Result<String, &'static str> {
        let phase = std::mem::replace(&mut self.phase, Phase::Command);
        if response == "*" {
            return Err("501 5.7.0 Cancelled");
        }
        let decoded = || sasl::decode(response.as_bytes()).ok_or("501 5.5.2 That is not base64");
        self.logged_in = match phase {
            Phase::User => {
                self.phase = Phase::Password(decoded()?);
                return Ok("334 UGFzc3dvcmQ6".to_owned());
            }
            Phase::Password(user) => sasl::welcome(&user, &decoded()?),
            _ => sasl::plain(response.as_bytes()),
        };
        match self.logged_in {
            true => Ok(format!("235 2.7.0 Welcome. Vestibule says that you are {}", self.peer)),
            false => Err("535 5.7.8 User and password are both demo"),
        }
    }

    fn mail(&mut self, argument: &str) -> Result<String, &'static str> {
        match self.role {
            _ if self.client.is_none() => return Err("503 5.5.1 Say EHLO first"),
            _ if self.mail.is_some() => return Err("503 5.5.1 One at a time"),
            Role::Submission if !self.logged_in => return Err("530 5.7.0 Log in first, as demo"),
            _ => {}
        }
        let (from, parameters) = path(argument, "FROM:").ok_or("501 5.1.7 MAIL FROM:<address>")?;
        let mut mail = Mail { from: from.to_owned(), ..Mail::default() };
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (&*name.to_ascii_uppercase(), &*value.to_ascii_uppercase()) {
                ("SIZE", size) => {
                    let size = size.parse::<u64>().map_err(|_| "501 5.5.4 SIZE=octets")?;
                    if usize::try_from(size).unwrap_or(usize::MAX) > MAX_MESSAGE {
                        return Err(TOO_BIG);
                    }
                }
                ("BODY", "7BIT" | "8BITMIME") => {}
                ("SMTPUTF8", "") => mail.utf8 = true,
                // RFC 4954 §5: who may be trusted about it is up to us.
                ("AUTH", _) if self.role == Role::Submission => {}
                _ => return Err("555 5.5.4 Unknown parameter"),
            }
        }
        // RFC 6531 §3.5: the whole envelope is ASCII unless SMTPUTF8 was said.
        if !mail.utf8 && !from.is_ascii() {
            return Err("550 5.6.7 That needs SMTPUTF8");
        }
        if !from.is_empty() && mailbox(from).is_none() {
            return Err("501 5.1.7 MAIL FROM:<address>");
        }
        self.mail = Some(mail);
        Ok("250 2.1.0 And for whom?".to_owned())
    }

    fn recipient(&mut self, argument: &str) -> Result<String, &'static str> {
        let mail = self.mail.as_mut().ok_or(NO_MAIL)?;
        let (to, parameters) = path(argument, "TO:").ok_or("501 5.1.3 RCPT TO:<address>")?;
        if !parameters.trim().is_empty() {
            return Err("555 5.5.4 Unknown parameter");
        }
        if !mail.utf8 && !to.is_ascii() {
            return Err("553 5.6.7 That needs SMTPUTF8");
        }
        // RFC 5321 §4.5.1: postmaster needs no domain.
        let alone = Some((to, "localhost")).filter(|_| to.eq_ignore_ascii_case("postmaster"));
        let (local, domain) = mailbox(to).or(alone).ok_or("501 5.1.3 RCPT TO:<address>")?;
        if !ours(domain) && self.role == Role::Submission {
            return Err("550 5.7.1 Nothing leaves this machine");
        }
        if !ours(domain) || !["demo", "postmaster"].contains(&&*local.to_ascii_lowercase()) {
            return Err("550 5.1.1 Only demo@localhost has a mailbox here");
        }
        if mail.recipients >= MAX_RECIPIENTS {
            return Err("452 4.5.3 Too many recipients");
        }
        mail.recipients += 1;
        Ok("250 2.1.5 Known here".to_owned())
    }

    /// The transaction, if a message may come now.
    fn ready(&self) -> Result<&Mail, &'static str> {
        let mail = self.mail.as_ref().ok_or(NO_MAIL)?;
        if mail.recipients == 0 { Err("554 5.5.1 No valid recipients") } else { Ok(mail) }
    }

    fn chunk(&mut self, argument: &str) -> Result<String, &'static str> {
        let (size, last) = argument.split_once(' ').unwrap_or((argument, ""));
        let fine = size.bytes().all(|b| b.is_ascii_digit())
            && (last.is_empty() || last.eq_ignore_ascii_case("LAST"));
        // If that is wrong, where the next command begins is anybody's guess.
        let left = size.parse().ok().filter(|_| fine).ok_or(LOST)?;
        // RFC 3030 §2: the octets come, whether the command is right or wrong.
        if self.ready().is_err() {
            self.mail = None;
        }
        self.phase = Phase::Chunk { left, last: !last.is_empty() };
        self.take_chunk(&[])
    }

    /// An empty text is no reply yet.
    fn take_chunk(&mut self, piece: &[u8]) -> Result<String, &'static str> {
        let Phase::Chunk { left, last } = &mut self.phase else { return Ok(String::new()) };
        *left = left.saturating_sub(piece.len());
        let (left, last) = (*left, *last);
        self.mail.iter_mut().for_each(|mail| mail.add(piece));
        if left > 0 {
            return Ok(String::new());
        }
        self.phase = Phase::Command;
        match &self.mail {
            None => Err(NO_MAIL),
            Some(_) if last => self.deliver(),
            Some(_) => Ok("250 2.0.0 And the next?".to_owned()),
        }
    }

    /// An empty text is no reply yet.
    fn take_line(&mut self, line: &[u8]) -> Result<String, &'static str> {
        // RFC 5321 §4.1.1.4: only CRLF "." CRLF ends the message; and §2.3.8: a bare LF ends
        // nothing, or what one server takes for text, another takes for the next command.
        let at_start = matches!(self.phase, Phase::Data(true));
        if at_start && line == b".\r\n" {
            self.phase = Phase::Command;
            return self.deliver();
        }
        self.phase = Phase::Data(line.ends_with(b"\r\n"));
        // RFC 5321 §4.5.2.
        let line = line.strip_prefix(b".").filter(|_| at_start).unwrap_or(line);
        self.mail.iter_mut().for_each(|mail| mail.add(line));
        Ok(String::new())
    }

    fn deliver(&mut self) -> Result<String, &'static str> {
        let mail = self.mail.take().ok_or(NO_MAIL)?;
        if mail.too_big {
            return Err(TOO_BIG);
        }
        let crlf = mail.message.split_inclusive(|b| *b == b'\n').all(|line| {
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            memchr::memchr2(b'\r', b'\n', line).is_none()
        });
        if !crlf {
            return Err("550 5.6.0 CR and LF come as a pair");
        }
        let mut message = self.trace(&mail).into_bytes();
        message.extend_from_slice(&mail.message);
        self.store.deliver(message).map_err(|_| "452 4.3.1 The mailbox is full")?;
        Ok(format!("250 2.0.0 Delivered. Vestibule says that you are {}", self.peer))
    }

    /// The header fields of a last hop (RFC 5321 §4.4).
    fn trace(&self, mail: &Mail) -> String {
        let (name, extended) =
            self.client.as_ref().map_or(("unknown", false), |(name, extended)| (name, *extended));
        let address = match self.peer.address.map(|address| address.ip().to_canonical()) {
            Some(IpAddr::V4(ip)) => format!("[{ip}]"),
            Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            None => "the front itself".to_owned(),
        };
        // RFC 3848 and RFC 6531 §4.3.
        let protocol = match (extended, mail.utf8) {
            (true, true) => "UTF8SMTP",
            (true, false) => "ESMTP",
            (false, _) => "SMTP",
        };
        let secure = if extended && self.peer.tls.is_some() { "S" } else { "" };
        let known = if self.logged_in { "A" } else { "" };
        let tls = self.peer.tls.as_deref().unwrap_or("no TLS");
        format!(
            "Return-Path: <{}>\r\nReceived: from {name} ({address})\r\n\tby localhost (Vestibule \
            demo) with {protocol}{secure}{known} ({tls});\r\n\t{}\r\n",
            mail.from,
            time::rfc5322(time::now()),
        )
    }
}

impl Mail {
    fn add(&mut self, piece: &[u8]) {
        self.too_big |= self.message.len() + piece.len() > MAX_MESSAGE;
        match self.too_big {
            true => self.message = Vec::new(),
            false => self.message.extend_from_slice(piece),
        }
    }
}

impl Session for Smtp {
    const LITERALS: Literals = Literals::None;
    /// RFC 5321 §4.5.3.2.7.
    const PATIENCE: Duration = Duration::from_secs(5 * 60);

    fn greet(&mut self, out: &mut Vec<u8>) {
        put(out, "220 localhost ESMTP Vestibule demo server ready");
    }

    fn command(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Flow {
        let reply = match self.phase {
            Phase::Chunk { .. } => self.take_chunk(frame),
            Phase::Data(_) => self.take_line(frame),
            _ => match str::from_utf8(trim_line_end(frame)) {
                Err(_) => Err("500 5.5.2 That is not UTF-8"),
                Ok(line) if matches!(self.phase, Phase::Command) => self.run(line.trim_end()),
                Ok(line) => self.respond(line),
            },
        };
        let reply = reply.unwrap_or_else(str::to_owned);
        if !reply.is_empty() {
            put(out, &reply);
        }
        if [BYE, LOST].contains(&&*reply) { Flow::End } else { Flow::Go }
    }

    fn refuse(&mut self, _frame: &[u8], _closing: bool, out: &mut Vec<u8>) {
        put(out, "500 5.5.2 Line too long");
    }

    fn unframed(&self) -> usize {
        if let Phase::Chunk { left, .. } = self.phase { left } else { 0 }
    }
}

fn bare(argument: &str) -> Result<(), &'static str> {
    if argument.is_empty() { Ok(()) } else { Err("501 5.5.4 Nothing may follow") }
}

/// The path after `FROM:` or `TO:`, without its brackets and source route, and what follows it.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (word, rest) = argument.split_at_checked(keyword.len())?;
    // Some clients put a space there, which the grammar does not know.
    let (path, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    let fine = word.eq_ignore_ascii_case(keyword)
        && path.len() <= MAX_PATH
        && !path.contains(|c: char| c.is_control() || c == '<')
        && (parameters.is_empty() || parameters.starts_with(' '));
    // RFC 5321 §4.1.1.3: source routes are taken, and ignored.
    let path = if path.starts_with('@') { path.split_once(':')?.1 } else { path };
    fine.then_some((path, parameters))
}

/// Local part and domain.
fn mailbox(path: &str) -> Option<(&str, &str)> {
    let (local, domain) = path.rsplit_once('@')?;
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let special = |c: char| c.is_whitespace() || "\"(),;@\\".contains(c);
    let fine = !local.is_empty() && (quoted || !local.contains(special));
    (fine && !domain.is_empty() && !domain.contains(special)).then_some((local, domain))
}

/// Whether mail for this domain ends here.
fn ours(domain: &str) -> bool {
    let system = rustix::system::uname();
    let own =
        ["localhost", "localhost.localdomain", system.nodename().to_str().unwrap_or_default()];
    own.iter().any(|own| domain.eq_ignore_ascii_case(own))
}

fn put(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(role: Role) -> (Smtp, Store) {
        let (address, tls) = ("203.0.113.9:4660".parse().ok(), Some("TLSv1.3".to_owned()));
        let store = Store::new();
        (Smtp::new(store.clone(), Peer { address, tls }, role), store)
    }

    fn talk(smtp: &mut Smtp, transcript: &[(&str, &str)]) {
        for (frame, reply) in transcript {
            let mut out = Vec::new();
            let _ = smtp.command(frame.as_bytes(), &mut out);
            let answer = String::from_utf8(out).unwrap();
            assert!(answer.starts_with(reply), "{frame}: {answer}");
            assert_eq!(answer.is_empty(), reply.is_empty(), "{frame}: {answer}");
        }
    }

    /// The newest message without its last-hop header.
    fn newest(store: &Store) -> (String, String) {
        let bytes = store.with(|s| s.mailboxes["INBOX"].messages.last().unwrap().bytes.clone());
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (trace, message) = text.split_once(" +0000\r\n").unwrap();
        (trace.rsplit_once("\t").unwrap().0.to_owned(), message.to_owned())
    }

    #[test]
    fn an_exchanger_takes_mail_for_its_user_alone() {
        let (mut smtp, store) = session(Role::Exchanger);
        talk(
            &mut smtp,
            &[
                ("MAIL FROM:<a@example.org>\r\n", "503 "),
                ("EHLO a b\r\n", "501 "),
                ("EHLO [192.0.2.1]\r\n", "250-localhost "),
                ("AUTH PLAIN AGRlbW8AZGVtbw==\r\n", "500 5.5.1 "),
                ("RCPT TO:<demo@localhost>\r\n", "503 "),
                ("MAIL FROM:a@example.org\r\n", "501 5.1.7 "),
                ("MAIL FROM:<a@example.org>SIZE=1\r\n", "501 5.1.7 "),
                ("MAIL FROM:<a@example.org> SIZE=8388609\r\n", "552 "),
                ("MAIL FROM:<a@example.org> BODY=BINARYMIME\r\n", "555 "),
                ("MAIL FROM:<ä@example.org>\r\n", "550 5.6.7 "),
                ("mail from: <\"a b\"@example.org> SIZE=8388608 BODY=8BITMIME\r\n", "250 2.1.0 "),
                ("DATA\r\n", "554 5.5.1 "),
                ("RCPT TO:<other@localhost>\r\n", "550 5.1.1 "),
                ("RCPT TO:<demo@example.org>\r\n", "550 5.1.1 "),
                ("RCPT TO:<@a.example:Demo@LOCALHOST>\r\n", "250 2.1.5 "),
                ("RCPT TO:<postmaster>\r\n", "250 2.1.5 "),
                ("DATA\r\n", "354 "),
                ("Subject: x\r\n", ""),
                ("\r\n", ""),
                ("..one\r\n", ""),
                (". \r\n", ""),
                (".\r\n", "250 2.0.0 Delivered. Vestibule says that you are 203.0.113.9:4660 "),
                ("DATA\r\n", "503 "),
                ("VRFY demo\r\n", "252 "),
                ("RSET\r\n", "250 2.0.0 "),
                ("QUIT\r\n", "221 2.0.0 "),
            ],
        );
        let (trace, message) = newest(&store);
        assert_eq!(
            trace,
            "Return-Path: <\"a b\"@example.org>\r\nReceived: from [192.0.2.1] ([203.0.113.9])\r\n\
            \tby localhost (Vestibule demo) with ESMTPS (TLSv1.3);\r\n"
        );
        assert_eq!(message, "Subject: x\r\n\r\n.one\r\n \r\n");
    }

    #[test]
    fn only_a_dot_between_two_line_ends_is_the_end() {
        let (mut smtp, store) = session(Role::Exchanger);
        let begin = [
            ("HELO a\r\n", "250 localhost\r\n"),
            ("MAIL FROM:<>\r\n", "250 "),
            ("RCPT TO:<demo@localhost>\r\n", "250 "),
            ("DATA\r\n", "354 "),
        ];
        for inside in [".\n", "x\n.\r\n", "x\n.\n", "\r.\r\n", "x\r.\r\n", ".\r\r\n"] {
            talk(&mut smtp, &begin);
            let lines: Vec<_> = inside.split_inclusive('\n').map(|line| (line, "")).collect();
            talk(&mut smtp, &lines);
            talk(&mut smtp, &[("\r\n", ""), (".\r\n", "550 5.6.0 ")]);
        }
        talk(&mut smtp, &begin);
        let line = format!("{}\r\n", "x".repeat(9998));
        for _ in 0..=MAX_MESSAGE / 10_000 {
            talk(&mut smtp, &[(&line, "")]);
        }
        talk(&mut smtp, &[(".\r\n", "552 ")]);
        store.with(|state| assert_eq!(state.mailboxes["INBOX"].messages.len(), 1));
    }

    #[test]
    fn submission_wants_a_login_and_takes_chunks() {
        let (mut smtp, store) = session(Role::Submission);
        talk(
            &mut smtp,
            &[
                ("AUTH PLAIN AGRlbW8AZGVtbw==\r\n", "503 "),
                ("EHLO a\r\n", "250-localhost greets a\r\n250-PIPELINING\r\n250-SIZE 8388608\r\n"),
                ("MAIL FROM:<demo@localhost>\r\n", "530 5.7.0 "),
                ("AUTH CRAM-MD5\r\n", "504 "),
                ("AUTH PLAIN\r\n", "334 \r\n"),
                ("*\r\n", "501 "),
                ("AUTH PLAIN AGRlbW8AZGVtbwA=\r\n", "535 5.7.8 "),
                ("AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n"),
                ("ZGVtbw==\r\n", "334 UGFzc3dvcmQ6\r\n"),
                ("ZGVtbw==\r\n", "235 2.7.0 "),
                ("AUTH PLAIN\r\n", "503 "),
                ("BDAT 4\r\n", ""),
                ("QUIT", "503 "),
                ("MAIL FROM:<ä@example.org> SMTPUTF8 AUTH=<>\r\n", "250 "),
                ("RCPT TO:<demo@example.org>\r\n", "550 5.7.1 "),
                ("RCPT TO:<demo@localhost>\r\n", "250 "),
                ("BDAT 6\r\n", ""),
                ("a: b\r\n", "250 2.0.0 "),
                ("DATA\r\n", "503 "),
                ("BDAT 5 LAST\r\n", ""),
                ("\r\n.", ""),
                ("\r\n", "250 2.0.0 Delivered"),
                ("BDAT 0 LAST\r\n", "503 "),
                ("BDAT -1\r\n", "501 "),
            ],
        );
        let (trace, message) = newest(&store);
        assert!(trace.contains("<ä@example.org>") && trace.contains("with UTF8SMTPSA (TLSv1.3)"));
        assert_eq!(message, "a: b\r\n\r\n.\r\n");
    }
}
