//! `vestibule check --backends`

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use serde::Serialize;

use super::report;
use crate::{
    config::Config,
    daemon::{self, Examination, RelayTest, Verdict},
};

/// What was seen of a configuration's backends.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a PathBuf,
    backends: Vec<Examination>,
}

pub(super) fn check(json: bool, files: &[PathBuf]) -> ExitCode {
    let (mut reports, mut lines) = (Vec::new(), String::new());
    for file in files {
        let config = match Config::read(file) {
            Ok(config) => config,
            Err(problems) => return report::fail_as(json, problems),
        };
        let backends = match daemon::examine(&config) {
            Ok(backends) => backends,
            Err(unfit) => return report::fail_as(json, unfit),
        };
        if files.len() > 1 {
            // A String takes whatever is written.
            let _ = writeln!(lines, "{}", file.display());
        }
        table(&backends, &mut lines);
        reports.push(Report { file, backends });
    }
    let worst = reports.iter().flat_map(|r| &r.backends).filter_map(Examination::worst).max();
    match report::print(json, &reports, &lines) {
        Ok(()) => report::exit(worst),
        Err(_) => ExitCode::FAILURE,
    }
}

/// A line for each backend, and below it what there is to say.
fn table(backends: &[Examination], out: &mut String) {
    let width = |of: fn(&Examination) -> usize| backends.iter().map(of).max().unwrap_or(0);
    let (address, identity) = (width(|b| b.backend.len()), width(|b| b.identity.len()));
    for seen in backends {
        let state = match &seen.banner {
            Some(banner) if banner.is_empty() => "it is there".to_owned(),
            Some(banner) => banner.clone(),
            None => "-".to_owned(),
        };
        let _ = writeln!(
            out,
            "{:<10}  {:<address$}  {:<identity$}  {:<13}  {state}",
            seen.protocol,
            seen.backend,
            seen.identity,
            format!("tls: {}", seen.tls),
        );
        for test in &seen.relay {
            let _ = writeln!(out, "  {:<9} {}", "relay", relay(test));
        }
        for finding in &seen.findings {
            let _ = writeln!(out, "  {:<9} {}", finding.severity.to_string(), finding.text);
        }
    }
}

fn relay(test: &RelayTest) -> String {
    let who = match test.taken_for {
        Some(front) => format!("a stranger, whom it takes for this front ({front}),"),
        None => format!("a stranger at {}", test.stranger),
    };
    let said = &test.said;
    match test.verdict {
        Verdict::Open => format!("{who} may send mail to everybody: {said}"),
        Verdict::Refused => format!("{who} is refused: {said}"),
        Verdict::Unknown => format!("{who} is told nothing for certain: {said}"),
    }
}
