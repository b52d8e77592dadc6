//! Mail servers as polite as can be: they answer the front's probes, and write down what they hear.

use std::{
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    peer::{Backend, Bytes, Peer},
    proxy::Header,
};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    Imap,
    Pop3,
    Sieve,
}

pub const TALKS: [Talk; 3] = [Talk::Imap, Talk::Pop3, Talk::Sieve];

impl Talk {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Sieve => "sieve",
        }
    }

    /// What the server greets with.
    pub fn greeting(self) -> &'static str {
        match self {
            Self::Imap => {
                "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ STARTTLS ID AUTH=PLAIN] Host ready.\r\n"
            }
            Self::Pop3 => "+OK Host ready. <17.4@host>\r\n",
            Self::Sieve => {
                "\"IMPLEMENTATION\" \"Host\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\n\"VERSION\" \"1.0\"\r\n\"STARTTLS\"\r\nOK \"Host ready.\"\r\n"
            }
        }
    }

    /// How the last line of a greeting begins.
    pub fn greeted(self) -> &'static str {
        match self {
            Self::Imap => "* OK",
            Self::Pop3 => "+OK",
            Self::Sieve => "OK",
        }
    }

    /// The command that asks for TLS, and how consent begins.
    pub fn upgrade(self) -> (&'static str, &'static str) {
        match self {
            Self::Imap => ("tls STARTTLS\r\n", "tls OK"),
            Self::Pop3 => ("STLS\r\n", "+OK"),
            Self::Sieve => ("STARTTLS\r\n", "OK"),
        }
    }

    /// A command that every state knows, and how consent begins.
    pub fn noop(self) -> (&'static str, &'static str) {
        match self {
            Self::Imap => ("n NOOP\r\n", "n OK"),
            Self::Pop3 => ("NOOP\r\n", "+OK"),
            Self::Sieve => ("NOOP\r\n", "OK"),
        }
    }

    /// A login that succeeds, line by line, with what the answers begin with.
    pub fn login(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Imap => &[("l LOGIN alice secret\r\n", "l OK")],
            Self::Pop3 => &[("USER alice\r\n", "+OK"), ("PASS secret\r\n", "+OK")],
            Self::Sieve => &[("AUTHENTICATE \"PLAIN\" \"AGFsaWNlAHNlY3JldA==\"\r\n", "OK")],
        }
    }

    /// The good-bye, and the last line of the answer.
    pub fn logout(self) -> (&'static str, &'static str) {
        match self {
            Self::Imap => ("o LOGOUT\r\n", "o OK"),
            Self::Pop3 => ("QUIT\r\n", "+OK"),
            Self::Sieve => ("LOGOUT\r\n", "OK"),
        }
    }

    /// How the front ends a session that may be tried again.
    pub fn come_back_later(self) -> &'static str {
        match self {
            Self::Imap => "* BYE [UNAVAILABLE] ",
            Self::Pop3 => "-ERR [SYS/TEMP] ",
            Self::Sieve => "BYE (TRYLATER) ",
        }
    }

    /// How the front ends a session that makes no sense.
    pub fn bye(self) -> &'static str {
        match self {
            Self::Imap => "* BYE ",
            Self::Pop3 => "-ERR ",
            Self::Sieve => "BYE ",
        }
    }

    /// What the server says to this line.
    pub fn answer(self, line: &str) -> String {
        let words: Vec<String> = line.split_whitespace().map(str::to_ascii_uppercase).collect();
        let verb = words.get(usize::from(self == Self::Imap)).map_or("", String::as_str);
        let tag = line.split(' ').next().unwrap_or_default();
        match (self, verb) {
            (Self::Imap, "CAPABILITY") => {
                format!(
                    "* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ STARTTLS ID AUTH=PLAIN\r\n{tag} OK\r\n"
                )
            }
            (Self::Imap, "ID") => format!("* ID NIL\r\n{tag} OK\r\n"),
            (Self::Imap, "LOGIN") if words.last().unwrap() != "SECRET" => {
                format!("{tag} NO [AUTHENTICATIONFAILED] no\r\n")
            }
            (Self::Imap, "LOGOUT") => format!("* BYE\r\n{tag} OK bye\r\n"),
            (Self::Imap, "LOGIN" | "NOOP") => format!("{tag} OK done\r\n"),
            (Self::Imap, _) => format!("{tag} BAD what?\r\n"),
            (Self::Pop3, "CAPA") => "+OK\r\nUSER\r\nSTLS\r\nUIDL\r\nSASL PLAIN\r\n.\r\n".to_owned(),
            (Self::Pop3, "PASS") if words.last().unwrap() != "SECRET" => "-ERR no\r\n".to_owned(),
            (Self::Pop3, "NOOP" | "PASS" | "QUIT" | "USER") => "+OK\r\n".to_owned(),
            (Self::Pop3, _) => "-ERR what?\r\n".to_owned(),
            (Self::Sieve, "CAPABILITY") => self.greeting().to_owned(),
            (Self::Sieve, "AUTHENTICATE") if !line.contains("AGFsaWNlAHNlY3JldA==") => {
                "NO \"no\"\r\n".to_owned()
            }
            (Self::Sieve, "AUTHENTICATE" | "LOGOUT" | "NOOP") => "OK\r\n".to_owned(),
            (Self::Sieve, _) => "NO \"what?\"\r\n".to_owned(),
        }
    }

    fn is_logout(self, line: &str) -> bool {
        let line = line.to_ascii_uppercase();
        line.ends_with("LOGOUT\r\n") || line == "QUIT\r\n"
    }

    /// Greets and answers until the client is gone; each line goes to `heard`.
    pub fn attend(self, peer: &mut Peer<TcpStream>, heard: impl Fn(&str)) {
        peer.send(self.greeting());
        self.answer_all(peer, heard);
    }

    /// The same, without a greeting.
    pub fn answer_all<S: Bytes>(self, peer: &mut Peer<S>, heard: impl Fn(&str)) {
        while let Some(line) = peer.try_line() {
            heard(&line);
            peer.send(self.answer(&line));
            if self.is_logout(&line) {
                return;
            }
        }
    }

    /// Client: logs in.
    pub fn log_in<S: Bytes>(self, peer: &mut Peer<S>) {
        for (command, answer) in self.login() {
            peer.send(command);
            peer.until(answer);
        }
    }

    /// Client: says good-bye, and is answered.
    pub fn log_out<S: Bytes>(self, peer: &mut Peer<S>) {
        let (command, answer) = self.logout();
        peer.send(command);
        peer.until(answer);
    }
}

/// A mail server that knows who calls.
pub struct Host {
    pub backend: Backend,
    heard: Arc<Mutex<Vec<String>>>,
    callers: Arc<Mutex<Vec<Header>>>,
}

impl Host {
    /// One that only ever does what is right.
    pub fn polite(talk: Talk) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = heard.clone();
        let mut host = Self::scripted(talk, move |mut peer| {
            talk.attend(&mut peer, |line| lock(&ear).push(line.to_owned()));
        });
        host.heard = heard;
        host
    }

    /// One that is polite to probes, and follows this script with everybody else.
    pub fn scripted(
        talk: Talk,
        script: impl Fn(Peer<TcpStream>) + Send + Sync + Clone + 'static,
    ) -> Self {
        let callers = Arc::new(Mutex::new(Vec::new()));
        let book = callers.clone();
        let backend = Backend::script(move |mut peer| {
            let header = Header::first_segment(&mut peer.0);
            if header.is_probe() {
                return talk.attend(&mut peer, |_| {});
            }
            lock(&book).push(header);
            script(peer);
        });
        Self { backend, heard: Arc::default(), callers }
    }

    /// All lines of all clients so far, in the order in which they came.
    pub fn heard(&self) -> Vec<String> {
        lock(&self.heard).clone()
    }

    /// The headers of all clients so far.
    pub fn callers(&self) -> Vec<Header> {
        lock(&self.callers).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
