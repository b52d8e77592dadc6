//! The real binary, on ports that the kernel picks, with its log read line by line.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::folder::Folder;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Front {
    child: Child,
    log: Arc<Log>,
    config: PathBuf,
    pub folder: Folder,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    more: Condvar,
}

impl Log {
    /// The lines so far, also after a test has failed with them in its hands.
    fn lines(&self) -> MutexGuard<'_, Vec<Value>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Front {
    /// Runs `vestibule serve` with this configuration and waits until it is ready.
    ///
    /// `log: json debug` and a `state_dir` of the test's own are added; binds end in `:0`.
    pub fn start(config: &str) -> Self {
        let front = Self::launch(config);
        front.wait("it is ready", 0, |line| line["message"] == "ready");
        front
    }

    /// Runs `vestibule serve`, and waits for nothing.
    pub fn launch(config: &str) -> Self {
        Self::launch_under(&[], config)
    }

    /// The same, started by this command, which must become the front: `prlimit --nofile=…`.
    pub fn launch_under(command: &[&str], config: &str) -> Self {
        let folder = Folder::new();
        let path = folder.write("vestibule.yaml", with_defaults(config, &folder));
        let words = [command, &[env!("CARGO_BIN_EXE_vestibule"), "serve", "--config"]].concat();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = Arc::new(Log::default());
        let (stderr, sink) = (child.stderr.take().expect("a pipe"), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                sink.lines().push(value);
                sink.more.notify_all();
            }
            sink.lines().push(Value::Null); // the end
            sink.more.notify_all();
        });
        Self { child, log, config: path, folder }
    }

    /// The address of the n-th socket, in the order of the configuration.
    pub fn address(&self, n: usize) -> SocketAddr {
        let lines = self.log.lines();
        let listening: Vec<&Value> = lines.iter().filter(|l| l["message"] == "listening").collect();
        let line = listening.get(n).unwrap_or_else(|| panic!("socket {n} among {listening:?}"));
        line["address"].as_str().unwrap().parse().unwrap()
    }

    pub fn port(&self, n: usize) -> u16 {
        self.address(n).port()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many lines the log has by now: a mark to wait from.
    pub fn mark(&self) -> usize {
        self.log.lines().len()
    }

    /// Waits for a log line at or after `from`; fails with the whole log when it does not come.
    pub fn wait(&self, what: &str, from: usize, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines();
        loop {
            if let Some(line) = lines.iter().skip(from).find(|line| is_it(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.last() == Some(&Value::Null) {
                let log: String = lines.iter().map(|l| format!("{l}\n")).collect();
                // A panic that held the lock would poison it for the one who prints the log in the end.
                drop(lines);
                panic!("waited in vain until {what}; the log:\n{log}");
            }
            lines =
                self.log.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn log(&self) -> Vec<Value> {
        self.log.lines().clone()
    }

    /// Replaces the configuration; it counts from the next SIGHUP on.
    pub fn configure(&self, config: &str) {
        std::fs::write(&self.config, with_defaults(config, &self.folder))
            .expect("the configuration can be written");
    }

    /// Sends SIGHUP and returns the line that says what came of it.
    pub fn reload(&self) -> Value {
        let mark = self.mark();
        self.signal(Signal::HUP);
        self.wait("the reload is over", mark, |line| {
            line["message"].as_str().is_some_and(|m| {
                m.starts_with("reloaded") || m.starts_with("reload changed nothing")
            })
        })
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("the front is alive");
    }

    /// Waits for the process to end by itself, which the end of its log announces.
    pub fn exit(&mut self) -> ExitStatus {
        self.wait("its log ends", 0, Value::is_null);
        self.child.wait().expect("our own child")
    }

    /// The summary of the first session that ended at or after `from`.
    pub fn summary(&self, from: usize) -> Value {
        self.wait("a session's summary", from, |line| line["message"] == "session")
    }
}

fn with_defaults(config: &str, folder: &Folder) -> String {
    let mut text = config.to_owned();
    if !text.contains("log:") {
        text.push_str("\nlog: json debug\n");
    }
    if !text.contains("state_dir:") {
        text.push_str(&format!("\nstate_dir: {}\n", folder.path().join("state").display()));
    }
    text
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in self.log() {
                eprintln!("front: {line}");
            }
        }
    }
}
