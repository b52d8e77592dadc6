//! What another process says, kept as it comes, and waited for without sleeping.

use std::{
    io::Read,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use crate::common::front::PATIENCE;

/// Everything that came through a pipe so far.
#[derive(Default)]
pub(crate) struct Tap {
    heard: Mutex<Heard>,
    more: Condvar,
}

#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    ended: bool,
}

impl Tap {
    /// Reads the pipe to its end in a thread of its own.
    pub(crate) fn on(mut pipe: impl Read + Send + 'static) -> Arc<Self> {
        let tap = Arc::new(Self::default());
        let sink = tap.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                let n = pipe.read(&mut buffer).unwrap_or(0);
                let mut heard = sink.heard.lock().unwrap();
                heard.bytes.extend_from_slice(&buffer[..n]);
                heard.ended = n == 0;
                sink.more.notify_all();
                if heard.ended {
                    break;
                }
            }
        });
        tap
    }

    /// How much was heard by now: a mark to wait from.
    pub(crate) fn mark(&self) -> usize {
        self.heard.lock().unwrap().bytes.len()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap().bytes).into_owned()
    }

    pub(crate) fn text_between(&self, start: usize, end: usize) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap().bytes[start..end]).into_owned()
    }

    /// Waits for the first whole line from `mark` on that satisfies `is_it`; returns it and where the next one starts.
    ///
    /// # Errors
    ///
    /// What was heard from `mark` on, when the pipe ended or patience did.
    pub(crate) fn line(
        &self,
        mark: usize,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<(String, usize), String> {
        let mut seen = mark;
        self.wait(mark, |bytes| {
            while let Some(n) = memchr::memchr(b'\n', &bytes[seen..]) {
                let line = String::from_utf8_lossy(&bytes[seen..seen + n])
                    .trim_end_matches('\r')
                    .to_owned();
                seen += n + 1;
                if is_it(&line) {
                    return Some((line, seen));
                }
            }
            None
        })
    }

    /// Waits for the end of the pipe, at most so long.
    ///
    /// # Errors
    ///
    /// What was heard, when the end did not come.
    pub(crate) fn end(&self, patience: Duration) -> Result<Vec<u8>, String> {
        let deadline = Instant::now() + patience;
        let mut heard = self.heard.lock().unwrap();
        while !heard.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(String::from_utf8_lossy(&heard.bytes).into_owned());
            }
            heard = self.more.wait_timeout(heard, left).unwrap().0;
        }
        Ok(heard.bytes.clone())
    }

    fn wait<T>(&self, mark: usize, mut found: impl FnMut(&[u8]) -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = self.heard.lock().unwrap();
        loop {
            if let Some(it) = found(&heard.bytes) {
                return Ok(it);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if heard.ended || left.is_zero() {
                return Err(String::from_utf8_lossy(&heard.bytes[mark..]).into_owned());
            }
            heard = self.more.wait_timeout(heard, left).unwrap().0;
        }
    }
}
