//! How far each certificate has come. The front writes it, and everybody reads it.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    Folder, Item, Kind, Trouble,
    folder::{failed, put},
    schedule,
};
use crate::values::Acme;

/// What is known of one certificate that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// How far it is.
    pub phase: Phase,
    /// Its names.
    pub names: Vec<String>,
    /// From where it is ordered.
    #[serde(flatten)]
    pub source: Source,
    /// From where the certificate is that is there; nothing, if that is not known.
    pub held_from: Option<Source>,
    /// The order that is under way.
    pub order: Option<String>,
    /// How often it has failed since it last succeeded.
    pub failures: u32,
    /// Why it has failed, in the authority's own words where it has any; or what is odd about it.
    pub reason: Option<String>,
    /// When it has failed, in seconds since 1970.
    pub failed_at: Option<i64>,
    /// How many have come in a row that were to be renewed at once.
    pub early: u32,
    /// Before then, there is no other attempt, and no other certificate.
    pub next: Option<i64>,
    /// Whether the authority has said when it wants to hear from us again.
    pub limited: bool,
    /// Whether the certificate that is there was revoked. It is served until another takes its place, and
    /// its key must not be used again.
    pub revoked: bool,
    /// When it is renewed.
    pub renew: Option<i64>,
    /// Whether that is how the authority wants it (RFC 9773).
    pub advised: bool,
    /// When the authority is asked again.
    pub ask: Option<i64>,
}

/// From where a certificate comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The authority's directory.
    pub directory: String,
    /// Which of the certificates that it offers; nothing: the usual one.
    pub profile: Option<String>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It has not been ordered yet.
    #[default]
    Waiting,
    /// It is being ordered.
    Ordered,
    /// It is there.
    Fine,
    /// It has failed.
    Failed,
    /// It was revoked, and no other is ordered before somebody says so.
    Revoked,
}

/// The largest that is read.
const LARGEST: u64 = 256 << 10;

/// The longest reason that is kept, in characters.
const REASON: usize = 4000;

impl Source {
    pub(super) fn of(settings: &Acme) -> Self {
        Self { directory: settings.directory.clone(), profile: settings.profile.clone() }
    }
}

impl Entry {
    /// What is known of it; nothing, if nothing can be read.
    #[must_use]
    pub fn read(folder: &Folder, item: &Item) -> Self {
        let path = folder.state(item);
        let is_small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= LARGEST);
        let text = if is_small { fs::read(&path).ok() } else { None };
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    pub(super) fn write(&self, folder: &Folder, item: &Item) -> Result<(), Trouble> {
        let path = folder.state(item);
        let invalid = |e: serde_json::Error| failed(Path::new(&path))(e.into());
        put(&path, &serde_json::to_string_pretty(self).map_err(invalid)?)
    }

    /// What of it goes for these names from there.
    pub(super) fn about(self, item: &Item, source: &Source) -> Self {
        if self.is_about(item, source) {
            return self;
        }
        Self {
            names: item.names.clone(),
            source: source.clone(),
            held_from: self.held_from,
            revoked: self.revoked,
            ..Self::default()
        }
    }

    /// Whether it is about these names from there.
    pub(super) fn is_about(&self, item: &Item, source: &Source) -> bool {
        self.names == item.names && self.source == *source
    }

    /// It has come now, and is valid from then to then.
    pub(super) fn come(&mut self, valid: (i64, i64), now: i64) {
        *self = Self {
            phase: Phase::Fine,
            names: std::mem::take(&mut self.names),
            source: self.source.clone(),
            held_from: Some(self.source.clone()),
            early: self.early,
            next: Some(now + schedule::rest(valid)),
            ..Self::default()
        };
    }

    /// It is to be renewed, and has only just come. With each one that is like that, the next is put off
    /// further.
    pub(super) fn too_early(&mut self, trouble: &Trouble, now: i64) {
        self.early = self.early.saturating_add(1);
        self.reason = Some(trouble.text.clone());
        self.next = Some(now + schedule::back_off(trouble, self.early));
    }

    /// It has failed now.
    pub(super) fn fail(&mut self, trouble: &Trouble, now: i64) {
        self.phase = Phase::Failed;
        self.failures = self.failures.saturating_add(1);
        self.reason = Some(trouble.text.chars().take(REASON).collect());
        self.failed_at = Some(now);
        self.limited = trouble.kind == Kind::Limited || trouble.after.is_some();
        self.next = Some(now + schedule::back_off(trouble, self.failures));
        if matches!(trouble.kind, Kind::Refused | Kind::Useless) {
            // The next attempt has to be a new order.
            self.order = None;
        }
    }
}
