//! One visit, from the address to the good-bye.

use std::{cmp::Reverse, io, net::SocketAddr, time::Duration};

use rustls::{AlertDescription, ClientConnection, Stream};

use super::{
    Finding, Phase, Report, Starttls, Target, Tls,
    injection::inject,
    socket::{Socket, resolve},
    talk::{Broken, Talk},
};
use crate::{
    certs::{self, Anchors, Reference, judge},
    protocol::{Called, Caller, Errand, Protocol},
    tls::{Seen, Witness, explain_failure, witness},
};

/// How long a server of which nothing is known may take to greet.
const SPEAKS_FIRST: Duration = Duration::from_secs(2);

/// Whom the visitor trusts.
#[derive(Debug)]
pub struct Trust {
    /// The authorities.
    pub anchors: Anchors,
    /// Whether the private ones that are meant are among them.
    pub knows_private: bool,
}

/// Visits a server. Each phase has this much time.
#[must_use]
pub fn probe(target: &Target, trust: &Trust, time: Duration) -> Report {
    let mut visit = Visit { target, trust, time, report: Report::new(target) };
    if let Err(finding) = visit.all() {
        visit.report.findings.push(finding);
    }
    visit.report.findings.sort_by_key(|finding| Reverse(finding.severity));
    visit.report
}

struct Visit<'a> {
    target: &'a Target,
    trust: &'a Trust,
    time: Duration,
    report: Report,
}

/// Why no TLS came about.
#[derive(Debug)]
pub(super) enum Failed {
    Io(io::Error),
    /// The server goes on in clear, with this.
    Plaintext(String),
    Tls(rustls::Error),
}

impl Visit<'_> {
    fn all(&mut self) -> Result<(), Finding> {
        let mut socket = self.connect()?;
        let alpn = self.target.protocol.map_or(&[][..], |protocol| protocol.row().alpn);
        let connection = match self.enter(&mut socket, alpn) {
            Err(Failure::Alpn) => {
                let text = format!(
                    "the server ends the handshake when ALPN offers {} (RFC 7301 §3.2); few clients do. What follows is without ALPN",
                    alpn.join(", ")
                );
                self.report.findings.push(Finding::warning(Phase::Handshake, text));
                self.report.dialogue.clear();
                socket = self.connect()?;
                self.enter(&mut socket, &[])
            }
            other => other,
        };
        let connection = connection.map_err(|failure| match failure {
            Failure::Alpn => {
                Finding::error(Phase::Handshake, "the server refuses ALPN that was not offered")
            }
            Failure::Found(finding) => finding,
        })?;
        self.look_round(&mut socket, connection);
        drop(socket);
        if let (Starttls::In(protocol), Some(address)) = (self.target.starttls, self.report.address)
        {
            let verdict = inject(protocol, address, &self.target.asked, self.time);
            self.report.findings.extend(verdict.finding());
            self.report.injection = Some(verdict);
        }
        Ok(())
    }

    /// Connects to the first address that answers.
    fn connect(&mut self) -> Result<Socket, Finding> {
        let (host, port) = (&self.target.host, self.target.port);
        if let Some(address) = self.report.address {
            return Socket::connect(address, self.time)
                .map_err(|e| Finding::error(Phase::Connect, unreachable(address, &e)));
        }
        let addresses = resolve(host, port, self.time).map_err(|e| {
            Finding::error(Phase::Resolve, format!("{host} has no address here: {e}"))
        })?;
        let mut failed = Vec::new();
        for address in addresses {
            match Socket::connect(address, self.time) {
                Ok(socket) => {
                    self.report.address = Some(address);
                    let notes = failed.into_iter().map(|why| Finding::note(Phase::Connect, why));
                    self.report.findings.extend(notes);
                    return Ok(socket);
                }
                Err(error) => failed.push(unreachable(address, &error)),
            }
        }
        if failed.is_empty() {
            failed.push(format!("{host} has no address"));
        }
        Err(Finding::error(Phase::Connect, failed.join("; ")))
    }

    /// Up to the end of the handshake, and what the server has shown in it.
    fn enter(&mut self, socket: &mut Socket, alpn: &[&str]) -> Result<ClientConnection, Failure> {
        if let Starttls::In(protocol) = self.target.starttls {
            self.ask_for_tls(socket, protocol)?;
        }
        let shaken = shake(socket, &self.target.asked, alpn, self.time);
        let (outcome, witness) = shaken.map_err(|e| Finding::error(Phase::Handshake, e))?;
        self.judge(&witness.seen());
        let connection =
            outcome.map_err(|failed| match failed {
                Failed::Tls(rustls::Error::AlertReceived(
                    AlertDescription::NoApplicationProtocol,
                )) if !alpn.is_empty() => Failure::Alpn,
                failed => Failure::Found(self.no_handshake(&failed)),
            })?;
        self.report.tls = Some(agreed(&connection, alpn));
        Ok(connection)
    }

    fn ask_for_tls(&mut self, socket: &mut Socket, protocol: Protocol) -> Result<(), Finding> {
        let failed = |text: String| Finding::error(Phase::Clear, text);
        let Some(mut caller) = Caller::new(protocol, Errand::Upgrade, &socket.our_name()) else {
            return Err(failed(format!("there is no STARTTLS in {}", protocol.name())));
        };
        socket.phase(self.time);
        let mut talk = Talk { tls: false, lines: &mut self.report.dialogue, inbox: Vec::new() };
        let name = protocol.name();
        let called = talk.converse(socket, &mut caller).map_err(|broken| {
            let hint = match &broken {
                Broken::Io(e)
                    if e.kind() == io::ErrorKind::TimedOut && talk_is_silent(talk.lines) =>
                {
                    ". If the port begins with TLS, --starttls none looks at that"
                }
                _ => "",
            };
            failed(format!("{broken}{hint}"))
        })?;
        let left = std::mem::take(&mut talk.inbox);
        match called {
            Called::Begin(capabilities) => {
                self.report.capabilities_in_clear = capabilities;
                if left.is_empty() {
                    return Ok(());
                }
                let text = String::from_utf8_lossy(&left).into_owned();
                Err(failed(format!(
                    "the server says more in clear behind its consent to TLS ({text:?}), which a client has to take for an attack (RFC 3207 §6)"
                )))
            }
            Called::NoTls(capabilities) => {
                let text = "the server does not offer STARTTLS: switch it on, or use the port that begins with TLS; clients go on in clear or not at all";
                self.report.capabilities_in_clear = capabilities;
                Err(failed(text.to_owned()))
            }
            Called::Denied(said) => Err(failed(format!(
                "the server offers STARTTLS and then refuses it with {said:?}: look into its log, often its certificate or key cannot be read"
            ))),
            Called::Refused(said) => {
                Err(failed(format!("the server does not want to speak with us: {said:?}")))
            }
            Called::Garbage(said) => Err(failed(match Protocol::that_greets(said.as_bytes()) {
                Some(other) if other != protocol => format!(
                    "the server says {said:?}, which is not {name}: try --starttls {}",
                    other.name()
                ),
                _ => format!("the server says {said:?}, which is not {name}"),
            })),
            called => Err(failed(format!("the dialogue ended out of turn: {called:?}"))),
        }
    }

    /// Judges what was shown, also in a handshake that failed later.
    fn judge(&mut self, seen: &Seen) {
        if seen.chain.is_empty() {
            return;
        }
        if let Some(why) = &seen.unverified {
            let text = format!(
                "that the server has the certificate's key could not be verified: {why}, and clients of today end the handshake here"
            );
            self.report.findings.push(Finding::error(Phase::Handshake, text));
        }
        let trust = self.trust;
        let judgement = judge(
            &seen.chain,
            &self.target.asked,
            certs::now(),
            &trust.anchors,
            trust.knows_private,
        );
        let findings = judgement.remarks.iter().map(|remark| Finding {
            severity: remark.severity,
            phase: Phase::Certificates,
            code: remark.code,
            text: remark.text.clone(),
        });
        self.report.findings.extend(findings);
        self.report.chain = Some(judgement);
    }

    fn no_handshake(&self, failed: &Failed) -> Finding {
        let text = match failed {
            Failed::Io(e) if e.kind() == io::ErrorKind::TimedOut => {
                "the server kept silent until the time was over: does it speak TLS here? If the port begins in clear, say so with --starttls".to_owned()
            }
            Failed::Io(e) if crate::error::is_disconnect(e) => {
                "the server closed the connection in the handshake: its log may know why; often it has no certificate that it can use, or a firewall is in between".to_owned()
            }
            Failed::Io(e) => e.to_string(),
            Failed::Plaintext(said) => {
                let what = match Protocol::that_greets(said.as_bytes()) {
                    Some(protocol) if self.target.starttls == Starttls::Never => {
                        format!("the port begins in clear, and TLS is asked for there: --starttls {}", protocol.name())
                    }
                    _ => "something that is not TLS answers there".to_owned(),
                };
                format!("the server answers in clear, with {said:?}: {what}")
            }
            Failed::Tls(error) => format!("{error}: {}", explain_failure(error)),
        };
        Finding::error(Phase::Handshake, text)
    }

    /// Inside TLS: what the server says there.
    fn look_round(&mut self, socket: &mut Socket, mut connection: ClientConnection) {
        let mut talk = Talk { tls: true, lines: &mut self.report.dialogue, inbox: Vec::new() };
        let is_new = self.target.starttls == Starttls::Never;
        let name = socket.our_name();
        let mut heard = Ok(0);
        let protocol = self.target.protocol.or_else(|| {
            socket.phase(self.time.min(SPEAKS_FIRST));
            heard = talk.hear(&mut Stream::new(&mut connection, socket));
            Protocol::that_greets(&talk.inbox)
        });
        let errand = Errand::Look { greeting: is_new || protocol == Some(Protocol::Sieve) };
        let caller = protocol.and_then(|protocol| Caller::new(protocol, errand, &name));
        let called = match (caller, heard) {
            (Some(mut caller), _) => {
                socket.phase(self.time);
                talk.converse(&mut Stream::new(&mut connection, socket), &mut caller)
            }
            (None, Err(Broken::Io(error))) if tls_error(&error).is_some() => Err(Broken::Io(error)),
            // Who says nothing may be a web server, and is one that is not spoken to.
            (None, _) => return,
        };
        let text = match called {
            Ok(Called::Seen(capabilities)) => {
                self.report.capabilities_inside_tls = capabilities;
                connection.send_close_notify();
                // Good manners; who is gone does not need them.
                let _ = connection.complete_io(socket);
                return;
            }
            Ok(Called::Refused(said)) => {
                format!("inside TLS the server does not want to speak with us: {said:?}")
            }
            Ok(called) => {
                format!("inside TLS the server says what makes no sense there: {called:?}")
            }
            Err(Broken::Io(error)) => match tls_error(&error) {
                Some(error) => format!("inside TLS: {error}: {}", explain_failure(error)),
                None => format!("inside TLS: {}", Broken::Io(error)),
            },
            Err(broken) => format!("inside TLS: {broken}"),
        };
        self.report.findings.push(Finding::error(Phase::Inside, text));
    }
}

enum Failure {
    /// The server refuses what ALPN offers.
    Alpn,
    Found(Finding),
}

impl From<Finding> for Failure {
    fn from(finding: Finding) -> Self {
        Self::Found(finding)
    }
}

/// Shakes hands within this time. What the witness has seen counts in any case; the outer error is
/// one of our own configuration.
pub(super) fn shake(
    socket: &mut Socket,
    asked: &Reference,
    alpn: &[&str],
    time: Duration,
) -> Result<(Result<ClientConnection, Failed>, std::sync::Arc<Witness>), String> {
    let (config, witness) = witness(alpn).map_err(|e| e.to_string())?;
    let name = asked.server_name()?;
    let mut connection = ClientConnection::new(config, name).map_err(|e| e.to_string())?;
    socket.phase(time);
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(socket) {
            return Ok((Err(failed(error, socket.first())), witness));
        }
    }
    Ok((Ok(connection), witness))
}

fn failed(error: io::Error, first: &[u8]) -> Failed {
    // RFC 8446 §5.1: an alert or the handshake comes first.
    if first.first().is_some_and(|octet| ![21, 22].contains(octet)) {
        let line = first.split(|b| *b == b'\n').next().unwrap_or_default();
        let said = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
        return Failed::Plaintext(said);
    }
    match tls_error(&error) {
        Some(error) => Failed::Tls(error.clone()),
        None => Failed::Io(error),
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn agreed(connection: &ClientConnection, alpn: &[&str]) -> Tls {
    let version = connection.protocol_version().map(|version| format!("{version:?}"));
    let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let group = connection.negotiated_key_exchange_group();
    Tls {
        version: version.unwrap_or_default().replace('_', "."),
        suite: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
        key_exchange: group.map(|group| format!("{:?}", group.name())),
        alpn_offered: alpn.iter().map(|&id| id.to_owned()).collect(),
        alpn: connection.alpn_protocol().map(|id| String::from_utf8_lossy(id).into_owned()),
    }
}

fn unreachable(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("{address} refuses connections: nothing listens on this port")
        }
        io::ErrorKind::TimedOut => format!(
            "{address} does not answer: is the machine there, and does a firewall let this port through?"
        ),
        _ => format!("{address} cannot be reached: {error}"),
    }
}

fn talk_is_silent(lines: &[super::Line]) -> bool {
    lines.is_empty()
}
