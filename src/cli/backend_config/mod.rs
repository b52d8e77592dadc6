//! `vestibule backend-config`

mod lines;
mod places;

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use serde::Serialize;

use self::{
    lines::{Section, advice},
    places::Places,
};
use super::report;
use crate::{
    certs::Severity,
    config::{Config, Preset},
    identity::Identity,
};

/// What may be said.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The mail server: communigate, courier, cyrus, dovecot, exchange, exim, icewarp, kerio,
    /// opensmtpd, postfix, sendmail or stalwart.
    preset: Preset,
    /// Take addresses and ports from this configuration. Left out: words stand in their place.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What the backend's administrator has to do.
#[derive(Serialize)]
struct Report {
    preset: &'static str,
    product: &'static str,
    /// Protocol → how the server learns who the client is.
    identity: Vec<(&'static str, String)>,
    /// Whether it learns it at all.
    is_told: bool,
    sections: Vec<Section>,
    notes: Vec<&'static str>,
}

pub(super) fn backend_config(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(code) => code,
        Err(why) => report::fail(why),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let preset = arguments.preset;
    let places = match &arguments.config {
        Some(file) => Places::of(preset, &Config::read(file).map_err(|e| e.to_string())?)?,
        None => Places::unknown(preset),
    };
    places.remarks.iter().for_each(report::remark);
    let (sections, notes) = advice(preset, &places);
    let identity = places.doors.iter().map(|d| (d.protocol.name(), d.identity.to_string()));
    let report = Report {
        preset: preset.row().name,
        product: preset.row().product,
        identity: identity.collect(),
        is_told: places.doors.iter().all(|door| door.identity != Identity::None),
        sections,
        notes,
    };
    report::print(arguments.json, &report, &text(&report)).map_err(|e| e.to_string())?;
    // Whoever pastes the lines should not miss that there are none to be had.
    Ok(report::exit((!report.is_told).then_some(Severity::Warning)))
}

/// Lines to paste; all else is a comment, as most of these files have them.
fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# {} behind this front", report.product);
    for section in &report.sections {
        let _ = writeln!(text, "\n# {}\n{}", section.file, section.lines.trim_end());
    }
    if !report.notes.is_empty() {
        text.push('\n');
    }
    for note in &report.notes {
        let _ = writeln!(text, "# - {note}");
    }
    text
}
