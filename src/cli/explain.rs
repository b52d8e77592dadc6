//! `vestibule explain`: which certificate a client gets, and why.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use rustls::SignatureScheme;
use serde::Serialize;

use super::{CONFIG, certs::Entry, report};
use crate::{
    certs::{Choice, Finding, KeyKind, Reason, Severity},
    config::Listener,
    daemon::{self, Loaded, Purpose},
    values::{TlsMode, UnknownName},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// The name that the client asks for; left out: it asks for none.
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// The address of ours that the client comes to.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// The port that the client comes to.
    #[arg(long, value_name = "NUMBER")]
    port: u16,
    /// What the client can verify.
    #[arg(long, value_name = "KIND", default_value = "all")]
    sigalgs: Sigalgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Signature algorithms, by the kind of key that they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sigalgs {
    All,
    Ecdsa,
    Rsa,
}

pub(super) fn explain(arguments: &Arguments) -> ExitCode {
    match daemon::load(&arguments.config, Purpose::Look) {
        Ok(loaded) => {
            let answer = answer(arguments, loaded);
            match report::print(arguments.json, &answer, &answer.text()) {
                Ok(()) => report::exit(answer.severity),
                Err(error) => report::fail(error),
            }
        }
        Err(unfit) => report::fail_as(arguments.json, unfit),
    }
}

/// Which certificate, and why.
#[derive(Debug, Default, Serialize)]
struct Answer {
    /// Step by step.
    steps: Vec<String>,
    /// What is shown; none: the client gets none.
    certificate: Option<Entry>,
    severity: Option<Severity>,
}

fn answer(arguments: &Arguments, mut loaded: Loaded) -> Answer {
    let mut answer = Answer::default();
    let Some(listener) = listener(arguments, &loaded.config.listeners) else {
        let at = arguments.address.map_or(String::new(), |address| format!(" of {address}"));
        return answer.end(format!("nobody listens on port {}{at}", arguments.port));
    };
    let (protocol, tls) = (listener.protocol.name(), listener.tls);
    answer.step(format!("port {} is the listener for {protocol}, tls: {tls}", arguments.port));
    if tls == TlsMode::None {
        return answer.end("there is no TLS on it, so no certificate".to_owned());
    }
    let unknown_name = listener.unknown_name;
    let sni = arguments.sni.as_deref().map(str::to_ascii_lowercase);
    let local = arguments.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let set = loaded.set.clone();
    let choice = set.choose(sni.as_deref(), local);
    answer.by_name(sni.as_deref(), choice);
    let is_by_name = matches!(choice.reason, Reason::Name | Reason::Wildcard);
    if let Some(name) = sni.as_deref().filter(|_| !is_by_name) {
        answer.by_what_is_broken(name, &loaded.store.findings);
    }
    if let Some(name) = sni.as_deref().filter(|name| !set.covers(name))
        && unknown_name == UnknownName::Reject
    {
        return answer.end(format!(
            "unknown_name: reject: a client that asks for {name} gets the alert unrecognized_name (112)"
        ));
    }
    answer.by_address(arguments.address, choice);
    let kinds: &[KeyKind] = match arguments.sigalgs {
        Sigalgs::All => &[KeyKind::Ecdsa, KeyKind::Rsa],
        Sigalgs::Ecdsa => &[KeyKind::Ecdsa],
        Sigalgs::Rsa => &[KeyKind::Rsa],
    };
    let schemes: Vec<SignatureScheme> = kinds.iter().flat_map(|k| k.schemes()).copied().collect();
    let Some(certificate) = choice.certificate(&schemes) else {
        return answer.end("there is no certificate yet: the first start makes one".to_owned());
    };
    answer.by_key(choice, certificate.kind(), certificate.fits(&schemes));
    let mut findings = std::mem::take(&mut loaded.store.findings);
    findings.extend(loaded.store.prove());
    findings.retain(|finding| finding.file == certificate.file());
    let entry = Entry::of(certificate, &loaded, findings);
    answer.step(format!(
        "the certificate is {}, from {}",
        certificate.label(),
        certificate.file().display()
    ));
    answer.step(format!("its chain: {}", entry.way()));
    answer.severity = answer.severity.max(entry.findings().iter().map(|f| f.severity).max());
    answer.certificate = Some(entry);
    answer
}

/// The listener that a connection to this port reaches: the one for the very address first, as the
/// kernel has it.
fn listener<'a>(arguments: &Arguments, listeners: &'a [Listener]) -> Option<&'a Listener> {
    let is_there = |listener: &&Listener, is_any: bool| {
        listener.bind.iter().any(|bind| {
            let same_family = arguments.address.is_none_or(|a| a.is_ipv4() == bind.ip().is_ipv4());
            let fits = arguments.address.is_none_or(|address| bind.ip() == address);
            bind.port() == arguments.port
                && (fits || (is_any && bind.ip().is_unspecified() && same_family))
        })
    };
    let exact = listeners.iter().find(|listener| is_there(listener, false));
    exact.or_else(|| listeners.iter().find(|listener| is_there(listener, true)))
}

impl Answer {
    fn step(&mut self, step: String) {
        self.steps.push(step);
    }

    fn warn(&mut self, step: String) {
        self.severity = self.severity.max(Some(Severity::Warning));
        self.step(step);
    }

    /// The client gets nothing.
    fn end(mut self, step: String) -> Self {
        self.severity = Some(Severity::Error);
        self.step(step);
        self
    }

    fn by_name(&mut self, sni: Option<&str>, choice: Choice<'_>) {
        let Some(name) = sni else {
            return self.step("the client asks for no name".to_owned());
        };
        match choice.reason {
            Reason::Name => self.step(format!("a certificate has the name {name}")),
            Reason::Wildcard => {
                let parent = name.split_once('.').map_or("", |(_, parent)| parent);
                self.step(format!("no certificate has the name {name}; one has *.{parent}"));
            }
            Reason::Address | Reason::Default => {
                self.warn(format!("no certificate has the name {name}, nor a wildcard for it"));
            }
        }
    }

    /// What cannot be served may be what somebody misses.
    fn by_what_is_broken(&mut self, name: &str, findings: &[Finding]) {
        let is_it = |word: &str| word.trim_matches([',', ':', ';']) == name;
        let mut errors = findings.iter().filter(|f| f.severity == Severity::Error);
        if let Some(finding) = errors.clone().find(|f| f.text.split_whitespace().any(is_it)) {
            self.step(format!("one that is for it cannot be served: {finding}"));
        } else if errors.next().is_some() {
            self.step(
                "there is what cannot be served, and it may be for it: `vestibule certs` lists it"
                    .to_owned(),
            );
        }
    }

    fn by_address(&mut self, address: Option<IpAddr>, choice: Choice<'_>) {
        match (choice.reason, address) {
            (Reason::Name | Reason::Wildcard, _) => {}
            (Reason::Address, Some(address)) => {
                self.step(format!("certificate_by_address binds one to {address}"));
            }
            (_, Some(address)) => {
                self.step(format!("no certificate is bound to {address}: the default is shown"));
            }
            (_, None) => self.step("without an address, the default is shown".to_owned()),
        }
    }

    fn by_key(&mut self, choice: Choice<'_>, kind: KeyKind, fits: bool) {
        let kinds: Vec<String> =
            choice.certificates().iter().map(|c| c.kind().to_string()).collect();
        let there_is = kinds.join(" and ");
        if fits {
            self.step(format!("there is {there_is} for it; the client gets {kind}"));
        } else {
            self.warn(format!(
                "there is {there_is} alone, which the client cannot verify: the handshake will fail"
            ));
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (n, step) in self.steps.iter().enumerate() {
            // Nothing can fail that is written to memory, here and below.
            let _ = writeln!(text, "{}. {step}", n + 1);
        }
        for finding in self.certificate.iter().flat_map(Entry::findings) {
            let _ = writeln!(text, "{}: {}: {}", finding.severity, finding.code, finding.text);
        }
        text
    }
}
