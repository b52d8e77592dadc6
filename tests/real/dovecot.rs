//! A Dovecot of the test's own: its configuration, its ports, its users, its log.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    common::{ca::Leaf, folder::Folder, front::PATIENCE},
    tap::Tap,
};

/// What to install where Dovecot is missing.
pub(crate) const PACKAGES: &str = "apt-get install dovecot-imapd dovecot-pop3d dovecot-managesieved dovecot-lmtpd dovecot-submissiond";

/// Dovecot's own TLS: none, on offer (and needed for passwords), or needed for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ssl {
    No,
    Required,
    Yes,
}

/// What a test may choose about its Dovecot.
#[derive(Clone, Copy)]
pub(crate) struct Options<'a> {
    pub(crate) ssl: Ssl,
    /// What it shows to those who come to it directly; needed unless `ssl` is `No`.
    pub(crate) leaf: Option<&'a Leaf>,
    /// Names and passwords.
    pub(crate) users: &'a [(&'a str, &'a str)],
    /// Lines to add to its configuration.
    pub(crate) more: &'a str,
    /// Whether it takes submissions, too; they are given to this port.
    pub(crate) relay: Option<u16>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { ssl: Ssl::No, leaf: None, users: &[("alice", "secret")], more: "", relay: None }
    }
}

/// Where it listens; the first three expect a PROXY header, the plain ones do not know what that is.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) imap: u16,
    pub(crate) pop3: u16,
    pub(crate) sieve: u16,
    pub(crate) plain_imap: u16,
    pub(crate) plain_pop3: u16,
    pub(crate) plain_sieve: u16,
    pub(crate) plain_submission: u16,
}

impl Ports {
    /// Ports that are free now. All are held at once, so that they differ.
    fn free() -> Self {
        let held =
            [(); 7].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let [imap, pop3, sieve, plain_imap, plain_pop3, plain_sieve, plain_submission] =
            held.each_ref().map(|socket| socket.local_addr().expect("it is bound").port());
        Self { imap, pop3, sieve, plain_imap, plain_pop3, plain_sieve, plain_submission }
    }
}

/// A running Dovecot; stopped when dropped.
pub(crate) struct Dovecot {
    child: Child,
    log: Arc<Tap>,
    pub(crate) ports: Ports,
    folder: Folder,
}

/// What it says of a port that somebody else has, or that lines of `more` name as well.
const TAKEN: [&str; 2] = ["Address already in use", "duplicate listener"];

impl Dovecot {
    /// Starts it, and returns when each of its plain listeners has greeted.
    pub(crate) fn start(options: &Options<'_>) -> Self {
        // Between learning a free port and using it, somebody else may take it: then again, with others.
        for _ in 0..5 {
            match Self::try_start(options) {
                Ok(running) => return running,
                Err(log) if TAKEN.iter().any(|said| log.contains(said)) => {}
                Err(log) => panic!("Dovecot did not start; is all of it there? {PACKAGES}\n{log}"),
            }
        }
        panic!("five times in a row somebody took the ports meant for Dovecot");
    }

    fn try_start(options: &Options<'_>) -> Result<Self, String> {
        let folder = Folder::new();
        let ports = Ports::free();
        let config = folder.write("dovecot.conf", configuration(options, &folder, ports));
        // Its processes run as users of their own, and a umask may have closed the way for them.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))
            .expect("our own folder");
        // It ends with the thread that started it even if that is killed.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program())
            .arg("-F")
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("setpriv: {e}; apt-get install util-linux"));
        let log = Tap::on(child.stderr.take().expect("a pipe"));
        if let Err(said) = log.line(0, |line| line.contains("starting up")) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(said);
        }
        let running = Self { child, log, ports, folder };
        for (port, greeting) in
            [(ports.plain_imap, "* OK"), (ports.plain_pop3, "+OK"), (ports.plain_sieve, "\"IMPL")]
        {
            let line = running.greeting(port);
            assert!(
                line.starts_with(greeting),
                "{line:?} is no greeting; its log:\n{}",
                running.log.text()
            );
        }
        Ok(running)
    }

    fn greeting(&self, port: u16) -> String {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .expect("Dovecot listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = String::new();
        let outcome = BufReader::new(stream).read_line(&mut line);
        assert!(
            outcome.is_ok(),
            "{outcome:?} instead of a greeting; its log:\n{}",
            self.log.text()
        );
        line
    }

    /// Delivers a message (CRLF lines, no dot-stuffing needed) by LMTP.
    pub(crate) fn deliver(&self, user: &str, message: &[u8]) {
        let stream =
            UnixStream::connect(self.folder.path().join("run/lmtp")).expect("LMTP listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut replies = BufReader::new(stream.try_clone().expect("a handle"));
        let mut say = |bytes: &[u8], code: &str| {
            (&stream).write_all(bytes).expect("LMTP reads");
            loop {
                let mut reply = String::new();
                replies.read_line(&mut reply).expect("LMTP answers");
                assert!(
                    reply.starts_with(code),
                    "{reply:?} instead of {code}; the log:\n{}",
                    self.log.text()
                );
                if reply.as_bytes().get(3) == Some(&b' ') {
                    break;
                }
            }
        };
        let mut body = Vec::new();
        for line in message.split_inclusive(|&b| b == b'\n') {
            if line.starts_with(b".") {
                body.push(b'.');
            }
            body.extend_from_slice(line);
        }
        body.extend_from_slice(b".\r\n");
        say(b"", "220");
        say(b"LHLO tests\r\n", "250");
        say(b"MAIL FROM:<sender@example.org>\r\n", "250");
        say(format!("RCPT TO:<{user}>\r\n").as_bytes(), "250");
        say(b"DATA\r\n", "354");
        say(&body, "250");
        say(b"QUIT\r\n", "221");
    }

    /// Where its sockets are, in `run`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How long its log is by now: a mark to wait from.
    pub(crate) fn mark(&self) -> usize {
        self.log.mark()
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a log line from `mark` on that holds all of these.
    pub(crate) fn logs(&self, mark: usize, parts: &[&str]) -> String {
        match self.log.line(mark, |line| parts.iter().all(|&part| line.contains(part))) {
            Ok((line, _)) => line,
            Err(said) => panic!("no line with {parts:?} in Dovecot's log:\n{said}"),
        }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        let _ = kill_process(pid, Signal::TERM);
        // The last of its processes closes the log.
        if self.log.end(PATIENCE).is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("Dovecot's log:\n{}", self.log.text());
        }
    }
}

/// Where it is: distributions keep it off the path of ordinary users.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join("dovecot"))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("these tests need Dovecot: {PACKAGES}"))
}

fn configuration(options: &Options<'_>, folder: &Folder, ports: Ports) -> String {
    let root = folder.path().display();
    let users: String = options
        .users
        .iter()
        .map(|(name, password)| format!("{name}:{{PLAIN}}{password}\n"))
        .collect();
    folder.write("users", users);
    let mail = folder.path().join("mail");
    fs::create_dir(&mail).expect("a folder for the mail");
    let me = fs::metadata(&mail).expect("just made");
    let mut text = format!(
        "base_dir = {root}/run
state_dir = {root}/state
instance_name = vestibule-test
log_path = /dev/stderr
log_timestamp =
protocols = imap pop3 lmtp sieve
listen = 127.0.0.1
haproxy_trusted_networks = 127.0.0.0/8 ::1
auth_mechanisms = plain login cram-md5 scram-sha-256
auth_failure_delay = 0
auth_verbose = yes
imap_hibernate_timeout = 0
login_greeting = Backend here.
login_log_format_elements = user=<%u> method=%m rip=%r rport=%b lip=%l lport=%a secured=<%c> tls=<%k> session=<%{{session}}>
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
mail_plugins = zlib
protocol imap {{
  mail_plugins = zlib imap_zlib
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/users
}}
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0600
  }}
}}
"
    );
    for (service, listeners) in [
        ("imap", [("imap", ports.imap), ("imaps", 0), ("plain", ports.plain_imap)]),
        ("pop3", [("pop3", ports.pop3), ("pop3s", 0), ("plain", ports.plain_pop3)]),
        ("managesieve", [("sieve", ports.sieve), ("sieves", 0), ("plain", ports.plain_sieve)]),
    ] {
        writeln!(text, "service {service}-login {{\n  service_count = 0").unwrap();
        for (name, port) in listeners {
            let haproxy = if name == "plain" { "no" } else { "yes" };
            writeln!(
                text,
                "  inet_listener {name} {{\n    port = {port}\n    haproxy = {haproxy}\n  }}"
            )
            .unwrap();
        }
        text.push_str("}\n");
    }
    if let Some(relay) = options.relay {
        writeln!(
            text,
            "protocols = imap pop3 lmtp sieve submission
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
service submission-login {{
  inet_listener submission {{
    port = {}
  }}
}}",
            ports.plain_submission
        )
        .unwrap();
    }
    match options.ssl {
        Ssl::No => text.push_str("ssl = no\ndisable_plaintext_auth = no\n"),
        Ssl::Required | Ssl::Yes => {
            let leaf = options.leaf.expect("a Dovecot with TLS needs a certificate");
            let cert = folder.write("tls/cert.pem", leaf.fullchain());
            let key = folder.write("tls/key.pem", &leaf.key);
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("our own file");
            let ssl = if options.ssl == Ssl::Yes { "yes" } else { "required" };
            writeln!(
                text,
                "ssl = {ssl}\nssl_cert = <{}\nssl_key = <{}",
                cert.display(),
                key.display()
            )
            .unwrap();
            text.push_str("disable_plaintext_auth = yes\n");
        }
    }
    writeln!(text, "{}", options.more).unwrap();
    if me.uid() == 0 {
        // Mail belongs to nobody: Dovecot refuses to work for root.
        chown(&mail, Some(65534), Some(65534)).expect("root may");
        writeln!(
            text,
            "userdb {{\n  driver = static\n  args = uid=65534 gid=65534 home={root}/mail/%u\n}}"
        )
        .unwrap();
    } else {
        let (user, group) = (name_of("passwd", me.uid()), name_of("group", me.gid()));
        write!(
            text,
            "default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
userdb {{
  driver = static
  args = uid={} gid={} home={root}/mail/%u
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
}}
service pop3-login {{
  chroot =
}}
service managesieve-login {{
  chroot =
}}
service imap-urlauth-login {{
  chroot =
}}
",
            me.uid(),
            me.gid()
        )
        .unwrap();
    }
    text
}

/// Dovecot wants names where the system has numbers.
fn name_of(database: &str, id: u32) -> String {
    let answer =
        Command::new("getent").args([database, &id.to_string()]).output().expect("getent runs");
    let line = String::from_utf8_lossy(&answer.stdout);
    line.split(':')
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| panic!("{database} has no {id}"))
        .to_owned()
}
