//! `vestibule check`

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    certs::Severity,
    config::Config,
    daemon::{self, Unfit},
};

pub(super) fn check(offline: bool, files: &[PathBuf]) -> ExitCode {
    let mut fine = true;
    for file in files {
        let checked = if offline { syntax(file) } else { all(file) };
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
fn syntax(file: &Path) -> Result<Vec<String>, Unfit> {
    let config = Config::read(file)
        .map_err(|p| Unfit(p.to_string().lines().map(str::to_owned).collect()))?;
    Ok(warnings(file, &config))
}

/// The same, with its certificates. One that cannot be served is an error here: nothing is served
/// in its place yet.
fn all(file: &Path) -> Result<Vec<String>, Unfit> {
    let loaded = daemon::load(file, None)?;
    let mut lines = warnings(file, &loaded.config);
    lines.extend(loaded.store.findings.iter().map(ToString::to_string));
    let is_broken = loaded.store.findings.iter().any(|f| f.severity == Severity::Error);
    if is_broken { Err(Unfit(lines)) } else { Ok(lines) }
}

fn warnings(file: &Path, config: &Config) -> Vec<String> {
    config.warnings.iter().map(|w| format!("{}: warning: {w}", file.display())).collect()
}

fn say(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}
