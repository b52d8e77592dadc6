//! `vestibule certs`

use std::{
    collections::HashMap,
    fmt::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use serde::Serialize;

use super::{CONFIG, report};
use crate::{
    acme,
    certs::{Certificate, Finding, Issuance, KeyKind, date, now},
    daemon::{self, Loaded, Purpose, Unfit},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn certs(arguments: &Arguments) -> ExitCode {
    match read(&arguments.config) {
        Ok(list) => match report::print(arguments.json, &list, &list.table()) {
            Ok(()) => report::exit(list.worst()),
            Err(error) => report::fail(error),
        },
        Err(unfit) => report::fail_as(arguments.json, unfit),
    }
}

/// All certificates that would be served, and what is wrong with them.
#[derive(Debug, Serialize)]
struct List {
    certificates: Vec<Entry>,
    /// What is wrong elsewhere.
    findings: Vec<Finding>,
}

/// One certificate.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    names: Vec<String>,
    kind: Issuance,
    /// How far its renewal is, if it comes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    acme: Option<acme::Entry>,
    /// Local addresses that it is bound to.
    addresses: Vec<IpAddr>,
    is_default: bool,
    key: String,
    key_kind: KeyKind,
    /// What is sent behind it, the nearest issuer first, and who issued the last of them.
    chain: Vec<String>,
    issuer: String,
    is_complete: bool,
    not_before: String,
    not_after: String,
    days_left: i64,
    file: PathBuf,
    findings: Vec<Finding>,
}

fn read(config: &Path) -> Result<List, Unfit> {
    let mut loaded = daemon::load(config, Purpose::Look)?;
    let late = loaded.store.prove();
    loaded.store.findings.extend(late);
    let mut findings = std::mem::take(&mut loaded.store.findings);
    let (mut by_file, mut order) = (HashMap::<PathBuf, Vec<Finding>>::new(), Vec::new());
    for finding in findings.drain(..) {
        let known = by_file.entry(finding.file.clone()).or_default();
        if known.is_empty() {
            order.push(finding.file.clone());
        }
        known.push(finding);
    }
    let mut own = |c: &Arc<Certificate>| by_file.remove(c.file()).unwrap_or_default();
    let certificates =
        loaded.store.certificates.iter().map(|c| Entry::of(c, &loaded, own(c))).collect();
    let findings = order.into_iter().filter_map(|file| by_file.remove(&file)).flatten().collect();
    Ok(List { certificates, findings })
}

impl Entry {
    /// A certificate, and what is wrong with its file.
    pub(super) fn of(
        certificate: &Arc<Certificate>,
        loaded: &Loaded,
        findings: Vec<Finding>,
    ) -> Self {
        let (from, to) = certificate.valid();
        let (chain, issuer) = certificate.path();
        Self {
            names: certificate.names().to_vec(),
            kind: certificate.issuance(),
            acme: renewal(loaded, certificate),
            addresses: loaded.set.bound(certificate).collect(),
            is_default: loaded.set.is_default(certificate),
            key: certificate.key(),
            key_kind: certificate.kind(),
            chain: chain.into_iter().map(str::to_owned).collect(),
            issuer: issuer.to_owned(),
            is_complete: certificate.is_complete(),
            not_before: date(from),
            not_after: date(to),
            days_left: (to - now()).div_euclid(24 * 60 * 60),
            file: certificate.file().to_owned(),
            findings,
        }
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn served(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let default = self.is_default.then(|| "default".to_owned());
        default.into_iter().chain(addresses).collect::<Vec<_>>().join(", ")
    }

    fn kind(&self) -> &'static str {
        match self.kind {
            _ if self.acme.is_some() => "ACME",
            Issuance::Authority => "CA",
            Issuance::PrivateAuthority => "private CA",
            Issuance::SelfSigned => "self-signed",
        }
    }

    /// The way up as it is sent, and what it ends at.
    pub(super) fn way(&self) -> String {
        if self.kind == Issuance::SelfSigned {
            return "it is its own issuer".to_owned();
        }
        let gap = if self.is_complete { "" } else { "(missing) " };
        let sent = self.chain.iter().map(|name| format!("{name} (sent)"));
        let end = format!("{gap}{}", self.issuer);
        sent.chain([end]).collect::<Vec<_>>().join(" < ")
    }
}

/// How far the renewal of this certificate is; `None`: it does not come by itself.
fn renewal(loaded: &Loaded, certificate: &Certificate) -> Option<acme::Entry> {
    let settings = loaded.config.acme.as_ref()?;
    let folder = acme::Folder::of(settings);
    let items = acme::Item::all(settings);
    let item = items.iter().find(|item| folder.certificate(item) == certificate.file())?;
    Some(acme::Entry::read(&folder, item))
}

impl List {
    fn worst(&self) -> Option<crate::certs::Severity> {
        let own = self.certificates.iter().flat_map(|c| &c.findings);
        own.chain(&self.findings).map(|finding| finding.severity).max()
    }

    fn table(&self) -> String {
        let head = ["NAMES", "KIND", "KEY", "EXPIRES", "SERVED FOR"].map(str::to_owned);
        let rows: Vec<[String; 5]> = self.certificates.iter().map(row).collect();
        let width = |n: usize| rows.iter().chain([&head]).map(|r| r[n].len()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        let mut text = String::new();
        let line = |text: &mut String, row: &[String; 5]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            // Nothing can fail that is written to memory, here and below.
            let _ = writeln!(text, "{}", line.trim_end());
        };
        line(&mut text, &head);
        for (entry, row) in self.certificates.iter().zip(&rows) {
            line(&mut text, row);
            let _ = writeln!(text, "    {}", entry.file.display());
            let _ = writeln!(text, "    {}", entry.way());
            for finding in &entry.findings {
                let _ =
                    writeln!(text, "    {}: {}: {}", finding.severity, finding.code, finding.text);
            }
        }
        for finding in &self.findings {
            let _ = writeln!(text, "{}: {finding}", finding.severity);
        }
        text
    }
}

/// So many names are shown of a certificate.
const SHOWN: usize = 3;

fn row(entry: &Entry) -> [String; 5] {
    let mut names = entry.names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if entry.names.len() > SHOWN {
        let _ = write!(names, " (+{})", entry.names.len() - SHOWN);
    }
    if names.is_empty() {
        names.push_str("(no name)");
    }
    let expires = match entry.days_left {
        1 => format!("{} (1 day)", entry.not_after),
        days => format!("{} ({days} days)", entry.not_after),
    };
    [names, entry.kind().to_owned(), entry.key.clone(), expires, entry.served()]
}
