//! `vestibule check`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
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
    let loaded = daemon::load(file, None)?;
    let mut lines = remarks(file, &loaded.config, explain);
    lines.extend(loaded.store.findings.iter().map(|f| format!("{}: {f}", f.severity)));
    let is_broken = loaded.store.findings.iter().any(|f| f.severity == Severity::Error);
    if is_broken { Err(Unfit(lines)) } else { Ok(lines) }
}

fn remarks(file: &Path, config: &Config, explain: bool) -> Vec<String> {
    let warnings = config.warnings.iter().map(|w| format!("{}: warning: {w}", file.display()));
    let listeners = config.listeners.iter().filter(|_| explain).map(effective);
    listeners.chain(warnings).collect()
}

/// A listener with everything that its lines left out.
fn effective(listener: &Listener) -> String {
    let bind: Vec<String> = listener.bind.iter().map(ToString::to_string).collect();
    let asked = listener
        .client_certificates
        .as_ref()
        .map_or(String::new(), |rule| format!(", client certificates: {}", rule.mode));
    let tls = listener.backend_tls.as_ref().map_or(String::new(), |t| format!(", {}", t.mode));
    format!(
        "{:<30} {:<10} {:<17} -> {} ({}{tls}){asked}",
        bind.join(" "),
        listener.protocol.name(),
        listener.tls.to_string(),
        listener.target,
        listener.identity,
    )
}

fn say(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}
