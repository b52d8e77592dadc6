//! The text → a configuration that makes sense, or all that does not.

use std::path::{Path, PathBuf};

use super::{
    Config, Level, Limits, Log, Problem, acme, backends, certificates, client_certificates, dane,
    listeners::{self, ForAll},
    section,
};
use crate::{
    config::section::Section,
    values::{Duration, Size, Timeouts},
};

pub(super) fn check(text: &str) -> Result<Config, Vec<Problem>> {
    let (mapping, notebook) = section::parse(text).map_err(|problem| vec![problem])?;
    let mut top = Section::new(String::new(), &mapping, &notebook);
    let mut warnings = Vec::new();

    let names = certificates::names(&mut top);
    let state_dir =
        path(&mut top, "state_dir").unwrap_or_else(|| PathBuf::from("/var/lib/vestibule"));
    let acme = acme::acme(&mut top, &state_dir);
    let certificates = paths(&mut top, "certificates").unwrap_or_default();
    let intermediates = paths(&mut top, "intermediates").unwrap_or_default();
    let default_certificate = top.take("default_certificate");
    let certificate_by_address = certificates::by_address(&mut top);
    let lint = certificates::lint(&mut top);
    let for_all = ForAll {
        client_certificates: client_certificates::rule_in(&mut top).flatten(),
        proxy_from: top.list("proxy_from").unwrap_or_default(),
    };
    let client_certificates_by_name = client_certificates::by_name(&mut top);
    let dane = dane::dane(&mut top);
    let backends = backends::backends(&mut top);
    let (listeners, routed) =
        listeners::listeners(&mut top, &backends, &for_all, &notebook, &mut warnings);
    if let Some(acme) = &acme {
        warnings.extend(acme::warning(acme, &listeners, &notebook));
    }
    let plaintext_from = top.list("plaintext_from").unwrap_or_default();
    let timeouts = timeouts(&mut top);
    let limits = limits(&mut top);
    let log = log(&mut top);
    top.finish();

    let problems = notebook.into_problems();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Config {
        hostname: names.hostname,
        aliases: names.aliases,
        state_dir,
        acme,
        certificates,
        intermediates,
        default_certificate,
        certificate_by_address,
        lint,
        wishes: names.wishes.into_iter().chain(routed).collect(),
        client_certificates_by_name,
        dane,
        plaintext_from,
        listeners,
        timeouts,
        limits,
        log,
        warnings,
    })
}

pub(super) fn path(top: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    let path: PathBuf = top.take(key)?;
    if path.is_relative() {
        top.note(key, relative(&path));
    }
    Some(path)
}

pub(super) fn paths(top: &mut Section<'_>, key: &'static str) -> Option<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = top.list(key)?;
    for (n, path) in paths.iter().enumerate().filter(|(_, p)| p.is_relative()) {
        top.note(&format!("{key}[{n}]"), relative(path));
    }
    Some(paths)
}

/// A daemon's working directory is nobody's business.
fn relative(path: &Path) -> String {
    format!("`{}` is relative: write the whole path, from / on", path.display())
}

fn timeouts(top: &mut Section<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let Some(mut section) = top.section("timeouts") else { return timeouts };
    for (key, timeout) in [
        ("proxy", &mut timeouts.proxy),
        ("handshake", &mut timeouts.handshake),
        ("connect", &mut timeouts.connect),
        ("greeting", &mut timeouts.greeting),
        ("pre_login", &mut timeouts.pre_login),
        ("smtp_command", &mut timeouts.smtp_command),
        ("http_idle", &mut timeouts.http_idle),
        ("http_body", &mut timeouts.http_body),
        ("http_response", &mut timeouts.http_response),
        ("idle", &mut timeouts.idle),
        ("closing", &mut timeouts.closing),
        ("drain", &mut timeouts.drain),
        ("probe", &mut timeouts.probe),
    ] {
        if let Some(Duration(duration)) = section.take(key) {
            *timeout = duration;
        }
    }
    section.finish();
    timeouts
}

/// RFC 5321 §4.5.3.1.6 wants lines of 1,000 octets; the session reads at most 32 KiB at once, and
/// keeps a frame for each of two sides.
const LINE: std::ops::RangeInclusive<usize> = 1 << 10..=1 << 20;

/// More than any machine has descriptors for.
const MOST_CONNECTIONS: usize = 10_000_000;

fn limits(top: &mut Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut section) = top.section("limits") else { return limits };
    for (key, limit) in [
        ("connections", &mut limits.connections),
        ("pre_login_per_address", &mut limits.pre_login_per_address),
    ] {
        if let Some(number) = section.take(key) {
            *limit = number;
            if number == 0 {
                section.note(key, "with 0, nobody could connect");
            } else if number > MOST_CONNECTIONS {
                section.note(key, format!("{number} is out of range: up to {MOST_CONNECTIONS}"));
            }
        }
    }
    if let Some(Size(line)) = section.take("line") {
        limits.line = line;
        if !LINE.contains(&line) {
            section.note("line", format!("{} is out of range: from 1KiB to 1MiB", Size(line)));
        }
    }
    section.finish();
    limits
}

fn log(top: &mut Section<'_>) -> Log {
    let mut log = Log::default();
    let words: String = top.take("log").unwrap_or_default();
    for word in words.split_whitespace() {
        match word {
            "text" => log.json = false,
            "json" => log.json = true,
            "error" => log.level = Level::Error,
            "warn" => log.level = Level::Warn,
            "info" => log.level = Level::Info,
            "debug" => log.level = Level::Debug,
            "trace" => log.level = Level::Trace,
            other => top.note("log", format!("`{other}` is neither a form (text, json) nor a level (error, warn, info, debug, trace)")),
        }
    }
    log
}
