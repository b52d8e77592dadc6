//! A front that runs, and what the kernel says of it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use serde_json::Value;

use super::cores;

/// `USER_HZ`, in which proc(5) counts: 100 a second on every architecture that we build for.
const TICK: Duration = Duration::from_millis(10);

/// A process that clients connect to. It ends with this.
pub struct Front {
    child: Child,
    /// Its first listener.
    pub address: SocketAddr,
    /// All of them, in the order of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// What it says, apart from its sessions.
    said: Option<Receiver<String>>,
}

impl Front {
    /// One IMAPS listener of the release binary, with the certificates of this folder, on a
    /// core of its own if there is one for it. It logs one line a session, as it does by default.
    pub fn vestibule(
        certificates: &Path,
        backend: SocketAddr,
        config: &Path,
        core: Option<usize>,
    ) -> Self {
        let text = format!(
            "certificates: [{}]\nbackends: {{ mail: {{ address: \"{backend}\" }} }}\n\
             listeners:\n  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: implicit, backend: mail }}\n",
            certificates.display(),
        );
        Self::configured(&text, config, core)
    }

    /// The release binary with this configuration, which is written to `config`.
    pub fn configured(text: &str, config: &Path, core: Option<usize>) -> Self {
        let state = config.with_extension("state");
        let text = format!(
            "{text}hostname: {}\nstate_dir: {}\nlog: json info\n",
            super::NAME,
            state.display()
        );
        fs::write(config, text).expect("the configuration can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
        // Its own authority is one that the machine trusts, as those of real certificates are.
        let root = config.with_file_name("root.pem");
        if root.exists() {
            command.env("SSL_CERT_FILE", root);
        }
        command.args(["serve", "--config"]).arg(config).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = cores::on(core, || command.spawn()).expect("the binary runs");
        let log = child.stderr.take().expect("a pipe");
        let (addresses, said) = until_ready(log);
        let address = *addresses.first().expect("the front listens");
        Self { child, address, addresses, said: Some(said) }
    }

    /// Any other process that listens there, or is about to.
    pub fn other(child: Child, address: SocketAddr) -> Self {
        Self { child, address, addresses: vec![address], said: None }
    }

    /// Tells it to read everything again.
    pub fn hang_up(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid")).expect("a pid");
        kill_process(pid, Signal::HUP).expect("it runs");
    }

    /// Waits until it says this.
    pub fn wait(&self, message: &str) {
        while !is(&self.said().recv().expect("it runs"), message) {}
    }

    /// Whether it has said this since it was last asked.
    pub fn has_said(&self, message: &str) -> bool {
        self.said().try_iter().any(|line| is(&line, message))
    }

    fn said(&self) -> &Receiver<String> {
        self.said.as_ref().expect("its log is read")
    }

    /// The processor time that it has taken, in user mode and in the kernel: fields 14 and 15 of
    /// `/proc/PID/stat`, proc(5).
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // The second field is the program's name, which may hold anything but ends with the last `)`.
        let rest = stat.rsplit_once(") ").expect("a name").1;
        let ticks = rest.split(' ').skip(11).take(2).map(|n| n.parse::<u32>().expect("a number"));
        TICK * ticks.sum()
    }

    /// The memory that it takes, in KiB: its own pages, and its share of those that it shares.
    pub fn proportional_set(&self) -> u64 {
        self.kib("smaps_rollup", "Pss:")
    }

    /// The same with all pages that it shares.
    pub fn resident_set(&self) -> u64 {
        self.kib("status", "VmRSS:")
    }

    fn kib(&self, file: &str, field: &str) -> u64 {
        let text = self.proc(file);
        let value = text.lines().find_map(|line| line.strip_prefix(field)).expect("a size");
        value.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is(line: &str, message: &str) -> bool {
    line.contains(&format!("\"message\":\"{message}\""))
}

/// Reads the log until clients can come, and says where to. The rest is read by a thread, so that
/// the front is never kept waiting.
fn until_ready(log: ChildStderr) -> (Vec<SocketAddr>, Receiver<String>) {
    let (mut log, mut line, mut addresses) = (BufReader::new(log), String::new(), Vec::new());
    loop {
        line.clear();
        assert_ne!(log.read_line(&mut line).expect("its log"), 0, "the front does not start");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        match said["message"].as_str() {
            Some("listening") => addresses
                .extend(said["address"].as_str().and_then(|a| a.parse::<SocketAddr>().ok())),
            Some("ready") => break,
            _ => {}
        }
    }
    let (tell, said) = channel();
    thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            // One for each session would pile up where nobody waits for anything.
            if !is(&line, "session") && tell.send(line).is_err() {
                break;
            }
        }
    });
    (addresses, said)
}

/// Reads and forgets.
pub fn drain(mut log: impl Read + Send + 'static) {
    thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
}
