//! Lines of a zone file.

use std::fmt::Write;

use serde::Serialize;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "line", rename_all = "lowercase")]
pub(super) enum Line {
    /// A record that follows from what is served.
    Record(Record),
    /// A record in which something is missing that only its owner knows. It is commented out.
    Template(Record),
    /// Words.
    Note {
        /// Without the semicolon.
        text: String,
    },
}

/// A record, with the reason for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    /// Its name, with the dot at the end.
    owner: String,
    #[serde(rename = "type")]
    kind: &'static str,
    data: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

impl Record {
    pub(super) fn new(
        owner: impl Into<String>,
        kind: &'static str,
        data: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { owner: owner.into(), kind, data: data.into(), note: note.into() }
    }

    fn write(&self, ttl: Option<u32>, lines: &mut String) {
        let Self { owner, kind, data, note } = self;
        let ttl = ttl.map_or(String::new(), |ttl| format!("{ttl} "));
        let note = if note.is_empty() { String::new() } else { format!("  ; {note}") };
        let _ = writeln!(lines, "{owner} {ttl}IN {kind} {data}{note}");
    }
}

impl Line {
    pub(super) fn note(text: impl Into<String>) -> Self {
        Self::Note { text: text.into() }
    }

    pub(super) fn write(&self, ttl: Option<u32>, lines: &mut String) {
        match self {
            Self::Record(record) => record.write(ttl, lines),
            Self::Template(record) => {
                lines.push_str("; ");
                record.write(ttl, lines);
            }
            Self::Note { text } => {
                let _ = writeln!(lines, "; {text}");
            }
        }
    }
}

/// Text in a TXT or CAA record.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
