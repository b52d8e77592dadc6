//! Asks a backend for TLS, before anything that a session or a probe has to say: the same for all
//! protocols, on top of what each knows of calling on a server.

use super::{
    Called, Caller, Dialogue, Errand, Next, Protocol,
    line::{line, printable, word},
};

/// Reads the greeting, asks what is offered, and then for TLS.
///
/// Whoever goes on inside TLS hears no second greeting there (RFC 3207 §4.2, RFC 9051 §6.2.1,
/// RFC 2595 §4; ManageSieve has one: RFC 5804 §2.2), so the first one is kept for them.
#[derive(Debug)]
pub struct Upgrade {
    protocol: Protocol,
    caller: Caller,
    /// `None`: the greeting is still to come.
    greeting: Option<Vec<u8>>,
}

/// How the request for TLS ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Upgraded {
    /// TLS may begin. These octets stand for the greeting that is not said again inside it.
    Begin(Vec<u8>),
    /// It has STARTTLS among its capabilities and does not grant it; in its words.
    Denied(String),
    /// What answers there does not speak the protocol; in words, for the log.
    Garbage(String),
    /// It does not offer STARTTLS.
    NoTls,
    /// The backend itself refuses, in these octets.
    Refused(Vec<u8>),
}

impl Upgrade {
    /// `host`: our own name. `None`: the protocol knows no STARTTLS.
    #[must_use]
    pub fn new(protocol: Protocol, host: &str) -> Option<Self> {
        let caller = Caller::new(protocol, Errand::Upgrade, host)?;
        Some(Self { protocol, caller, greeting: None })
    }
}

impl Dialogue for Upgrade {
    type End = Upgraded;

    fn start(&mut self, out: &mut Vec<u8>) {
        self.caller.start(out);
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Upgraded>) {
        let (taken, next) = self.caller.step(input, out);
        let frame = &input[..taken];
        if self.greeting.is_none() && taken > 0 {
            self.greeting = Some(greeting(self.protocol, frame));
        }
        let end = match next {
            Next::Read => return (taken, Next::Read),
            Next::End(end) => end,
        };
        let end = match end {
            Called::Begin(_) => Upgraded::Begin(self.greeting.take().unwrap_or_default()),
            Called::Denied(said) => Upgraded::Denied(said),
            Called::NoTls(_) => Upgraded::NoTls,
            // RFC 9051 §7.1.4: it would be a session that nobody has logged in to.
            Called::Refused(said) if said.to_ascii_uppercase().starts_with("* PREAUTH") => {
                Upgraded::Garbage("it greets with PREAUTH, before any login".into())
            }
            Called::Refused(_) => Upgraded::Refused(frame.to_vec()),
            Called::Garbage(said) => Upgraded::Garbage(format!(
                "it says {said:?}, which is not {}",
                self.protocol.name()
            )),
            // These belong to other errands.
            Called::Answered(said) => Upgraded::Garbage(format!("it says {said:?}")),
            Called::Seen(_) | Called::Silent => Upgraded::NoTls,
        };
        (taken, Next::End(end))
    }
}

/// What of a greeting may be believed that came in clear. RFC 3207 §4.2, RFC 9051 §6.2.1: what it says
/// of capabilities must be forgotten, and is another list inside TLS anyway.
fn greeting(protocol: Protocol, frame: &[u8]) -> Vec<u8> {
    match protocol {
        Protocol::Sieve => Vec::new(),
        Protocol::Imap => {
            let Some(line) = line(frame) else { return Vec::new() };
            let text = printable(word(word(line.text).1).1);
            let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((_, text)) => text.trim_start(),
                None => text.as_str(),
            };
            format!("* OK {text}\r\n").into_bytes()
        }
        _ => frame.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[track_caller]
    fn upgrade(protocol: Protocol, talk: &[Talk], end: &Upgraded, left: &[u8]) {
        dialogue(|| Upgrade::new(protocol, "front.example").unwrap(), talk, end, left);
    }

    #[test]
    fn the_greeting_is_kept_without_what_it_says_of_capabilities() {
        upgrade(
            Protocol::Imap,
            &[
                Talk::Peer("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] Hi there.\r\n"),
                Talk::Front("c CAPABILITY\r\n"),
                Talk::Peer("* CAPABILITY IMAP4rev1 STARTTLS\r\nc OK\r\n"),
                Talk::Front("s STARTTLS\r\n"),
                Talk::Peer("s OK go\r\n"),
            ],
            &Upgraded::Begin("* OK Hi there.\r\n".into()),
            b"",
        );
        upgrade(
            Protocol::Smtp,
            &[
                Talk::Peer("220-mx\r\n220 ESMTP\r\n"),
                Talk::Front("EHLO front.example\r\n"),
                Talk::Peer("250-mx\r\n250 STARTTLS\r\n"),
                Talk::Front("STARTTLS\r\n"),
                Talk::Peer("220 go\r\n"),
            ],
            &Upgraded::Begin("220-mx\r\n220 ESMTP\r\n".into()),
            b"",
        );
        upgrade(
            Protocol::Pop3,
            &[
                Talk::Peer("+OK Hi <1@h>\r\n"),
                Talk::Front("CAPA\r\n"),
                Talk::Peer("+OK\r\nSTLS\r\n.\r\n"),
                Talk::Front("STLS\r\n"),
                Talk::Peer("+OK\r\n"),
            ],
            &Upgraded::Begin("+OK Hi <1@h>\r\n".into()),
            b"",
        );
        upgrade(
            Protocol::Sieve,
            &[
                Talk::Peer("\"SIEVE\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n"),
                Talk::Front("STARTTLS\r\n"),
                Talk::Peer("OK\r\n"),
            ],
            &Upgraded::Begin(Vec::new()),
            b"",
        );
    }

    #[test]
    fn what_comes_behind_the_answer_is_left_for_all_to_see() {
        upgrade(
            Protocol::Pop3,
            &[
                Talk::Peer("+OK Hi\r\n"),
                Talk::Front("CAPA\r\n"),
                Talk::Peer("+OK\r\nSTLS\r\n.\r\n"),
                Talk::Front("STLS\r\n"),
                Talk::Peer("+OK\r\n+OK injected\r\n"),
            ],
            &Upgraded::Begin("+OK Hi\r\n".into()),
            b"+OK injected\r\n",
        );
    }

    #[test]
    fn a_refusal_is_the_backends_own() {
        let words = "554-go\r\n554 away\r\n";
        upgrade(Protocol::Smtp, &[Talk::Peer(words)], &Upgraded::Refused(words.into()), b"");
        let words = "* BYE [ALERT] closed\r\n";
        upgrade(Protocol::Imap, &[Talk::Peer(words)], &Upgraded::Refused(words.into()), b"");
        let garbage = Upgraded::Garbage("it greets with PREAUTH, before any login".into());
        upgrade(Protocol::Imap, &[Talk::Peer("* PREAUTH hi\r\n")], &garbage, b"");
    }

    #[test]
    fn without_starttls_it_goes() {
        upgrade(
            Protocol::Smtp,
            &[
                Talk::Peer("220 mx\r\n"),
                Talk::Front("EHLO front.example\r\n"),
                Talk::Peer("250 mx\r\n"),
                Talk::Front("QUIT\r\n"),
            ],
            &Upgraded::NoTls,
            b"",
        );
    }
}
