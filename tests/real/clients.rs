//! The programs that people read their mail with, run as processes, each within bounded time.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::Arc,
};

use crate::{
    common::{folder::Folder, front::PATIENCE},
    tap::Tap,
};

/// The name in the certificate that everybody asks for.
pub(crate) const NAME: &str = "mail.example.org";
/// The one user, as Dovecot's options have it by default.
pub(crate) const USER: &str = "alice";
pub(crate) const PASSWORD: &str = "secret";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Pop3,
    Sieve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Implicit,
    Starttls,
}

/// A port, what is spoken there, and the root that vouches for its certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) how: How,
    pub(crate) port: u16,
    pub(crate) root: &'a Path,
}

impl Door<'_> {
    /// What openssl and gnutls-cli call the upgrade on this port.
    fn starttls(&self) -> Option<&'static str> {
        (self.how == How::Starttls).then_some(match self.protocol {
            Protocol::Imap => "imap",
            Protocol::Pop3 => "pop3",
            Protocol::Sieve => "sieve",
        })
    }
}

/// Reads the first message with curl, coming from `source`.
pub(crate) fn curl(door: &Door<'_>, source: &str) -> Vec<u8> {
    let path = match door.protocol {
        Protocol::Imap => "INBOX/;MAILINDEX=1",
        Protocol::Pop3 => "1",
        Protocol::Sieve => panic!("curl does not speak ManageSieve"),
    };
    output(curl_to(door, source, path), "curl")
}

fn curl_to(door: &Door<'_>, source: &str, path: &str) -> Command {
    let scheme = format!("{:?}{}", door.protocol, if door.how == How::Implicit { "s" } else { "" })
        .to_lowercase();
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--ssl-reqd", "--noproxy", "*", "--interface", source])
        .args([
            "--user",
            &format!("{USER}:{PASSWORD}"),
            "--resolve",
            &format!("{NAME}:{}:127.0.0.1", door.port),
        ])
        .arg("--cacert")
        .arg(door.root)
        .arg(format!("{scheme}://{NAME}:{}/{path}", door.port));
    command
}

/// Uploads a message with curl, by IMAP's APPEND.
pub(crate) fn upload(door: &Door<'_>, message: &Path) {
    let mut command = curl_to(door, "127.0.0.5", "INBOX");
    command.arg("--upload-file").arg(message);
    output(command, "curl");
}

/// Fetches the mailbox with mbsync, and returns its only message as it then lies in the Maildir.
pub(crate) fn mbsync(door: &Door<'_>) -> Vec<u8> {
    assert_eq!(door.protocol, Protocol::Imap, "mbsync speaks IMAP only");
    let kind = if door.how == How::Implicit { "IMAPS" } else { "STARTTLS" };
    let home = Folder::new();
    let (here, port, root) = (home.path().display(), door.port, door.root.display());
    let config = home.write(
        "mbsyncrc",
        format!(
            "IMAPAccount front
Host localhost
Port {port}
User {USER}
Pass {PASSWORD}
SSLType {kind}
SystemCertificates no
CertificateFile {root}

IMAPStore far
Account front

MaildirStore near
Inbox {here}/inbox

Channel mail
Far :far:
Near :near:
Sync Pull
SyncState {here}/state/
"
        ),
    );
    for folder in ["state", "inbox/cur", "inbox/new", "inbox/tmp"] {
        fs::create_dir_all(home.path().join(folder)).expect("our own folder");
    }
    let mut command = Command::new("mbsync");
    command.arg("--config").arg(config).arg("mail").env("HOME", home.path());
    output(command, "isync");
    let mut messages: Vec<_> = ["inbox/cur", "inbox/new"]
        .iter()
        .flat_map(|folder| fs::read_dir(home.path().join(folder)).expect("our own folder"))
        .map(|entry| entry.expect("a file").path())
        .collect();
    let message = messages.pop().expect("mbsync fetched a message");
    assert!(messages.is_empty(), "mbsync fetched more than the one message");
    fs::read(message).expect("our own file")
}

/// Reads the first message with Python's imaplib or poplib, or keeps a script; coming from `source`.
pub(crate) fn python(door: &Door<'_>, source: &str) -> Vec<u8> {
    let script = match door.protocol {
        Protocol::Imap => concat!(include_str!("python/dial.py"), include_str!("python/imap.py")),
        Protocol::Pop3 => concat!(include_str!("python/dial.py"), include_str!("python/pop3.py")),
        Protocol::Sieve => concat!(include_str!("python/dial.py"), include_str!("python/sieve.py")),
    };
    run_python(script, door, source)
}

/// Reads the first message by COMPRESS=DEFLATE.
pub(crate) fn compressed(door: &Door<'_>, source: &str) -> Vec<u8> {
    run_python(
        concat!(include_str!("python/dial.py"), include_str!("python/compress.py")),
        door,
        source,
    )
}

/// Keeps a script, or does not come to that within five seconds.
pub(crate) fn python_keeps_a_script(door: &Door<'_>, source: &str) -> bool {
    let script = concat!(include_str!("python/dial.py"), include_str!("python/sieve.py"));
    let mut command = Command::new("timeout");
    command.args(["5", "python3"]);
    spoken(with_arguments(command, script, door, source), "coreutils").1.success()
}

fn run_python(script: &str, door: &Door<'_>, source: &str) -> Vec<u8> {
    output(with_arguments(Command::new("python3"), script, door, source), "python3")
}

fn with_arguments(mut python: Command, script: &str, door: &Door<'_>, source: &str) -> Command {
    let how = if door.how == How::Implicit { "implicit" } else { "starttls" };
    python
        .args(["-c", script, &door.port.to_string(), how])
        .arg(door.root)
        .args([source, USER, PASSWORD]);
    python
}

/// What `openssl s_client -showcerts` prints about this port; its handshake must succeed, its verdict is in the text.
pub(crate) fn showcerts(door: &Door<'_>, host: &str, name: Option<&str>, more: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-showcerts", "-connect", &format!("{host}:{}", door.port)])
        .args(more);
    command.arg("-CAfile").arg(door.root).args(["-no-CApath", "-no-CAstore"]);
    match name {
        Some(name) => command.args(["-servername", name, "-verify_hostname", name]),
        None => command.arg("-noservername"),
    };
    if let Some(starttls) = door.starttls() {
        command.args(["-starttls", starttls]);
    }
    String::from_utf8_lossy(&output(command, "openssl")).into_owned()
}

/// Runs it to its end, and returns what it printed; its failure is the test's.
pub(crate) fn output(command: Command, package: &str) -> Vec<u8> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (printed, process, status) = run(command, package);
    assert!(status.success(), "{program}: {status}\n{}", process.said());
    printed
}

/// Runs it to its end, and returns what it printed and how it ended.
pub(crate) fn spoken(command: Command, package: &str) -> (Vec<u8>, ExitStatus) {
    let (printed, _, status) = run(command, package);
    (printed, status)
}

fn run(mut command: Command, package: &str) -> (Vec<u8>, Process, ExitStatus) {
    command.stdin(Stdio::null());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut process = Process::spawn(&mut command, package);
    match process.out.end(PATIENCE) {
        Ok(printed) => {
            let status = process.child.wait().expect("our own child");
            (printed, process, status)
        }
        Err(_) => panic!("{program} is still running\n{}", process.said()),
    }
}

struct Process {
    child: Child,
    out: Arc<Tap>,
    complaints: Arc<Tap>,
}

impl Process {
    fn spawn(command: &mut Command, package: &str) -> Self {
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|e| {
            let program = command.get_program().to_string_lossy();
            panic!("{program}: {e}; apt-get install {package}")
        });
        let out = Tap::on(child.stdout.take().expect("a pipe"));
        let complaints = Tap::on(child.stderr.take().expect("a pipe"));
        Self { child, out, complaints }
    }

    fn said(&self) -> String {
        format!("it printed:\n{}\nand complained:\n{}", self.out.text(), self.complaints.text())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A dialogue in TLS through a client that knows nothing of the protocol.
pub(crate) struct Talk {
    process: Process,
    stdin: Option<ChildStdin>,
    read: usize,
}

impl Talk {
    /// Through `openssl s_client`, coming from `source`.
    pub(crate) fn openssl(door: &Door<'_>, source: &str) -> Self {
        Self::openssl_at(door.port, door.root, door.starttls(), source)
    }

    /// The same, to any port, with an upgrade of this name.
    pub(crate) fn openssl_at(port: u16, root: &Path, starttls: Option<&str>, source: &str) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-verify_return_error", "-no-CApath", "-no-CAstore"]);
        command.args(["-connect", &format!("127.0.0.1:{port}"), "-bind", &format!("{source}:0")]);
        command.args(["-servername", NAME, "-verify_hostname", NAME, "-CAfile"]).arg(root);
        if let Some(starttls) = starttls {
            command.args(["-starttls", starttls]);
        }
        Self::start(&mut command, "openssl")
    }

    /// Through gnutls-cli; what it has to say about the connection itself goes to /dev/null.
    pub(crate) fn gnutls(door: &Door<'_>) -> Self {
        Self::gnutls_at(door.port, door.root, door.starttls())
    }

    /// The same, to any port, with an upgrade of this name.
    pub(crate) fn gnutls_at(port: u16, root: &Path, starttls: Option<&str>) -> Self {
        let mut command = Command::new("gnutls-cli");
        command.args([
            "--logfile",
            "/dev/null",
            "--sni-hostname",
            NAME,
            "--verify-hostname",
            NAME,
            "--x509cafile",
        ]);
        command.arg(root).args(["--port", &port.to_string()]);
        if let Some(starttls) = starttls {
            command.arg(format!("--starttls-proto={starttls}"));
        }
        command.arg("127.0.0.1");
        Self::start(&mut command, "gnutls-bin")
    }

    fn start(command: &mut Command, package: &str) -> Self {
        let mut process = Process::spawn(command.stdin(Stdio::piped()), package);
        let stdin = process.child.stdin.take();
        Self { process, stdin, read: 0 }
    }

    /// Sends a line, and waits for the first one that starts with `answer`; returns all lines up to there.
    pub(crate) fn say(&mut self, line: &str, answer: &str) -> String {
        let mut pipe = self.stdin.as_ref().expect("open until it is dropped");
        let sent = pipe.write_all(format!("{line}\r\n").as_bytes()).and_then(|()| pipe.flush());
        assert!(sent.is_ok(), "{sent:?} after {line:?}; {}", self.process.said());
        self.hear(answer)
    }

    /// Waits for the first line that starts with `answer`; returns all lines up to there.
    pub(crate) fn hear(&mut self, answer: &str) -> String {
        let start = self.read;
        match self.process.out.line(start, |line| line.starts_with(answer)) {
            Ok((_, next)) => {
                self.read = next;
                self.process.out.text_between(start, next)
            }
            Err(_) => panic!("no line with {answer:?}; {}", self.process.said()),
        }
    }

    /// Logs in, reads the first message and leaves; returns all that was heard.
    pub(crate) fn read_mail(mut self, door: &Door<'_>) -> String {
        let mut heard = String::new();
        let script: &[(&str, &str)] = match door.protocol {
            Protocol::Imap => &[
                ("a LOGIN alice secret", "a OK"),
                ("b SELECT INBOX", "b OK"),
                ("c FETCH 1 BODY[]", "c OK"),
                ("d LOGOUT", "d OK"),
            ],
            Protocol::Pop3 => &[
                // Its end is not that of the greeting, which some programs show and some do not.
                ("CAPA", "."),
                ("USER alice", "+OK"),
                ("PASS secret", "+OK"),
                ("RETR 1", "."),
                ("QUIT", "+OK"),
            ],
            Protocol::Sieve => panic!("there is no mail to read here"),
        };
        for (line, answer) in script {
            heard.push_str(&self.say(line, answer));
        }
        self.end();
        heard
    }

    /// The server has ended the session: so does the client, by itself.
    pub(crate) fn end(&mut self) {
        if let Err(said) = self.process.out.end(PATIENCE) {
            panic!("the client is still there after {said}");
        }
    }
}
