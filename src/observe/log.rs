//! The log: lines on standard error, which is where service managers want them.
//!
//! Lines are handed to a thread of their own. If nobody reads them, or the disk is full, lines are
//! dropped and counted, and mail goes on.

use std::{
    io::{self, Write},
    iter,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::{
    filter::{LevelFilter, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
};

/// What is said, and how.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// One JSON object a line.
    pub json: bool,
    /// From which level on.
    pub level: tracing::Level,
}

/// So many lines wait for their turn at the most.
const WAITING: usize = 4096;

/// How long a line waits for others. On a busy front, to wake a thread and to call the system for
/// each of them would cost a session more than all of its relaying.
const GATHER: Duration = Duration::from_millis(5);

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Entry {
    Line(Vec<u8>),
    /// All lines before this have been written.
    Flush(SyncSender<()>),
}

/// Starts the log. A second call changes nothing: form and level are those of the start.
pub fn start(form: Form) {
    let (queue, lines) = sync_channel(WAITING);
    if QUEUE.set(queue).is_err() {
        return;
    }
    thread::spawn(move || write(&lines));
    let log = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from_level(form.level))
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(Lines);
    // An error means that a test has a log of its own.
    let _ = if form.json {
        let log = log.json().flatten_event(true).with_current_span(false).with_span_list(false);
        tracing::subscriber::set_global_default(log.finish().with(filter_fn(is_ours)))
    } else {
        tracing::subscriber::set_global_default(log.finish().with(filter_fn(is_ours)))
    };
}

/// Libraries have logs of their own, and what is in them is not ours to judge: h2 tells of each frame.
fn is_ours(line: &tracing::Metadata<'_>) -> bool {
    line.target().starts_with(env!("CARGO_CRATE_NAME"))
}

/// Waits until what was said so far is written, but not for ever.
pub fn flush() {
    let (done, wait) = sync_channel(1);
    if QUEUE.get().is_some_and(|queue| queue.try_send(Entry::Flush(done)).is_ok()) {
        let _ = wait.recv_timeout(LAST_LINES);
    }
}

fn write(lines: &Receiver<Entry>) {
    let mut stderr = io::stderr();
    while let Ok(first) = lines.recv() {
        if matches!(first, Entry::Line(_)) {
            thread::sleep(GATHER);
        }
        let mut text = Vec::new();
        for entry in iter::once(first).chain(lines.try_iter().take(WAITING)) {
            match entry {
                Entry::Line(mut line) => text.append(&mut line),
                Entry::Flush(done) => {
                    say(&mut stderr, &mut text);
                    let _ = done.try_send(());
                }
            }
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let _ = writeln!(
                text,
                "vestibule: {dropped} lines of the log were dropped, because nobody read them"
            );
        }
        say(&mut stderr, &mut text);
    }
}

fn say(stderr: &mut io::Stderr, text: &mut Vec<u8>) {
    // There is nowhere to complain about a broken log.
    let _ = stderr.write_all(text);
    text.clear();
}

struct Lines;

/// One line, sent when it is complete.
struct Line(Vec<u8>);

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Vec::new())
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.0);
        let sent = QUEUE.get().is_some_and(|queue| queue.try_send(Entry::Line(line)).is_ok());
        if !sent {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
