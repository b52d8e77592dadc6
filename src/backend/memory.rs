//! What was learned of backends, kept on disk, so that a start need not wait for the first probe.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use super::Key;
use crate::protocol::Learned;

/// A folder with one small text file for each backend: the banner, then a capability a line.
#[derive(Clone, Debug)]
pub struct Memory {
    folder: PathBuf,
}

/// Several backends may be one file here, when they differ in what it is not named by.
static KEEPING: Mutex<()> = Mutex::new(());

/// More than any backend says of itself.
const LARGEST: u64 = 64 << 10;

impl Memory {
    /// Keeps its files in this folder, which is made when there is something to keep.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// What is remembered. Whatever cannot be read is simply not remembered: the probe will tell.
    #[must_use]
    pub fn recall(&self, key: &Key) -> Option<Learned> {
        let path = self.path(key);
        if fs::metadata(&path).ok()?.len() > LARGEST {
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        Some(Learned { banner: lines.next()?, capabilities: lines.collect() })
    }

    /// Keeps what was learned. The file is written beside its place and then moved there.
    pub fn keep(&self, key: &Key, learned: &Learned) -> std::io::Result<()> {
        let _alone = KEEPING.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(&self.folder)?;
        let path = self.path(key);
        let fresh = path.with_extension("new");
        let mut file = fs::File::create(&fresh)?;
        writeln!(file, "{}", learned.banner)?;
        for capability in &learned.capabilities {
            writeln!(file, "{capability}")?;
        }
        file.sync_all()?;
        fs::rename(fresh, path)
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = key.to_string();
        let safe =
            |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        self.folder.join(name.chars().map(safe).collect::<String>() + ".txt")
    }
}
