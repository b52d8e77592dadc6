//! What a reload changed, in words.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

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
        let (old, new, same) = differing(&old.certificates, &new.certificates);
        let mut changes = Self::default();
        if old.is_empty() && new.is_empty() {
            return changes;
        }
        // A name that has two certificates may have kept one of them.
        let same: HashSet<&str> = same.into_iter().map(Certificate::label).collect();
        let (old, new) = (by_name(old), by_name(new));
        let is_same = |old: &[&Certificate], new: &[&Certificate]| {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.is_same(new))
        };
        for (name, certificates) in &new {
            match old.get(name) {
                Some(before) if is_same(before, certificates) => {}
                None if !same.contains(name) => changes.added.push((*name).to_owned()),
                _ => changes.renewed.push((*name).to_owned()),
            }
        }
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            let list =
                if same.contains(name) { &mut changes.renewed } else { &mut changes.removed };
            list.push((*name).to_owned());
        }
        changes
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

type Certificates<'a> = Vec<&'a Certificate>;

/// Those that only one has, and those that both have: of ten thousand, nearly all.
fn differing<'a>(
    old: &'a [Arc<Certificate>],
    new: &'a [Arc<Certificate>],
) -> (Certificates<'a>, Certificates<'a>, Certificates<'a>) {
    if old.len() == new.len() && old.iter().zip(new).all(|(old, new)| Arc::ptr_eq(old, new)) {
        return (Vec::new(), Vec::new(), Vec::new());
    }
    let places = |all: &[Arc<Certificate>]| all.iter().map(Arc::as_ptr).collect::<HashSet<_>>();
    let (in_old, in_new) = (places(old), places(new));
    let (same, only_new): (Vec<_>, _) =
        new.iter().map(AsRef::as_ref).partition(|c| in_old.contains(&std::ptr::from_ref(*c)));
    let only_old =
        old.iter().map(AsRef::as_ref).filter(|c| !in_new.contains(&std::ptr::from_ref(*c)));
    (only_old.collect(), only_new, same)
}

fn by_name(certificates: Certificates<'_>) -> BTreeMap<&str, Certificates<'_>> {
    let mut names: BTreeMap<&str, Certificates<'_>> = BTreeMap::new();
    for certificate in certificates {
        names.entry(certificate.label()).or_default().push(certificate);
    }
    names
}

/// Names for a log line.
pub(super) fn told(names: &[String]) -> String {
    let shown = names.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > TOLD { format!("{shown} and {} more", names.len() - TOLD) } else { shown }
}
