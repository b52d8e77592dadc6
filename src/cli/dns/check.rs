//! `vestibule dns --check-tlsa`: what is published, beside what is served.

use std::{collections::BTreeMap, fmt::Write, path::Path, process::ExitCode};

use serde::Serialize;

use super::served::Served;
use crate::{
    certs::{
        Certificate, Code, Finding, Severity,
        tlsa::{self, Record, Service},
    },
    cli::report,
};

/// What was found.
#[derive(Serialize)]
struct Report {
    records: Vec<Row>,
    findings: Vec<Finding>,
}

/// A record, and what it agrees with.
#[derive(Serialize)]
struct Row {
    /// Where it begins in the file.
    line: usize,
    record: String,
    /// The files of the certificates.
    matches: Vec<String>,
}

pub(super) fn check(
    served: &Served<'_>,
    file: &Path,
    findings: Vec<Finding>,
    json: bool,
) -> Result<ExitCode, String> {
    let zone = tlsa::read_zone(file)?;
    let mut report = Report { records: Vec::new(), findings };
    report.findings.extend(served.findings.iter().cloned());
    for (line, why) in zone.mistakes {
        report.findings.push(Finding::new(Code::Damaged, file, format!("line {line}: {why}")));
    }
    if zone.records.is_empty() {
        report.findings.push(Finding::new(Code::NothingThere, file, "it holds no TLSA record"));
    }
    let mut services: BTreeMap<Service, Vec<(usize, Record)>> = BTreeMap::new();
    for (line, record) in zone.records {
        services.entry(record.service.clone()).or_default().push((line, record));
    }
    for (service, records) in &services {
        report.compare(served, file, service, records);
    }
    report.records.sort_by_key(|row| row.line);

    let mut lines = String::new();
    let width = report.records.iter().map(|row| row.record.len()).max().unwrap_or_default();
    for row in &report.records {
        let Row { line, record, matches } = row;
        let matches = if matches.is_empty() { "nothing".to_owned() } else { matches.join(", ") };
        let _ = writeln!(lines, "{line:>5}  {record:<width$}  {matches}");
    }
    for finding in &report.findings {
        let _ = writeln!(lines, "{}: {finding}", finding.severity);
    }
    let worst = report.findings.iter().map(|f| f.severity).max();
    report::print(json, &report, &lines).map_err(|e| e.to_string())?;
    Ok(report::exit(worst))
}

impl Report {
    fn compare(
        &mut self,
        served: &Served<'_>,
        file: &Path,
        service: &Service,
        records: &[(usize, Record)],
    ) {
        let first = records.first().map_or(0, |(line, _)| *line);
        let certificates = served.certificates(&service.host);
        if certificates.is_empty() {
            let text = format!("line {first}: no certificate here covers {}", service.host);
            self.findings.push(Finding::new(Code::NameNotCovered, file, text));
        } else if served.doors.iter().all(|door| door.port != service.port) {
            let text = format!("line {first}: no mail is spoken with TLS on port {}", service.port);
            let finding = Finding::new(Code::TlsaMismatch, file, text);
            self.findings.push(Finding { severity: Severity::Warning, ..finding });
        }
        let all: Vec<Record> = records.iter().map(|(_, record)| record.clone()).collect();
        let is_contradicted = |certificate: &&&std::sync::Arc<Certificate>| {
            tlsa::is_contradicted(&all, &certificate.sent_chain())
        };
        let contradicted: Vec<_> = certificates.iter().filter(is_contradicted).collect();
        for certificate in &contradicted {
            let names = std::slice::from_ref(&service.host);
            let records: tlsa::Records = all.iter().cloned().collect();
            let why = records.uncovered(names, &certificate.sent_chain()).unwrap_or_default();
            self.findings.push(Finding::new(Code::TlsaMismatch, certificate.file(), why));
        }
        for (line, record) in records {
            let agrees = certificates.iter().filter(|c| record.matches(&c.sent_chain()));
            let mut matches: Vec<String> = agrees.map(|c| c.file().display().to_string()).collect();
            let nexts = certificates.iter().filter_map(|c| served.next(c));
            let of_next =
                nexts.filter(|next| record == &Record::of_key(service.clone(), &next.spki));
            matches.extend(of_next.map(|next| format!("{} (next)", next.file.display())));
            let usage = record.usage();
            let why = if !record.is_usable() {
                Some(format!(
                    "usage {usage} cannot be used for SMTP, and counts for nothing there (RFC 7672 §3.1.3)"
                ))
            } else if matches.is_empty() && contradicted.is_empty() && !certificates.is_empty() {
                Some(format!(
                    "it agrees with nothing that is served at {service} (is it of an old key, or of a next one that does not lie beside its certificate?)"
                ))
            } else {
                None
            };
            if let Some(why) = why {
                let finding = Finding::new(Code::TlsaMismatch, file, format!("line {line}: {why}"));
                self.findings.push(Finding { severity: Severity::Warning, ..finding });
            }
            self.records.push(Row { line: *line, record: record.to_string(), matches });
        }
    }
}
