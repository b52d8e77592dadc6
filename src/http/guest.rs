//! A client, and what it has had so far.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;

use super::{Shelf, Switched, Web, streams::Progress, told::Told};
use crate::{
    certs::{Certificate, Challenges},
    identity::Facts,
    tls,
    values::Target,
};

/// A client whose connection speaks HTTP from now on.
#[derive(Debug)]
pub struct Guest {
    /// All that is known of it.
    pub facts: Facts,
    /// Whether its TLS ends here, and not with the front that brought it.
    pub ends_tls: bool,
    /// The certificate that it has shown itself.
    pub der: Option<Vec<u8>>,
    /// The certificate that it was shown.
    pub shown: Option<Weak<Certificate>>,
    /// What its listener goes by.
    pub web: Arc<Web>,
    /// The certificates of each moment.
    pub tls: Arc<ArcSwap<tls::Server>>,
    /// Answers to certificate authorities.
    pub challenges: Arc<Challenges>,
    /// Connections to backends that all clients share.
    pub shelf: Arc<Shelf>,
    /// What it has had.
    pub had: Had,
}

/// What a client has had.
#[derive(Debug, Default)]
pub struct Had {
    /// Connections to backends that are its own.
    pub(super) own: Arc<Shelf>,
    /// Put away while it asks for nothing.
    told: Mutex<Option<Arc<Told>>>,
    pub(super) octets: [AtomicU64; 2],
    pub(super) requests: AtomicU64,
    /// Nothing is on its way to it, and nothing has come from it: only looked at with HTTP/1.
    pub(super) is_quiet: AtomicBool,
    /// It logs in to connections: those that it has are nobody else's.
    pub(super) logs_in: AtomicBool,
    /// Requests whose answers are not at their end.
    pub(super) open: AtomicUsize,
    last: Mutex<Option<Target>>,
    /// A backend that has switched protocols, and waits for the client's connection to be free.
    pub(super) switched: Mutex<Option<Box<Switched>>>,
}

/// What a client had, in the end.
#[derive(Debug, Default)]
pub struct Share {
    /// How many requests it sent.
    pub requests: u64,
    /// Octets from it, and to it.
    pub octets: [u64; 2],
    /// The backend that its last request went to.
    pub last: Option<Target>,
}

impl Guest {
    /// What it has had so far.
    pub fn share(&self) -> Share {
        let [up, down] = &self.had.octets;
        Share {
            requests: self.had.requests.load(Ordering::Relaxed),
            octets: [up, down].map(|octets| octets.load(Ordering::Relaxed)),
            last: self.had.last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// What backends are told of it.
    pub(super) fn told(&self) -> Arc<Told> {
        let mut told = self.had.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.get_or_insert_with(|| Arc::new(Told::of(self))).clone()
    }

    /// It asks for nothing: what can be had again is not kept.
    pub(super) fn rest(&self) {
        *self.had.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A request goes there.
    pub(super) fn goes_to(&self, target: &Target) {
        let mut last = self.had.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(target) {
            *last = Some(target.clone());
        }
    }

    /// Leaves a backend that has switched protocols for when the client's connection is free.
    pub(super) fn switch(&self, switched: Switched) {
        let mut place = self.had.switched.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Box::new(switched));
    }

    /// The backend that has switched protocols.
    pub(super) fn switched(&self) -> Option<Box<Switched>> {
        self.had.switched.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A request that has not been answered to the end, for as long as this is there.
#[derive(Debug)]
pub(super) struct Open {
    guest: Arc<Guest>,
    progress: Option<Arc<Progress>>,
}

impl Open {
    pub(super) fn new(guest: &Arc<Guest>, progress: Option<Arc<Progress>>) -> Self {
        guest.had.requests.fetch_add(1, Ordering::Relaxed);
        guest.had.open.fetch_add(1, Ordering::Relaxed);
        Self { guest: guest.clone(), progress }
    }

    /// A part of the answer was asked for (`true`), or is the client's to take.
    pub(super) fn progress(&self, is_wanted: bool) {
        if let Some(progress) = &self.progress {
            progress.step(is_wanted);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.guest.had.open.fetch_sub(1, Ordering::Relaxed);
    }
}
