//! Who may come in: capacity is taken before a connection is accepted, and given back by drop.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sessions at a time.
#[derive(Debug)]
pub(super) struct Capacity {
    permits: Arc<Semaphore>,
    size: usize,
}

impl Capacity {
    pub(super) fn new(size: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(size)), size }
    }

    /// Changes the size. Sessions that are there stay, so that a smaller size may take time.
    pub(super) fn resize(&mut self, size: usize) {
        if size > self.size {
            self.permits.add_permits(size - self.size);
        } else {
            let less = self.size - size;
            let gone = self.permits.forget_permits(less);
            if gone < less {
                // The rest is taken from sessions as they end.
                let (permits, rest) = (self.permits.clone(), less - gone);
                tokio::spawn(async move {
                    if let Ok(permit) =
                        permits.acquire_many(u32::try_from(rest).unwrap_or(u32::MAX)).await
                    {
                        permit.forget();
                    }
                });
            }
        }
        self.size = size;
    }

    pub(super) fn handle(&self) -> Arc<Semaphore> {
        self.permits.clone()
    }
}

/// What a session holds for as long as it lives.
pub(super) type Permit = OwnedSemaphorePermit;

/// How many sessions of each address have not logged in.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<HashMap<IpAddr, usize>>);

/// Counts a session among its address' strangers until it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    all: Arc<Strangers>,
    home: IpAddr,
}

impl Strangers {
    /// `None`: there are too many from there. An IPv6 network of /64 counts as one address, since
    /// one customer usually has that many.
    pub(super) fn admit(self: &Arc<Self>, from: IpAddr, most: usize) -> Option<Stranger> {
        let home = home(from);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(home).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Stranger { all: self.clone(), home })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.home) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.home);
            }
        }
    }
}

fn home(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count_and_gets_it_back() {
        let all = Arc::new(Strangers::default());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = all.admit(ip("192.0.2.1"), 2);
        let _second = all.admit(ip("::ffff:192.0.2.1"), 2);
        assert!(first.is_some() && all.admit(ip("192.0.2.1"), 2).is_none());
        assert!(all.admit(ip("192.0.2.2"), 2).is_some());
        drop(first);
        assert!(all.admit(ip("192.0.2.1"), 2).is_some());
        let _v6 = all.admit(ip("2001:db8::1"), 1);
        assert!(all.admit(ip("2001:db8::2"), 1).is_none(), "one /64");
        assert!(all.admit(ip("2001:db8:0:1::1"), 1).is_some(), "another");
    }
}
