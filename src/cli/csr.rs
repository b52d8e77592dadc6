//! `vestibule csr`

use std::{
    ffi::OsString,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;

use super::{report, self_signed::unwritten};
use crate::certs::{
    self, Name,
    issue::{self, KeySource, NewKey, Subject},
};

/// What may be said.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A name that the certificate is to cover. The first is the common name too.
    #[arg(long = "name", value_name = "NAME", required = true)]
    names: Vec<Name>,
    /// The organization.
    #[arg(long, value_name = "TEXT")]
    org: Option<String>,
    /// A unit of the organization.
    #[arg(long, value_name = "TEXT")]
    unit: Option<String>,
    /// The city.
    #[arg(long, value_name = "TEXT")]
    city: Option<String>,
    /// The state or province.
    #[arg(long, value_name = "TEXT")]
    state: Option<String>,
    /// The country, in two letters.
    #[arg(long, value_name = "CC")]
    country: Option<String>,
    /// An address of the person who answers for it.
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The key: ecdsa, ecdsa384, rsa2048, rsa3072, rsa4096 or ed25519.
    #[arg(long, value_name = "KIND", default_value_t)]
    key: NewKey,
    /// Ask for a certificate for the key in this file, instead of a new one.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    use_key: Option<PathBuf>,
    /// Write PREFIX.csr and, for nobody else to read, PREFIX.key.
    #[arg(long, value_name = "PREFIX")]
    out: PathBuf,
    /// Say what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Serialize)]
struct Report<'a> {
    request: &'a Path,
    key: &'a Path,
    names: Vec<String>,
}

pub(super) fn csr(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(why) => report::fail(why),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let (request_file, key_file) = (with(&arguments.out, ".csr"), with(&arguments.out, ".key"));
    let is_new = arguments.use_key.is_none();
    for file in [Some(&request_file), Some(&key_file).filter(|_| is_new)].into_iter().flatten() {
        // A key that is worth a request may be the only one of its kind.
        if fs::symlink_metadata(file).is_ok() {
            let hint =
                if file == &key_file { " (--use-key asks again for the same key)" } else { "" };
            let text = "it is there already, and nothing is written over it";
            return Err(format!("{}: {text}{hint}", file.display()));
        }
    }
    let subject = Subject {
        country: arguments.country.clone(),
        state: arguments.state.clone(),
        city: arguments.city.clone(),
        org: arguments.org.clone(),
        unit: arguments.unit.clone(),
        email: arguments.email.clone(),
    };
    let source = match &arguments.use_key {
        Some(file) => KeySource::File(file),
        None => KeySource::New(arguments.key),
    };
    let made = issue::request(&arguments.names, &subject, source).map_err(|e| e.to_string())?;
    if is_new {
        certs::create(&key_file, &made.key).map_err(|e| unwritten(&key_file, &e))?;
    }
    certs::create(&request_file, &made.request).map_err(|e| unwritten(&request_file, &e))?;

    let key = arguments.use_key.as_ref().unwrap_or(&key_file);
    let names: Vec<String> = arguments.names.iter().map(ToString::to_string).collect();
    let mut lines = String::new();
    let _ = writeln!(
        lines,
        "{0}: for {1}; this goes to the authority\n{2}: its key; this stays here\nThen: vestibule import --key {2} --cert FILE",
        request_file.display(),
        names.join(", "),
        key.display(),
    );
    let report = Report { request: &request_file, key, names };
    report::print(arguments.json, &report, &lines).map_err(|e| e.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn with(prefix: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(prefix);
    name.push(end);
    PathBuf::from(name)
}
