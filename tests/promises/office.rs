//! A front that has its certificates from an authority of the test's own, and what it keeps.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::CertificateParams;
use serde_json::Value;

use crate::{
    authority::{Authority, Script},
    common::{
        ca::{Ca, Kind},
        commands::{Said, vestibule},
        folder::Folder,
        mailhost::{Host, Talk},
        tls::NAME,
    },
};

pub(crate) struct Office {
    pub(crate) ca: Ca,
    pub(crate) folder: Folder,
    host: Host,
    pub(crate) authority: Authority,
}

impl Office {
    pub(crate) fn new(script: Script) -> Self {
        let (ca, folder) = (Ca::new("Test"), Folder::new());
        let authority = Authority::start(&ca, script);
        ca.write_root(folder.path());
        Self { ca, folder, host: Host::polite(Talk::Imap), authority }
    }

    /// A certificate is there already. Where it is from is not known.
    pub(crate) fn plant(&self, change: impl FnOnce(&mut CertificateParams)) {
        let leaf = self.ca.leaf_with(&[NAME], Kind::Ecdsa, change);
        let text = format!("{}{}", leaf.key, leaf.fullchain());
        self.folder.write("state/acme/certificates/mail.example.org.ecdsa.pem", text);
    }

    pub(crate) fn config(&self, domains: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "hostname: {NAME}\nbackend: {}\nlog: json debug\nstate_dir: {folder}/state\nlisteners:\n  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: implicit }}\nacme:\n  directory: {}\n  trust: {folder}/root.pem\n  challenge: tls-alpn-01\n  domains: {domains}\n",
            self.host.backend.address,
            self.authority.directory()
        )
    }

    /// Runs `vestibule` on this configuration.
    pub(crate) fn command(&self, config: &str, arguments: &[&str]) -> Said {
        self.folder.write("command.yaml", config);
        vestibule(self.folder.path(), &[arguments, &["--config", "command.yaml"]].concat())
    }

    /// The file with the certificate that begins with this name, and its key.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("state/acme/certificates/{name}.ecdsa.pem"))
    }

    fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("state/acme/state/{name}.ecdsa.json"))
    }

    /// What is written down of it.
    pub(crate) fn told(&self, name: &str) -> Value {
        read(&self.state(name)).expect("a state")
    }

    /// What is written down of it, as soon as it is like that.
    pub(crate) fn told_when(&self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(told) = read(&self.state(name)).filter(&is_it) {
                return told;
            }
            std::thread::yield_now();
        }
    }

    /// What is written down of it becomes something else.
    pub(crate) fn tell(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut told = self.told(name);
        change(&mut told);
        fs::write(self.state(name), told.to_string()).expect("it can be written");
    }
}

fn read(file: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().cast_signed()
}
