//! A certificate that is there.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustls::pki_types::CertificateDer;

use super::report::moment;
use crate::certs::{self, Certificate};

/// So much later than now, in seconds, a certificate may become valid: this machine's clock may be slow,
/// and its clients' clocks right.
const SLOW: i64 = 10 * 60;

/// What tells a file from another that took its place.
pub(super) type Stamp = Option<(u64, i64, i64, u64)>;

pub(super) fn stamp(file: &Path) -> Stamp {
    let meta = fs::metadata(file).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
}

/// A certificate that is there.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) leaf: CertificateDer<'static>,
    /// Its names, and its addresses (RFC 8738).
    pub(super) names: Vec<String>,
    pub(super) valid: (i64, i64),
    /// Whether its issuers' certificates are there, as far as clients need them.
    pub(super) is_whole: bool,
}

impl Held {
    /// The certificate in this file. `None`: there is none that could be served.
    pub(super) fn read(file: &Path) -> Option<Self> {
        if !file.exists() {
            return None;
        }
        let store = certs::load_alone(file);
        Some(Self::of(store.certificates.first()?))
    }

    pub(super) fn of(certificate: &Certificate) -> Self {
        Self {
            leaf: certificate.leaf().clone(),
            names: certificate.identifiers(),
            valid: certificate.valid(),
            is_whole: certificate.is_complete(),
        }
    }

    /// Why it must not be served for these names, in place of another that may be there. `None`: it may.
    pub(super) fn unfit(&self, names: &[String], old: Option<&Self>, now: i64) -> Option<String> {
        let (from, to) = self.valid;
        let when = if to <= now {
            Some(format!("has expired, on {}", moment(to)))
        } else {
            (from > now + SLOW).then(|| format!("is not valid before {}", moment(from)))
        };
        if let Some(when) = when {
            return Some(format!(
                "{when}: is this machine's clock right, which says {}?",
                moment(now)
            ));
        }
        if let Some(name) = names.iter().find(|name| !self.names.contains(name)) {
            return Some(format!("does not cover {name}"));
        }
        let is_step_back =
            !self.is_whole && old.is_some_and(|old| old.is_whole && old.valid.1 > now);
        is_step_back
            .then(|| "comes without its issuer's certificate, which clients need".to_owned())
    }

    /// A number that is its own: the last octet of its signature.
    pub(super) fn share(&self) -> u8 {
        self.leaf.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_good_now_takes_the_place_of_another() {
        let names = ["a.example".to_owned()];
        let new = |from, to, is_whole| Held {
            leaf: vec![0].into(),
            names: names.to_vec(),
            valid: (from, to),
            is_whole,
        };
        let good = new(0, 100_000, true);
        let unfit = |new: &Held, now| new.unfit(&names, Some(&good), now).unwrap_or_default();
        assert_eq!(unfit(&new(0, 90_000, true), 5), "");
        let expired = unfit(&new(0, 60, true), 60);
        assert!(expired.starts_with("has expired, on 1970-01-01 00:01 UTC: is this"), "{expired}");
        assert_eq!(unfit(&new(600, 90_000, true), 0), "", "the clock may be slow");
        let early = unfit(&new(660, 90_000, true), 0);
        assert!(early.starts_with("is not valid before 1970-01-01 00:11 UTC: is this"), "{early}");
        assert!(unfit(&new(0, 90_000, false), 5).contains("without its issuer's"));
        assert_eq!(new(0, 90_000, false).unfit(&names, None, 5), None, "it is better than none");
        assert_eq!(unfit(&new(0, 200_000, false), 100_000), "", "what is there has expired");
        let other = good.unfit(&["b.example".to_owned()], None, 5);
        assert_eq!(other.as_deref(), Some("does not cover b.example"));
    }
}
