//! The binary's commands, and openssl to check what they made.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

/// What a command said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |octets| String::from_utf8(octets).expect("text");
        let code = output.status.code().expect("it was not killed");
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// Standard output, of a command that ended with this code.
    #[track_caller]
    pub fn with(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.out
    }

    /// Standard error, of a command that failed.
    #[track_caller]
    pub fn failed(self) -> String {
        assert_eq!(self.code, 2, "{}{}", self.out, self.err);
        self.err
    }
}

/// Runs `vestibule` in this folder.
pub fn vestibule(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    let command = command.current_dir(folder).args(arguments).stdin(Stdio::null());
    Said::of(command.output().expect("the binary runs"))
}

/// Runs `vestibule check --backends --json` with this configuration: its exit code, and what it saw of each backend.
pub fn check_backends(config: &str) -> (i32, Vec<serde_json::Value>) {
    let folder = super::folder::Folder::new();
    folder.write("vestibule.yaml", config);
    let said = vestibule(folder.path(), &["check", "--backends", "--json", "vestibule.yaml"]);
    let report: serde_json::Value =
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}{}", said.out, said.err));
    (said.code, report[0]["backends"].as_array().expect("a list").clone())
}

/// Runs `openssl` in this folder. Everything that it says, if it is content.
#[track_caller]
pub fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    let command = command.current_dir(folder).args(arguments).stdin(Stdio::null());
    let said = Said::of(command.output().expect("openssl runs"));
    assert_eq!(said.code, 0, "openssl {arguments:?}: {}{}", said.out, said.err);
    said.out + &said.err
}

/// Runs a line of shell in this folder, for what goes through a pipe.
#[track_caller]
pub fn shell(folder: &Path, line: &str) -> String {
    let mut command = Command::new("bash");
    let command = command.current_dir(folder).args(["-o", "pipefail", "-c", line]);
    Said::of(command.output().expect("bash runs")).with(0)
}

/// The permissions of a file.
pub fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).expect("a file").permissions().mode() & 0o7777
}

/// All names in a folder, hidden ones included, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |e: std::io::Result<std::fs::DirEntry>| e.expect("an entry").file_name();
    let mut names: Vec<String> = entries.map(|e| name(e).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
