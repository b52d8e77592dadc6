//! What is wrong with a file, said so that somebody can mend it.

use std::{fmt, path::PathBuf};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is served all the same.
    Warning,
    /// It is not served. What was served in its place before goes on.
    Error,
}

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file or folder.
    pub file: PathBuf,
    /// What is wrong, and what to do about it.
    pub text: String,
}

impl Finding {
    /// It is not served.
    pub fn error(file: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, file: file.into(), text: text.into() }
    }

    /// It is served all the same.
    pub fn warning(file: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, file: file.into(), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.text)
    }
}
