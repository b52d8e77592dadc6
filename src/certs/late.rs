//! What is found out once, and by whoever needs it first.

use std::sync::OnceLock;

/// A value that is made when it is first needed. Nobody waits for somebody else who is about to make it:
/// a handshake must not wait for a thread that has the least of priorities.
#[derive(Debug)]
pub(super) struct Late<T>(OnceLock<T>);

impl<T: Copy> Late<T> {
    /// The value, if it has been made.
    pub(super) fn get(&self) -> Option<T> {
        self.0.get().copied()
    }

    /// The value. Two that need it at the same time make it both, and the first one counts.
    pub(super) fn or_make(&self, make: impl FnOnce() -> T) -> T {
        self.get().unwrap_or_else(|| {
            let made = make();
            // Not `get_or_init`, which lets others wait while it makes it.
            let _ = self.0.set(made);
            self.get().unwrap_or(made)
        })
    }
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, thread, time::Duration};

    use super::*;

    #[test]
    fn nobody_waits_for_another_who_takes_his_time() {
        let late = &Late::default();
        let ((begun, has_begun), (go_on, may_go_on)) = (channel(), channel());
        thread::scope(|scope| {
            let slow = scope.spawn(move || {
                late.or_make(|| {
                    begun.send(()).unwrap();
                    // So that a failure is one, and no standstill.
                    let _ = may_go_on.recv_timeout(Duration::from_secs(5));
                    1
                })
            });
            has_begun.recv().unwrap();
            assert_eq!(late.or_make(|| 2), 2, "and not what the other makes of it");
            go_on.send(()).unwrap();
            assert_eq!(slow.join().unwrap(), 2);
        });
        assert_eq!(late.get(), Some(2));
    }
}
