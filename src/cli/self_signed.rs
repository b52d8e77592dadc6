//! `vestibule self-signed`

use std::{
    fmt::Write,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;

use super::report;
use crate::certs::{
    self, Name,
    issue::{self, NewKey},
};

/// What may be said.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A name or an address that clients connect to. The first is the common name too.
    #[arg(long = "name", value_name = "NAME", required_unless_present = "refresh")]
    names: Vec<Name>,
    /// For how long it is valid. Some mail programs take nothing above 825 days.
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    days: u32,
    /// The key: ecdsa, ecdsa384, rsa2048, rsa3072, rsa4096 or ed25519.
    #[arg(long, value_name = "KIND", default_value_t)]
    key: NewKey,
    /// Where key and certificate are written, as one file that nobody else can read.
    #[arg(long, value_name = "FILE", required_unless_present = "refresh")]
    out: Option<PathBuf>,
    /// Renew the self-signed certificate in this file, in its place: key, names and serial number
    /// stay.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "key", "out"])]
    refresh: Option<PathBuf>,
    /// Say what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    renewed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    days: u32,
}

pub(super) fn self_signed(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(why) => report::fail(why),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let days = arguments.days;
    let (file, renewed) = match (&arguments.refresh, &arguments.out) {
        (Some(file), _) => {
            let text = issue::refresh(file, days).map_err(|e| e.to_string())?;
            certs::replace(file, &text).map_err(|e| unwritten(file, &e))?;
            (file, true)
        }
        (None, Some(file)) => {
            let text = issue::self_signed(&arguments.names, days, arguments.key)
                .map_err(|e| e.to_string())?;
            certs::create(file, &text).map_err(|e| unwritten(file, &e))?;
            (file, false)
        }
        // The arguments' own rules want one of them.
        (None, None) => return Err("--out FILE or --refresh FILE is wanted".to_owned()),
    };
    let names: Vec<String> = arguments.names.iter().map(ToString::to_string).collect();
    let mut lines = String::new();
    let _ = if renewed {
        writeln!(lines, "{}: renewed for {days} days, with the key that it had", file.display())
    } else {
        let names = names.join(", ");
        writeln!(lines, "{}: self-signed for {names}, for {days} days", file.display())
    };
    let report = Report { file, renewed, names, days };
    report::print(arguments.json, &report, &lines).map_err(|e| e.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Why a file with a key in it was not written.
pub(super) fn unwritten(file: &Path, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::AlreadyExists => {
            "it is there already, and nothing is written over it: name another file, or move it away"
                .to_owned()
        }
        _ => format!("it cannot be written: {error}"),
    };
    format!("{}: {why}", file.display())
}
