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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_adds_to_what_the_configuration_says() {
        let file = std::env::temp_dir().join(format!("vestibule-dane-{}", std::process::id()));
        let line = |port, digit: &str| {
            format!("_{port}._tcp.a.example. IN TLSA 3 1 1 {}", digit.repeat(64))
        };
        let stated: Record = line(25, "a").parse().unwrap();
        let dane = Dane { records: [stated].into_iter().collect(), file: Some(file.clone()) };
        std::fs::write(&file, format!("{}\n{}\n", line(25, "b"), line(993, "c"))).unwrap();
        let read = dane.read().unwrap();
        let counts: Vec<(u16, usize)> = read.iter().map(|(s, r)| (s.port, r.len())).collect();
        assert_eq!(counts, [(25, 2), (993, 1)]);
        std::fs::write(&file, format!("{}\n_25._tcp.a.example. TLSA 3 1 1 00\n", line(25, "b")))
            .unwrap();
        let said = dane.read().unwrap_err();
        assert!(said.len() == 1 && said[0].contains(":2: the digest is 1 octet"), "{said:?}");
        std::fs::remove_file(&file).unwrap();
        assert!(dane.read().unwrap_err()[0].contains("cannot be read"));
    }
}
