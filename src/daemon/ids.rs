//! Names for sessions.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Unfit;
use crate::identity::SessionId;

/// Names for sessions: unique in this process by a counter, beyond it by chance.
#[derive(Debug)]
pub(super) struct Ids {
    boot: u64,
    next: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Result<Self, Unfit> {
        let mut boot = [0; 8];
        let random = crate::tls::provider().secure_random.fill(&mut boot);
        random.map_err(|_| Unfit::from("the system has no randomness to give".to_owned()))?;
        Ok(Self { boot: u64::from_ne_bytes(boot), next: AtomicU64::new(0) })
    }

    pub(super) fn next(&self) -> SessionId {
        let n = self.next.fetch_add(1, Ordering::Relaxed) & u64::from(u32::MAX);
        SessionId(u128::from(self.boot) << 32 | u128::from(n))
    }
}
