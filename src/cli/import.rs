//! `vestibule import`

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;

use super::{CONFIG, report, self_signed::unwritten};
use crate::{
    certs::{
        self, Code, Finding, Policy, Severity,
        import::{Combined, Parts, Whole, combine},
    },
    config::Config,
};

/// What may be said.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file with the private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The file with the certificate, and with its chain if it is there.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// A file with certificates of the chain.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    chain: Vec<PathBuf>,
    /// The folder to put it in. Left out: the first folder of the configuration's `certificates`.
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// The configuration, which says what completes chains, and what is done about findings. Left out,
    /// and without --into: /etc/vestibule/vestibule.yaml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write it also where its chain is not complete, where it has expired, or in the place of
    /// another one.
    #[arg(long)]
    force: bool,
    /// Say what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Serialize)]
struct Report<'a> {
    /// Where it was written; `null`: it was not.
    file: Option<PathBuf>,
    replaced: bool,
    names: &'a [String],
    /// How many certificates are sent.
    chain: usize,
    findings: &'a [Finding],
}

pub(super) fn import(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(why) => report::fail_as(arguments.json, why),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let Store { folder, intermediates, policy } = store(arguments)?;
    if !folder.is_dir() {
        return Err(format!("{}: it is not a folder", folder.display()));
    }
    let parts = Parts {
        key: &arguments.key,
        certificate: &arguments.cert,
        chain: &arguments.chain,
        intermediates: &intermediates,
        policy: &policy,
    };
    let Combined { whole, mut findings } = combine(parts, &folder)
        .map_err(|e| format!("{}: it cannot be written: {e}", folder.display()))?;
    for finding in &mut findings {
        // Whoever imports it has the rest at hand, or can get it. What the front refuses, no wish of
        // the moment makes it serve.
        let is_ours = matches!(finding.code, Code::ChainIncomplete | Code::Expired);
        if is_ours && !policy.refuses(finding.code) {
            finding.severity = if arguments.force { Severity::Warning } else { Severity::Error };
        }
    }
    let is_refused = findings.iter().any(|f| f.severity == Severity::Error);
    let written = match &whole {
        Some(whole) if !is_refused => Some(write(whole, &folder, arguments)?),
        _ => None,
    };

    let mut lines = String::new();
    for finding in &findings {
        let _ = writeln!(lines, "{}: {finding}", finding.severity);
    }
    let _ = match (&written, &whole) {
        (Some((file, replaced)), Some(whole)) => writeln!(
            lines,
            "{}: {}, for {}; {} sent; the front takes it at its next reload (SIGHUP)",
            file.display(),
            if *replaced { "replaced" } else { "written" },
            whole.names.join(", "),
            match whole.certificates {
                1 => "one certificate is".to_owned(),
                n => format!("{n} certificates are"),
            },
        ),
        _ => writeln!(lines, "nothing was written"),
    };
    let report = Report {
        replaced: written.as_ref().is_some_and(|(_, replaced)| *replaced),
        file: written.map(|(file, _)| file),
        names: whole.as_ref().map_or(&[], |whole| &whole.names),
        chain: whole.as_ref().map_or(0, |whole| whole.certificates),
        findings: &findings,
    };
    report::print(arguments.json, &report, &lines).map_err(|e| e.to_string())?;
    Ok(report::exit(findings.iter().map(|f| f.severity).max()))
}

/// Writes it under its first name. Says where, and whether something else was there.
fn write(whole: &Whole, folder: &Path, arguments: &Arguments) -> Result<(PathBuf, bool), String> {
    let name = whole.file_name().or_else(|| {
        let stem = arguments.cert.file_stem()?;
        Some(format!("{}.pem", stem.to_string_lossy()))
    });
    let file = folder.join(name.ok_or("no name for the file can be found")?);
    if fs::symlink_metadata(&file).is_err() {
        certs::create_for_group(&file, &whole.text).map_err(|e| unwritten(&file, &e))?;
        return Ok((file, false));
    }
    if let Some(why) = whole.is_no_successor_of(&file).filter(|_| !arguments.force) {
        return Err(format!("{}: {why}; --force replaces it", file.display()));
    }
    certs::replace(&file, &whole.text).map_err(|e| unwritten(&file, &e))?;
    Ok((file, true))
}

/// Where it is put, and what it will be served by.
struct Store {
    folder: PathBuf,
    intermediates: Vec<PathBuf>,
    policy: Policy,
}

fn store(arguments: &Arguments) -> Result<Store, String> {
    let file = match (&arguments.config, &arguments.into) {
        (Some(file), _) => file.as_path(),
        (None, None) => Path::new(CONFIG),
        (None, Some(folder)) => {
            let (intermediates, policy) = (Vec::new(), Policy::default());
            return Ok(Store { folder: folder.clone(), intermediates, policy });
        }
    };
    let read = Config::read(file).map_err(|problems| problems.to_string())?;
    let first = || read.certificates.iter().find(|path| path.is_dir()).cloned();
    let folder = arguments.into.clone().or_else(first).ok_or_else(|| {
        format!(
            "{}: there is no folder among its `certificates`: make one, or say --into FOLDER",
            file.display()
        )
    })?;
    Ok(Store { folder, intermediates: read.intermediates, policy: read.lint })
}
