//! A session at a backend.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    Backend, Key,
    health::{During, Failure},
};

/// A session's stay with a backend, from the dial to its end. The backend counts it until it is
/// dropped, and is told how it goes.
#[derive(Debug)]
pub struct Visit {
    backend: Arc<Backend>,
    client: IpAddr,
    begin: Instant,
}

impl Visit {
    /// A session for this client begins.
    pub(super) fn new(backend: Arc<Backend>, client: IpAddr) -> Self {
        backend.enter();
        Self { backend, client, begin: Instant::now() }
    }

    /// What is visited.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.backend.key()
    }

    /// Whether it is known not to understand who is announced to it: whoever came through would be
    /// taken for us, and hear answers to what they have not said.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.backend.deaf.load(Ordering::Relaxed)
    }

    /// It waits for the client's first command.
    pub fn served(&self) {
        self.backend.served();
    }

    /// It could not be reached.
    pub fn unreachable(&self, why: &dyn fmt::Display) {
        self.backend.failed(self.failure(During::Dial(self.client)), why);
    }

    /// It was reached, and then went silent or made no sense. That may be this client's fault: the
    /// probe, which comes from an address of its own, is asked to judge.
    pub fn failed(&self, why: &dyn fmt::Display) {
        self.backend.failed(self.failure(During::Opening(self.client)), why);
    }

    fn failure(&self, during: During) -> Failure {
        let now = Instant::now();
        Failure { now, took: now - self.begin, during }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.backend.leave();
    }
}
