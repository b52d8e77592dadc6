//! `dane`: what has been published about our certificates.

use std::path::PathBuf;

use super::section::Section;
use crate::certs::tlsa::{self, Record, Records};

/// TLSA records that have been published. A certificate that none of them agrees with is not served
/// at a name that has some: mail servers that use DANE would turn away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dane {
    /// Those in the configuration itself.
    pub records: Records,
    /// A zone file with more of them.
    pub file: Option<PathBuf>,
}

impl Dane {
    /// All records, those of the file included. Blocks. The errors name file and line.
    pub fn read(&self) -> Result<Records, Vec<String>> {
        let mut records = self.records.clone();
        let Some(file) = &self.file else { return Ok(records) };
        let zone = tlsa::read_zone(file).map_err(|why| vec![why])?;
        if !zone.mistakes.is_empty() {
            let mistakes = zone.mistakes.iter();
            return Err(mistakes
                .map(|(n, why)| format!("{}:{n}: {why}", file.display()))
                .collect());
        }
        records.extend(zone.records.into_iter().map(|(_, record)| record));
        Ok(records)
    }
}

pub(super) fn dane(top: &mut Section<'_>) -> Dane {
    let Some(mut section) = top.section("dane") else { return Dane::default() };
    let records: Vec<Record> = section.list("records").unwrap_or_default();
    let file = super::check::path(&mut section, "file");
    section.finish();
    Dane { records: records.into_iter().collect(), file }
}
