//! `vestibule check`

use std::{
    collections::HashMap,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use crate::{
    certs::Severity,
    config::{Config, Listener},
    daemon::{self, Unfit},
};

pub(super) fn check(offline: bool, explain: bool, files: &[PathBuf]) -> ExitCode {
    let mut fine = true;
    for file in files {
        let checked = if offline { syntax(file, explain) } else { all(file, explain) };
        let lines = match checked {
            Ok(mut lines) => {
                lines.push(format!("{}: fine", file.display()));
                lines
            }
            Err(unfit) => {
                fine = false;
                unfit.0
            }
        };
        if say(&lines).is_err() {
            return ExitCode::FAILURE;
        }
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is worth a word of a file that makes sense.
fn syntax(file: &Path, explain: bool) -> Result<Vec<String>, Unfit> {
    let config = Config::read(file)
        .map_err(|p| Unfit(p.to_string().lines().map(str::to_owned).collect()))?;
    Ok(remarks(file, &config, explain))
}

/// The same, with its certificates. One that cannot be served is an error here: nothing is served
/// in its place yet.
fn all(file: &Path, explain: bool) -> Result<Vec<String>, Unfit> {
    let mut loaded = daemon::load(file, daemon::Purpose::Look)?;
    let late = loaded.store.prove();
    loaded.store.findings.extend(late);
    let mut lines = remarks(file, &loaded.config, explain);
    lines.extend(loaded.store.findings.iter().map(|f| format!("{}: {f}", f.severity)));
    let is_broken = loaded.store.findings.iter().any(|f| f.severity == Severity::Error);
    if is_broken { Err(Unfit(lines)) } else { Ok(lines) }
}

fn remarks(file: &Path, config: &Config, explain: bool) -> Vec<String> {
    let warnings = config.warnings.iter().map(|w| format!("{}: warning: {w}", file.display()));
    let mut lines = Vec::new();
    if explain {
        lines.extend(config.listeners.iter().map(effective));
        lines.extend(routes(&config.listeners));
    }
    lines.extend(warnings);
    lines
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

fn say(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}
