//! One read buffer per thread, used within a single poll: a session that waits holds none.

use std::cell::RefCell;

/// Two full TLS records (RFC 8446 §5.1): enough for one system call to be worth its while.
const SIZE: usize = 32 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SIZE].into());
}

/// Lends this thread's read buffer. It must not be asked for again from inside.
pub fn scratch<R>(body: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|buffer| body(buffer))
}
