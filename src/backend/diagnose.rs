//! What is wrong with a backend, from what a look at it has seen, and what to do about it. Reads no
//! socket and no clock.

use std::{io, time::Duration};

use serde::Serialize;

use super::turned_away;
use crate::{
    certs::Severity,
    identity::Identity,
    protocol::{Learned, Protocol},
    values::BackendTlsMode,
};

/// What a look at a backend has seen.
#[derive(Debug)]
pub struct Seen {
    /// What it should speak.
    pub protocol: Protocol,
    /// How it was told who calls.
    pub identity: Identity,
    /// How it was reached inside TLS, if it was.
    pub tls: Option<BackendTlsMode>,
    /// The first octets that it said in clear.
    pub in_clear: Vec<u8>,
    /// The first octets that it said inside TLS.
    pub inside: Vec<u8>,
    /// Whether it has answered a ClientHello, where it had not said a word before; `None`: not tried.
    pub answers_tls: Option<bool>,
    /// It refused the stranger in these words, and the front was looked at in its own name instead.
    pub turned_away: Option<String>,
    /// How it ended.
    pub end: Result<Learned, Trouble>,
}

/// How a look at a backend ended that did not go well.
#[derive(Debug)]
pub enum Trouble {
    /// The connection ended before the conversation did.
    Closed(String),
    /// Something is wrong with it, in words.
    Ill(String),
    /// TLS did not come about, in words.
    Insecure(String),
    /// No answer within this time.
    Silent(Duration),
    /// It refuses the client that it was told of, in these words, and the front itself as well.
    TurnedAway(String),
    /// There is no connection.
    Unreachable(io::Error),
}

/// One thing that is wrong with a backend, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, for scripts.
    pub kind: Kind,
    /// What is wrong, and what to do about it.
    pub text: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It offers channel binding, which cannot be had through a front.
    ChannelBinding,
    /// It has trouble of its own, or gives answers that make no sense.
    Ill,
    /// TLS to it does not come about.
    Insecure,
    /// It does not speak the PROXY protocol, which is spoken to it.
    NoProxy,
    /// Mail for others is taken from strangers.
    OpenRelay,
    /// Whether it is an open relay could not be found out.
    RelayUnknown,
    /// It is there, and says nothing.
    Silent,
    /// TLS comes first there, and is not spoken to it.
    SpeaksTls,
    /// It refuses the client in whose name it is probed, and perhaps no other.
    TurnsAway,
    /// There is no connection.
    Unreachable,
    /// It expects the PROXY protocol, which is not spoken to it.
    WantsProxy,
    /// Without a STARTTLS of its own it lets nobody log in.
    WantsStarttls,
    /// Another protocol is spoken there.
    WrongProtocol,
}

impl Diagnosis {
    /// Nobody is served there.
    pub(super) fn error(kind: Kind, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, kind, text: text.into() }
    }
}

/// What is to be said about it, the worst first. Nothing: it is as the configuration says.
#[must_use]
pub fn diagnose(seen: &Seen) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    found.extend(turned_away::diagnose(seen));
    found.extend(stranger(seen).or_else(|| no_proxy(seen)).or_else(|| failed(seen)));
    if seen.end.is_ok() {
        found.extend(wants_starttls(seen));
    }
    found.extend(channel_binding(seen));
    found
}

impl Seen {
    /// Nothing yet.
    pub(super) fn none(protocol: Protocol, identity: Identity) -> Self {
        Self {
            protocol,
            identity,
            tls: None,
            in_clear: Vec::new(),
            inside: Vec::new(),
            answers_tls: None,
            turned_away: None,
            end: Ok(Learned::default()),
        }
    }

    /// What it said last, where it would say most.
    pub(super) fn said(&self) -> &[u8] {
        if self.inside.is_empty() { &self.in_clear } else { &self.inside }
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let text = String::from_utf8_lossy(self.said()).to_ascii_uppercase();
        text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().into_iter()
    }
}

/// Whether a header comes before everything else.
pub(super) fn is_proxied(identity: Identity) -> bool {
    match identity {
        Identity::ProxyV1 | Identity::ProxyV2 => true,
        Identity::Forwarded | Identity::ImapId | Identity::None | Identity::Xclient => false,
    }
}

/// What tells that a header of this dialect was taken for commands.
pub(super) fn protest(identity: Identity) -> fn(&[u8]) -> bool {
    match identity {
        Identity::ProxyV1 => is_protest_v1,
        Identity::ProxyV2 => is_protest,
        Identity::Forwarded | Identity::ImapId | Identity::None | Identity::Xclient => |_| false,
    }
}

/// Whether servers have complained of more than we have said to them: of a PROXY header's lines, that
/// is. One complaint may be meant for a command of ours that an old server does not know.
fn is_protest(said: &[u8]) -> bool {
    /// A header has two empty lines, one with a NUL, and QUIT.
    const PROTESTS: usize = 2;
    let text = String::from_utf8_lossy(said).to_ascii_uppercase();
    // The first line is the greeting.
    let protests = text.lines().skip(1).filter(|line| is_complaint(line)).count();
    let is_early = text.lines().next().is_some_and(|line| {
        line.starts_with('5')
            && ["SYNCHRONI", "PRE-GREETING", "PROTOCOL ERROR"].iter().any(|w| line.contains(w))
    });
    protests >= PROTESTS || is_early
}

/// The same of version 1, which is one line: it is complained of before our command is answered.
fn is_protest_v1(said: &[u8]) -> bool {
    let text = String::from_utf8_lossy(said).to_ascii_uppercase();
    let mut lines = text.lines().skip(1).skip_while(|line| !is_complaint(line));
    let Some(complaint) = lines.next() else { return false };
    // IMAP takes the line's first word for its tag. Of the others, who does not know our command does
    // not grant it as well.
    let granted = match complaint.split_at_checked(2) {
        Some(("50", _)) => "250",
        Some(("-E", _)) => ".",
        Some(("NO", _)) => "OK",
        _ => return complaint.starts_with("PROXY ") || is_protest(said),
    };
    let is_granted = |line: &str| match granted {
        "." => line == ".",
        word => line.starts_with(word),
    };
    lines.any(is_granted) || is_protest(said)
}

fn is_complaint(line: &str) -> bool {
    let mut words = line.split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_smtp = first.len() >= 3
        && first.starts_with("50")
        && first.bytes().take(3).all(|b| b.is_ascii_digit());
    is_smtp || matches!(first, "-ERR" | "NO") || second == "BAD"
}

/// Somebody else answers than who is expected.
fn stranger(seen: &Seen) -> Option<Diagnosis> {
    let said = seen.said();
    let name = seen.protocol.name();
    let elsewhere = "is this the right port (`ports`, or the port in `address`)?";
    if matches!(said, [0x15 | 0x16, 0x03, ..]) || seen.answers_tls == Some(true) {
        let text = format!(
            "TLS comes first there, and {name} is spoken to it in clear: write tls: implicit for this backend, or give the port that begins in clear"
        );
        return Some(Diagnosis::error(Kind::SpeaksTls, text));
    }
    if seen.end.is_ok() {
        return None;
    }
    if said.starts_with(b"HTTP/") && seen.protocol != Protocol::Http {
        let text = format!("a web server answers there, where {name} is expected: {elsewhere}");
        return Some(Diagnosis::error(Kind::WrongProtocol, text));
    }
    let other = Protocol::that_greets(said)?;
    let family = |protocol| match protocol {
        Protocol::Submission => Protocol::Smtp,
        other => other,
    };
    if family(seen.protocol) == other || matches!(seen.protocol, Protocol::Http | Protocol::Raw) {
        return None;
    }
    let text = format!("{} is spoken there, where {name} is expected: {elsewhere}", other.name());
    Some(Diagnosis::error(Kind::WrongProtocol, text))
}

fn no_proxy(seen: &Seen) -> Option<Diagnosis> {
    let is_protest = protest(seen.identity);
    // In clear, or behind a TLS that came after the header: those are answered in clear, too.
    if !(is_protest(&seen.in_clear) || is_protest(&seen.inside)) {
        return None;
    }
    let there = match seen.protocol {
        Protocol::Smtp | Protocol::Submission => {
            "Postfix: smtpd_upstream_proxy_protocol = haproxy; Exim: hosts_proxy"
        }
        _ => "Dovecot: haproxy = yes in the inet_listener, and haproxy_trusted_networks",
    };
    let text = format!(
        "it takes the PROXY header for commands: switch the PROXY protocol on for this port ({there}), or write another identity"
    );
    Some(Diagnosis::error(Kind::NoProxy, text))
}

fn failed(seen: &Seen) -> Option<Diagnosis> {
    let trouble = seen.end.as_ref().err()?;
    let has_spoken = !seen.said().is_empty();
    let how = match trouble {
        Trouble::Unreachable(error) => {
            return Some(Diagnosis::error(
                Kind::Unreachable,
                format!("it cannot be reached: {error}"),
            ));
        }
        Trouble::Ill(why) if !is_proxied(seen.identity) && is_tired_of_waiting(seen.said()) => {
            let text = format!(
                "{why}: that is what Postfix says where it expects the PROXY protocol (smtpd_upstream_proxy_protocol) and has waited in vain; write identity: proxy-v2"
            );
            return Some(Diagnosis::error(Kind::WantsProxy, text));
        }
        // Postfix asks for one in the handshake, and refuses whoever has none only after it.
        Trouble::Ill(why) if seen.tls.is_some() && why.contains("lient certificate") => {
            let text =
                format!("{why}: write tls_certificate and tls_key, of an authority that it trusts");
            return Some(Diagnosis::error(Kind::Insecure, text));
        }
        Trouble::Ill(why) => return Some(Diagnosis::error(Kind::Ill, why.as_str())),
        Trouble::TurnedAway(_) => return None,
        Trouble::Insecure(why) => {
            let hint = if is_proxied(seen.identity) && seen.tls == Some(BackendTlsMode::Implicit) {
                " (the PROXY header comes before TLS: is it expected on this port?)"
            } else {
                ""
            };
            return Some(Diagnosis::error(Kind::Insecure, format!("{why}{hint}")));
        }
        Trouble::Closed(why) => why.clone(),
        Trouble::Silent(time) => format!("it does not answer within {time:?}"),
    };
    if has_spoken {
        let last = seen.lines().last().unwrap_or_default();
        return Some(Diagnosis::error(Kind::Ill, format!("{how}, after it has said {last:?}")));
    }
    let (kind, hint) = if is_proxied(seen.identity) {
        let hint = "it was sent a PROXY header, and has not said a word: does it expect one there, and from this front's address (Dovecot: haproxy = yes and haproxy_trusted_networks; Postfix: smtpd_upstream_proxy_protocol = haproxy)?";
        (Kind::Silent, hint)
    } else {
        let hint = "it has not said a word: does it expect the PROXY protocol there (then write identity: proxy-v2)?";
        (Kind::WantsProxy, hint)
    };
    let tls = match seen.answers_tls {
        // Behind a header that was not sent, it may still.
        Some(_) => "",
        None => " Or does TLS come first there (tls: implicit)?",
    };
    let limit = match trouble {
        Trouble::Closed(_) => LIMITS,
        _ => "",
    };
    Some(Diagnosis::error(kind, format!("{how}; {hint}{tls}{limit}")))
}

/// Until a backend has been told who comes, all connections are from one address.
const LIMITS: &str = " Or are there as many connections from this front as it takes from one address, or at all (Courier: MAXPERIP, MAXDAEMONS; Cyrus: maxchild; Dovecot: client_limit and process_limit of its login services; a firewall)?";

/// What Postfix greets with that has had no header in time.
fn is_tired_of_waiting(said: &[u8]) -> bool {
    said.starts_with(b"421 4.3.0 ") && String::from_utf8_lossy(said).contains("Server local error")
}

/// It has a STARTTLS of its own, and nobody can log in without.
fn wants_starttls(seen: &Seen) -> Option<Diagnosis> {
    if seen.tls.is_some() {
        return None;
    }
    // The first line is the greeting, where words may mean anything.
    let words: Vec<String> = seen
        .lines()
        .skip(1)
        .flat_map(|line| {
            let words = line.split([' ', '-', '=', '"', '[', ']']).map(str::to_owned);
            words.collect::<Vec<_>>()
        })
        .collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    if !(has("STARTTLS") || has("STLS")) {
        return None;
    }
    let sasl = seen.lines().find(|line| line.starts_with("\"SASL\"")).unwrap_or_default();
    // Whether any way of logging in is offered, and whether a plain password is taken.
    let (any, plain) = match seen.protocol {
        // Between servers, nobody logs in.
        Protocol::Smtp | Protocol::Http | Protocol::Raw => return None,
        Protocol::Submission => (has("AUTH"), has("PLAIN") || has("LOGIN")),
        Protocol::Imap => (has("AUTH"), !has("LOGINDISABLED")),
        Protocol::Pop3 => (has("SASL"), has("USER") || has("PLAIN")),
        Protocol::Sieve => {
            (sasl.len() > "\"SASL\" \"\"".len(), sasl.contains("PLAIN") || sasl.contains("LOGIN"))
        }
    };
    if plain {
        return None;
    }
    let there = match seen.protocol {
        Protocol::Submission => "Postfix: smtpd_tls_auth_only = no",
        _ => {
            "Dovecot: identity: proxy-v2 tells it that clients use TLS, login_trusted_networks that this front is to be trusted"
        }
    };
    let who = if any { "nobody can log in with a plain password" } else { "nobody can log in" };
    let text = format!(
        "{who}: it wants its own STARTTLS first, and is reached in clear. Write tls: starttls for this backend, or let it take passwords from this front ({there})"
    );
    let severity = if any { Severity::Warning } else { Severity::Error };
    Some(Diagnosis { severity, kind: Kind::WantsStarttls, text })
}

fn channel_binding(seen: &Seen) -> Option<Diagnosis> {
    let lines: Vec<String> = seen.lines().collect();
    let words = lines.iter().flat_map(|line| line.split([' ', '=', '"', '[', ']']));
    let mut plus: Vec<&str> = words.filter(|w| w.ends_with("-PLUS") && w.len() < 40).collect();
    plus.sort_unstable();
    plus.dedup();
    if plus.is_empty() {
        return None;
    }
    let text = format!(
        "it offers {}, which binds a login to the TLS that ends here, and cannot succeed: clients are not offered it; nothing is to be done, and taking it from the server's list makes no difference",
        plus.join(", ")
    );
    Some(Diagnosis { severity: Severity::Note, kind: Kind::ChannelBinding, text })
}

#[cfg(test)]
mod tests;
