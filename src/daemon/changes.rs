//! What a reload changed, in words.

use std::collections::BTreeMap;

use crate::certs::{Certificate, Store};

/// The certificates that a reload added, renewed and removed, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub added: Vec<String>,
    pub renewed: Vec<String>,
    pub removed: Vec<String>,
}

/// So many names are told; with ten thousand, the number is more useful.
const TOLD: usize = 10;

impl Changes {
    pub(super) fn between(old: &Store, new: &Store) -> Self {
        let (old, new) = (by_name(old), by_name(new));
        let is_same = |old: &[&Certificate], new: &[&Certificate]| {
            old.len() == new.len()
                && old
                    .iter()
                    .zip(new)
                    .all(|(old, new)| std::ptr::eq(*old, *new) || old.is_same(new))
        };
        let mut changes = Self::default();
        for (name, certificates) in &new {
            match old.get(name) {
                None => changes.added.push((*name).to_owned()),
                Some(before) if !is_same(before, certificates) => {
                    changes.renewed.push((*name).to_owned());
                }
                Some(_) => {}
            }
        }
        changes.removed = old
            .keys()
            .filter(|name| !new.contains_key(*name))
            .map(|name| (*name).to_owned())
            .collect();
        changes
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn by_name(store: &Store) -> BTreeMap<&str, Vec<&Certificate>> {
    let mut names: BTreeMap<&str, Vec<&Certificate>> = BTreeMap::new();
    for certificate in &store.certificates {
        names.entry(certificate.label()).or_default().push(certificate);
    }
    names
}

/// Names for a log line.
pub(super) fn told(names: &[String]) -> String {
    let shown = names.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > TOLD { format!("{shown} and {} more", names.len() - TOLD) } else { shown }
}
