//! What commands print, for people or for scripts, and what they exit with.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;

use crate::certs::Severity;

/// Prints a report: as one JSON document, or as the lines for people.
pub(super) fn print(json: bool, report: &impl Serialize, lines: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        return writeln!(out);
    }
    write!(out, "{lines}")
}

/// 0: fine. 1: there are warnings. 2: there are errors.
pub(super) fn exit(worst: Option<Severity>) -> ExitCode {
    ExitCode::from(match worst {
        None | Some(Severity::Note) => 0,
        Some(Severity::Warning) => 1,
        Some(Severity::Error) => 2,
    })
}

/// Says why a command did nothing, and exits as for errors.
pub(super) fn fail(why: impl std::fmt::Display) -> ExitCode {
    // With a standard error that nobody reads, the exit code has to say it all.
    let _ = writeln!(io::stderr(), "{why}");
    exit(Some(Severity::Error))
}

/// The same for those who may have asked for JSON: they get an object with the lines as `errors`.
pub(super) fn fail_as(json: bool, why: impl std::fmt::Display) -> ExitCode {
    let said = why.to_string();
    let errors: Vec<&str> = said.lines().collect();
    // A standard output that nobody reads leaves standard error, and the exit code.
    match json.then(|| print(true, &serde_json::json!({ "errors": errors }), "")) {
        Some(Ok(())) => exit(Some(Severity::Error)),
        None | Some(Err(_)) => fail(said),
    }
}

/// Says something that is not a part of the report.
pub(super) fn remark(what: impl std::fmt::Display) {
    // Nobody reads it: then nobody misses it.
    let _ = writeln!(io::stderr(), "{what}");
}
