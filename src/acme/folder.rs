//! What is kept, and where: all that is written here is whole or not there at all.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::Trouble;
use crate::{
    certs,
    values::{Acme, OrderedKey},
};

/// The folder of all that comes from authorities.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// How long somebody is waited for who is at the same certificate.
const TRIES: u32 = 20;
const TRY: Duration = Duration::from_millis(50);

/// The end of the names of files about DNS.
const PUBLISHED: &str = ".dns.json";

/// One certificate that is wanted: some names, and a kind of key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Item {
    /// What its files are called.
    pub id: String,
    /// Its names.
    pub names: Vec<String>,
    /// Whether it has an RSA key.
    rsa: bool,
}

impl Item {
    /// All that are wanted.
    #[must_use]
    pub fn all(settings: &Acme) -> Vec<Self> {
        let mut items = Vec::new();
        for names in &settings.domains {
            let Some(first) = names.first() else { continue };
            for key in &settings.keys {
                // Names are host names here, or addresses; none of them leads out of the folder.
                let first = first.replacen('*', "_wildcard", 1).replace(':', "-");
                let id = format!("{first}.{}", key.name());
                items.push(Self { id, names: names.clone(), rsa: *key == OrderedKey::Rsa2048 });
            }
        }
        items
    }

    /// One with an ECDSA key and these names.
    #[cfg(test)]
    pub(super) fn of(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Self { id: names.concat(), names, rsa: false }
    }

    /// The kind of its key.
    #[must_use]
    pub fn key(&self) -> OrderedKey {
        if self.rsa { OrderedKey::Rsa2048 } else { OrderedKey::Ecdsa }
    }
}

impl Folder {
    /// The folder of these settings.
    #[must_use]
    pub fn of(settings: &Acme) -> Self {
        Self(settings.folder.clone())
    }

    /// Makes what is missing of it, for nobody else.
    pub(super) fn make(&self) -> Result<(), Trouble> {
        for name in ["certificates", "state", "accounts"] {
            let path = self.0.join(name);
            certs::create_folder(&path).map_err(failed(&path))?;
        }
        Ok(())
    }

    /// Where certificate and key lie, in one file.
    #[must_use]
    pub fn certificate(&self, item: &Item) -> PathBuf {
        self.0.join("certificates").join(format!("{}.pem", item.id))
    }

    /// Where the key of the next one lies.
    #[must_use]
    pub fn next_key(&self, item: &Item) -> PathBuf {
        self.0.join("certificates").join(format!("{}.next.key", item.id))
    }

    /// Where it is written how far it has come.
    #[must_use]
    pub fn state(&self, item: &Item) -> PathBuf {
        self.0.join("state").join(format!("{}.json", item.id))
    }

    /// Where it is written what is in DNS for the certificate with this id.
    pub(super) fn published(&self, id: &str) -> PathBuf {
        self.0.join("state").join(format!("{id}{PUBLISHED}"))
    }

    /// The ids of those for which something is.
    pub(super) fn with_published(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("state")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| Some(name.strip_suffix(PUBLISHED)?.to_owned())).collect()
    }

    /// Where the account with the authority at this address is kept.
    #[must_use]
    pub fn account(&self, directory: &str) -> PathBuf {
        let address = directory.strip_prefix("https://").unwrap_or(directory);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let name: String = address.chars().map(plain).collect();
        self.0.join("accounts").join(name.trim_matches(['.', '-']))
    }

    /// The socket on which the front takes answers to challenges.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.join("answers.sock")
    }

    /// The certificates that are there of those that are wanted.
    #[must_use]
    pub fn certificates(settings: &Acme) -> Vec<PathBuf> {
        let folder = Self::of(settings);
        let files = Item::all(settings).into_iter().map(|item| folder.certificate(&item));
        files.filter(|file| file.exists()).collect()
    }

    /// Whoever works on this certificate holds this. `None`: somebody else does.
    pub(super) fn lock(&self, item: &Item) -> Result<Option<File>, Trouble> {
        self.lock_id(&item.id)
    }

    pub(super) fn lock_id(&self, id: &str) -> Result<Option<File>, Trouble> {
        let path = self.0.join("state").join(format!("{id}.lock"));
        match certs::create(&path, "") {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&path)(e)),
            _ => {}
        }
        let file = OpenOptions::new().write(true).open(&path).map_err(failed(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(e) => Err(failed(&path)(e.into())),
        }
    }

    /// The same, and somebody who only writes something down is waited for.
    pub(super) async fn lock_soon(&self, item: &Item) -> Result<Option<File>, Trouble> {
        for _ in 0..TRIES {
            if let Some(lock) = self.lock(item)? {
                return Ok(Some(lock));
            }
            tokio::time::sleep(TRY).await;
        }
        self.lock(item)
    }

    /// Removes what a process that was cut off has left half-written: there may be a key in it. Only
    /// for the one who begins: it need not see the processes of others.
    pub(super) fn sweep(&self) {
        let accounts = fs::read_dir(self.0.join("accounts")).into_iter().flatten().flatten();
        let accounts = accounts.map(|entry| entry.path());
        for folder in accounts.chain(["certificates", "state"].map(|name| self.0.join(name))) {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(rest) = name.to_str().and_then(|n| n.strip_prefix(".vestibule-")) else {
                    continue;
                };
                let process = rest.trim_start_matches("import-").split('-').next().unwrap_or("");
                if !Path::new("/proc").join(process).exists() {
                    let path = entry.path();
                    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                }
            }
        }
    }
}

/// Writes a file for nobody else, in the place of the one that may be there.
pub(super) fn put(path: &Path, text: &str) -> Result<(), Trouble> {
    let written = match certs::create(path, text) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => certs::replace(path, text),
        other => other,
    };
    written.map_err(failed(path))
}

/// Removes a file that may be there.
pub(super) fn remove(path: &Path) -> Result<(), Trouble> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed(path)(e)),
        _ => Ok(()),
    }
}

pub(super) fn failed(path: &Path) -> impl Fn(io::Error) -> Trouble {
    move |e| Trouble::ours(format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_folder_of_its_own_for_each_authority() {
        let folder = Folder("/state".into());
        let name = |address| folder.account(address).to_string_lossy().into_owned();
        assert_eq!(
            name("https://acme-v02.api.letsencrypt.org/directory"),
            "/state/accounts/acme-v02.api.letsencrypt.org-directory"
        );
        assert_eq!(
            name("https://[::1]:14000/dir"),
            "/state/accounts/--1--14000-dir".replace("--1--", "1--")
        );
        assert_eq!(name("https://../../etc"), "/state/accounts/etc");
    }
}
