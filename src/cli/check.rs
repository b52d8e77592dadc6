//! `vestibule check`

use std::{
    collections::HashMap,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use super::report;
use crate::{
    certs::Severity,
    config::{Config, Listener},
    daemon::{self, Unfit},
};

pub(super) fn check(offline: bool, explain: bool, files: &[PathBuf]) -> ExitCode {
    let mut worst = None;
    for file in files {
        let Found { lines, severity } =
            if offline { syntax(file, explain) } else { all(file, explain) };
        worst = worst.max(severity);
        let end = match severity {
            None | Some(Severity::Note) => Some("fine"),
            Some(Severity::Warning) => Some("it can be served, with what is said above"),
            Some(Severity::Error) => None,
        };
        let end = end.map(|end| format!("{}: {end}", file.display()));
        if let Err(error) = say(lines.into_iter().chain(end)) {
            return report::fail(error);
        }
    }
    report::exit(worst)
}

/// What is to be said of a file, and how bad it is.
struct Found {
    lines: Vec<String>,
    severity: Option<Severity>,
}

impl From<Unfit> for Found {
    fn from(unfit: Unfit) -> Self {
        Self { lines: unfit.0, severity: Some(Severity::Error) }
    }
}

/// What is worth a word of a file that makes sense.
fn syntax(file: &Path, explain: bool) -> Found {
    match Config::read(file) {
        Ok(config) => remarks(file, &config, explain),
        Err(problems) => Unfit(problems.to_string().lines().map(str::to_owned).collect()).into(),
    }
}

/// The same, with its certificates. One that cannot be served is an error here: nothing is served
/// in its place yet.
fn all(file: &Path, explain: bool) -> Found {
    let loaded = match daemon::load(file, daemon::Purpose::Look) {
        Ok(loaded) => loaded,
        Err(unfit) => return unfit.into(),
    };
    let Found { mut lines, severity } = remarks(file, &loaded.config, explain);
    let late = loaded.store.prove();
    let findings = || loaded.store.findings.iter().chain(&late);
    lines.extend(findings().map(|f| format!("{}: {f}", f.severity)));
    Found { lines, severity: severity.max(findings().map(|f| f.severity).max()) }
}

fn remarks(file: &Path, config: &Config, explain: bool) -> Found {
    let warnings = config.warnings.iter().map(|w| format!("{}: warning: {w}", file.display()));
    let mut lines = Vec::new();
    if explain {
        lines.extend(config.listeners.iter().map(effective));
        lines.extend(routes(&config.listeners));
    }
    lines.extend(warnings);
    let severity = (!config.warnings.is_empty()).then_some(Severity::Warning);
    Found { lines, severity }
}

/// Where clients go that ask for a name: once for all listeners that have the same routes.
fn routes(listeners: &[Listener]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut told: Vec<&Arc<HashMap<Box<str>, usize>>> = Vec::new();
    for Listener { routes, .. } in listeners.iter().filter(|l| !l.routes.names.is_empty()) {
        if told.iter().any(|names| Arc::ptr_eq(names, &routes.names)) {
            continue;
        }
        told.push(&routes.names);
        let same = listeners.iter().filter(|l| Arc::ptr_eq(&l.routes.names, &routes.names));
        let binds: Vec<String> = same.flat_map(|l| &l.bind).map(ToString::to_string).collect();
        lines.push(format!("routes of {}:", binds.join(" ")));
        let names = routes.names.iter();
        let mut named: Vec<String> = names
            .filter_map(|(name, to)| {
                Some(format!("  {name:<40} -> {}", routes.backends.get(to)?.name))
            })
            .collect();
        named.sort_unstable();
        lines.append(&mut named);
    }
    lines
}

/// A listener with everything that its lines left out.
fn effective(listener: &Listener) -> String {
    let bind: Vec<String> = listener.bind.iter().map(ToString::to_string).collect();
    let asked = listener
        .client_certificates
        .as_ref()
        .map_or(String::new(), |rule| format!(", client certificates: {}", rule.mode));
    let backend = &listener.backend;
    let balance = match backend.members.as_slice() {
        [_] => String::new(),
        _ => format!("{}, ", backend.balance),
    };
    let tls = backend.tls.as_ref().map_or(String::new(), |t| format!(", {}", t.mode));
    format!(
        "{:<30} {:<10} {:<17} -> {backend} ({balance}{}{tls}){asked}",
        bind.join(" "),
        listener.protocol.name(),
        listener.tls.to_string(),
        backend.identity,
    )
}

fn say(mut lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    lines.try_for_each(|line| writeln!(out, "{line}"))
}
