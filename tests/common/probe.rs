//! `vestibule probe`, run as people run it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// What it said.
#[derive(Debug)]
pub struct Probe {
    pub exit: i32,
    pub report: Value,
}

/// Runs `vestibule probe --json` with these arguments. This machine trusts nobody, or this root.
pub fn probe(machine: Option<&Path>, arguments: &[&str]) -> Probe {
    let (exit, text) = say(machine, &[&["--json"], arguments].concat());
    let report = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    Probe { exit, report }
}

/// The same, for people: what it printed, and the exit status.
pub fn say(machine: Option<&Path>, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .arg("probe")
        .args(arguments)
        .env("SSL_CERT_FILE", machine.unwrap_or(Path::new("/dev/null")))
        .env_remove("SSL_CERT_DIR")
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit status"), String::from_utf8(text).expect("text"))
}

impl Probe {
    /// What was found: severity, phase, code and text, in the order of the report.
    pub fn findings(&self) -> Vec<(&str, &str, Option<&str>, &str)> {
        let findings = self.report["findings"].as_array().expect("a list");
        let text = |finding: &'_ Value, key: &str| finding[key].as_str().map(str::to_owned);
        assert!(findings.iter().all(|f| text(f, "text").is_some()), "{findings:?}");
        findings
            .iter()
            .map(|f| {
                let word = |key: &str| f[key].as_str();
                (
                    word("severity").unwrap(),
                    word("phase").unwrap(),
                    word("code"),
                    word("text").unwrap(),
                )
            })
            .collect()
    }

    /// The only finding of this severity, which must hold these words; the exit status fits it.
    #[track_caller]
    pub fn finds(&self, severity: &str, phase: &str, code: Option<&str>, words: &[&str]) {
        let found = self.findings();
        let of_it: Vec<_> = found.iter().filter(|(s, ..)| *s == severity).collect();
        assert!(
            of_it.iter().any(|(_, p, c, text)| {
                *p == phase && *c == code && words.iter().all(|word| text.contains(word))
            }),
            "{severity} {phase} {code:?} {words:?} is not in {found:#?}"
        );
        let worst = match found.first().map(|(severity, ..)| *severity) {
            Some("error") => 2,
            Some("warning") => 1,
            _ => 0,
        };
        assert_eq!(self.exit, worst, "{found:#?}");
    }

    /// Nothing but notes was found.
    #[track_caller]
    pub fn is_fine(&self) {
        let found = self.findings();
        assert!(found.iter().all(|(severity, ..)| *severity == "note"), "{found:#?}");
        assert_eq!(self.exit, 0);
    }
}
