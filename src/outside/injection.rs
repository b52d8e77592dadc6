//! Whether a server takes for a command inside TLS what came in clear behind STARTTLS.
//!
//! Who is on the line can glue octets to a client's STARTTLS. A server that keeps them over the
//! handshake takes them for the client's own: RFC 3207 §6, CVE-2011-0411, CVE-2021-33515.

use std::{
    io::{self, Read},
    net::SocketAddr,
    time::Duration,
};

use rustls::Stream;
use serde::Serialize;

use super::{
    Finding, Phase,
    socket::Socket,
    talk::{Broken, MOST_OCTETS, Talk},
    visit::{Failed, shake},
};
use crate::{
    certs::Reference,
    protocol::{Called, Caller, Errand, Protocol},
};

/// How long a server that ends a session in clear may take over it.
const TAKES_LEAVE: Duration = Duration::from_secs(2);

/// What has become of the smuggled command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "text")]
pub enum Verdict {
    /// Nothing: the server has thrown it away, or has ended the session.
    Safe(String),
    /// It could not be tried.
    Untold(String),
    /// It was answered inside TLS.
    Vulnerable(String),
}

impl Verdict {
    pub(super) fn finding(&self) -> Option<Finding> {
        match self {
            Self::Safe(_) => None,
            Self::Untold(text) => Some(Finding::warning(Phase::Injection, text.as_str())),
            Self::Vulnerable(text) => Some(Finding::error(Phase::Injection, text.as_str())),
        }
    }
}

/// Visits the server a second time, and smuggles.
pub(super) fn inject(
    protocol: Protocol,
    address: SocketAddr,
    asked: &Reference,
    time: Duration,
) -> Verdict {
    attempt(protocol, address, asked, time).unwrap_or_else(|verdict| verdict)
}

fn attempt(
    protocol: Protocol,
    address: SocketAddr,
    asked: &Reference,
    time: Duration,
) -> Result<Verdict, Verdict> {
    let untold = |why: &dyn std::fmt::Display| {
        Verdict::Untold(format!(
            "whether something can be smuggled in behind STARTTLS could not be seen: {why}"
        ))
    };
    let mut socket = Socket::connect(address, time).map_err(|e| untold(&e))?;
    let our_name = socket.our_name();
    let caller = |errand| Caller::new(protocol, errand, &our_name).ok_or(untold(&"no STARTTLS"));
    let mut lines = Vec::new();

    let mut talk = Talk { tls: false, lines: &mut lines, inbox: Vec::new() };
    match talk.converse(&mut socket, &mut caller(Errand::Smuggle)?) {
        Ok(Called::Begin(_)) => {}
        Ok(Called::Denied(said)) => {
            return Ok(Verdict::Safe(format!(
                "the server refuses STARTTLS with a command behind it: {said:?}"
            )));
        }
        Ok(Called::Refused(said)) => return Err(untold(&format!("the server says {said:?}"))),
        Err(Broken::Closed) if talk.lines.iter().any(|line| line.text.contains("NOOP")) => {
            return Ok(safe("the server ends the session"));
        }
        Ok(called) => return Err(untold(&format!("{called:?}"))),
        Err(broken) => return Err(untold(&broken)),
    }
    // What it says in clear, it does not say inside TLS; we could not shake hands behind it, either.
    if !talk.inbox.is_empty() {
        return Ok(in_clear(&mut socket, time));
    }

    let (outcome, _) = shake(&mut socket, asked, &[], time).map_err(|e| untold(&e))?;
    let mut connection = match outcome {
        Ok(connection) => connection,
        Err(Failed::Io(e)) if e.kind() == io::ErrorKind::TimedOut => return Err(untold(&e)),
        Err(Failed::Plaintext(_)) => return Ok(in_clear(&mut socket, time)),
        Err(Failed::Io(_) | Failed::Tls(_)) => return Ok(safe("the server ends the session")),
    };

    socket.phase(time);
    let mut talk = Talk { tls: true, lines: &mut lines, inbox: Vec::new() };
    let mut stream = Stream::new(&mut connection, &mut socket);
    match talk.converse(&mut stream, &mut caller(Errand::Leave)?) {
        Ok(Called::Answered(said)) => Ok(Verdict::Vulnerable(format!(
            "the server answers inside TLS ({said:?}) to a command that was sent in clear behind STARTTLS: whoever is on the line can put commands into its clients' sessions (RFC 3207 §6, CVE-2011-0411). Update it, or put a front before it that drops them"
        ))),
        Ok(Called::Silent) | Err(_) => Ok(safe("the server ignores what comes behind STARTTLS")),
        Ok(called) => Err(untold(&format!("{called:?}"))),
    }
}

fn safe(text: &str) -> Verdict {
    Verdict::Safe(text.to_owned())
}

/// The server goes on in clear: does it end the session?
fn in_clear(socket: &mut Socket, time: Duration) -> Verdict {
    let mut buffer = [0; 4096];
    let mut octets = 0;
    socket.phase(time.min(TAKES_LEAVE));
    while octets < MOST_OCTETS {
        match socket.read(&mut buffer) {
            Ok(more @ 1..) => octets += more,
            Err(e) if e.kind() == io::ErrorKind::TimedOut => break,
            // A reset counts as an end, too.
            Ok(0) | Err(_) => return safe("the server ends the session"),
        }
    }
    safe("the server answers in clear, and does not take the command into TLS")
}
