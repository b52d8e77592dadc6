//! `vestibule dns`

mod check;
mod domains;
mod mail;
mod served;
mod zone;

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use serde::Serialize;

use self::{domains::Domain, served::Served};
use super::{CONFIG, report};
use crate::{
    certs::{Finding, Name, Severity},
    daemon,
};

/// What may be said.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// A domain that has its mail here. Left out: it is guessed from the names of the hosts.
    #[arg(long = "domain", value_name = "NAME", conflicts_with = "check_tlsa")]
    domains: Vec<Name>,
    /// Write this time to live, in seconds, into each record.
    #[arg(long, value_name = "SECONDS", conflicts_with = "check_tlsa")]
    ttl: Option<u32>,
    /// Compare the TLSA records of this zone file with what is served.
    #[arg(long, value_name = "FILE")]
    check_tlsa: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is to be published.
#[derive(Serialize)]
struct Report {
    domains: Vec<Domain>,
    findings: Vec<Finding>,
}

pub(super) fn dns(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(why) => report::fail_as(arguments.json, why),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let loaded = daemon::load(&arguments.config, daemon::Purpose::Look)
        .map_err(|unfit| unfit.to_string())?;
    let served = Served::new(&loaded);
    // What cannot be served has no records here, and that must not go unsaid.
    let errors = loaded.store.findings.iter().filter(|f| f.severity == Severity::Error);
    let mut findings: Vec<Finding> = errors.cloned().collect();
    if let Some(file) = &arguments.check_tlsa {
        return check::check(&served, file, findings, arguments.json);
    }
    let mut stated = Vec::new();
    for domain in &arguments.domains {
        match domain {
            Name::Dns(domain) if !domain.starts_with('*') => stated.push(domain.clone()),
            other => return Err(format!("--domain {other}: a domain is wanted")),
        }
    }
    findings.extend(served.findings.iter().cloned());
    let domains = domains::domains(&served, &stated);
    let mut lines = String::new();
    for domain in &domains {
        domain.write(arguments.ttl, &mut lines);
    }
    for finding in &findings {
        let _ = writeln!(lines, "; {}: {finding}", finding.severity);
    }
    let worst = findings.iter().map(|f| f.severity).max();
    let report = Report { domains, findings };
    report::print(arguments.json, &report, &lines).map_err(|e| e.to_string())?;
    Ok(report::exit(worst))
}
