//! What is in DNS because of an order, or may be. It is written down before the hook is called, so that
//! whoever comes after one that was cut off can take it back.

use std::{fs, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Folder, Trouble,
    folder::{failed, put, remove},
    hook,
};
use crate::values::{Acme, Challenge};

/// What orders for one certificate have published. Only who holds its lock may touch it.
pub(super) struct Published(PathBuf);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    name: String,
    text: String,
}

impl Published {
    /// What is written down for the certificate with this id.
    pub(super) fn of(folder: &Folder, id: &str) -> Self {
        Self(folder.published(id))
    }

    /// Has the hook publish this. If it fails, it may have done so all the same.
    pub(super) async fn present(
        &self,
        (program, patience): (&std::path::Path, Duration),
        name: &str,
        text: &str,
    ) -> Result<(), Trouble> {
        let mut records = self.read();
        let new = Record { name: name.to_owned(), text: text.to_owned() };
        if !records.contains(&new) {
            records.push(new);
            self.write(&records)?;
        }
        hook::run(program, patience, "present", name, text).await
    }

    /// Has the hook take everything back (RFC 8555 §8.4). It is asked once for each: one that cannot do
    /// it now would be asked again and again.
    pub(super) async fn withdraw(&self, how: &Challenge) {
        let mut records = self.read();
        while let Some(Record { name, text }) = records.first() {
            let done = match how {
                Challenge::Dns01 { hook, timeout } => {
                    hook::run(hook, *timeout, "cleanup", name, text).await
                }
                Challenge::Http01 | Challenge::TlsAlpn01 => Err(Trouble::ours(format!(
                    "{name}: the TXT record {text} may still be in DNS, and there is no `acme.hook` any more to take it back"
                ))),
            };
            records.remove(0);
            for trouble in [done.err(), self.write(&records).err()].into_iter().flatten() {
                tracing::warn!("{trouble}");
            }
        }
    }

    fn read(&self) -> Vec<Record> {
        let text = fs::read(&self.0).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    fn write(&self, records: &[Record]) -> Result<(), Trouble> {
        if records.is_empty() {
            return remove(&self.0);
        }
        let invalid = |e: serde_json::Error| failed(&self.0)(e.into());
        put(&self.0, &serde_json::to_string_pretty(records).map_err(invalid)?)
    }
}

/// Takes back what those have left in DNS that were cut off. What somebody works at is left to them.
pub async fn withdraw_all(settings: &Acme) {
    let folder = Folder::of(settings);
    for id in folder.with_published() {
        if let Ok(Some(_lock)) = folder.lock_id(&id) {
            Published::of(&folder, &id).withdraw(&settings.challenge).await;
        }
    }
}
