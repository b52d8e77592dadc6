//! A Postfix of the test's own: its configuration, its ports, its queue, its log.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rustix::process::geteuid;
use socket2::{Domain, Socket, Type};

use crate::{
    common::{ca::Leaf, folder::Folder, front::PATIENCE},
    dovecot::Dovecot,
    stage::call,
    tap::Tap,
};

/// What to install where Postfix is missing.
const PACKAGES: &str = "apt-get install postfix, and choose `No configuration`; or run tests/run";

/// Lines to add to Dovecot's configuration where a Postfix works with it: it is let in, and a mailbox is meant by
/// an address.
pub(crate) const FOR_DOVECOT: &str = "auth_username_format = %n
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
service auth {
  unix_listener auth-client {
    mode = 0666
  }
}
";

/// Runs Postfix, and ends it once nobody holds the other end of its standard input: not even a killed test leaves a
/// Postfix behind. In a session of its own, because whoever kills a test kills what is in the test's.
const KEEPER: &str = r#"
postfix -c "$1/etc" start-fg &
exec >/dev/null 2>&1
cat
kill $(cat "$1/queue/pid/master.pid")
wait
"#;

/// Where it listens.
///
/// The first four expect a PROXY header, the others do not know what that is. Whom it takes mail for others from is
/// 127.0.0.1, which is where the front lives; the trusting ones believe all of 127.0.0.0/8, and its XCLIENT.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) mx: u16,
    pub(crate) submission: u16,
    /// Behind postscreen, which tests each new client in an SMTP engine of its own.
    pub(crate) screened: u16,
    pub(crate) trusting: u16,
    pub(crate) plain_mx: u16,
    pub(crate) plain_submission: u16,
    pub(crate) plain_trusting: u16,
    /// It believes the XCLIENT of the front alone, as it should be.
    pub(crate) plain_xclient: u16,
}

impl Ports {
    /// Ports that are free now, these and so many more, and what keeps them so until Postfix has them: two of its
    /// kind would share a port (`SO_REUSEPORT`), and neither would say so.
    fn free(more: usize) -> (Self, Vec<u16>, Vec<Socket>) {
        let held: Vec<Socket> = (0..8 + more)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
                // Bound and not listening, it is in nobody's way who says the same, as Postfix does.
                socket.set_reuse_address(true).expect("an option");
                socket
                    .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
                    .expect("a free port");
                socket
            })
            .collect();
        let mut all = held.iter().map(|socket| {
            let address = socket.local_addr().expect("it is bound");
            address.as_socket_ipv4().expect("IPv4").port()
        });
        let mut next = || all.next().expect("there are eight");
        let ports = Self {
            mx: next(),
            submission: next(),
            screened: next(),
            trusting: next(),
            plain_mx: next(),
            plain_submission: next(),
            plain_trusting: next(),
            plain_xclient: next(),
        };
        (ports, all.collect(), held)
    }
}

/// A running Postfix; stopped when dropped.
pub(crate) struct Postfix {
    child: Child,
    log: Arc<Tap>,
    pub(crate) ports: Ports,
    /// Of the services that a test has added.
    pub(crate) more: Vec<u16>,
    // Dropped after Postfix was stopped; it is Postfix's own, so it is emptied by root.
    folder: Folder,
}

impl Postfix {
    /// Starts it before this Dovecot, which it asks about passwords and gives mail to; with a certificate it offers
    /// a STARTTLS of its own.
    pub(crate) fn start(dovecot: &Dovecot, leaf: Option<&Leaf>) -> Self {
        Self::with(dovecot, leaf, &[])
    }

    /// The same, with more smtpd services, each with options of its own.
    pub(crate) fn with(dovecot: &Dovecot, leaf: Option<&Leaf>, more: &[&[&str]]) -> Self {
        // Between learning a free port and using it, somebody else may take it: then again, with others.
        for _ in 0..5 {
            match Self::try_start(dovecot, leaf, more) {
                Ok(running) => return running,
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("Postfix did not start; is all of it there? {PACKAGES}\n{log}"),
            }
        }
        panic!("five times in a row somebody took the ports meant for Postfix");
    }

    fn try_start(dovecot: &Dovecot, leaf: Option<&Leaf>, more: &[&[&str]]) -> Result<Self, String> {
        let folder = Folder::new();
        let (ports, added, held) = Ports::free(more.len());
        folder.write("etc/main.cf", main_cf(&folder, dovecot, leaf));
        let mut services = master_cf(ports);
        for (n, (options, port)) in more.iter().zip(&added).enumerate() {
            service(&format!("more{n}"), *port, options, &mut services);
        }
        folder.write("etc/master.cf", services);
        // Its processes run as users of their own, and a umask may have closed the way for them.
        for path in [folder.path().to_owned(), folder.path().join("etc")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our own folder");
        }
        for (name, owner) in [("queue", "root"), ("data", "postfix")] {
            let made = as_root("install")
                .args(["-d", "-o", owner])
                .arg(folder.path().join(name))
                .output()
                .expect("install runs");
            let said = String::from_utf8_lossy(&made.stderr).into_owned();
            assert!(made.status.success(), "{said}: is there a user postfix? {PACKAGES}");
        }
        let mut child = as_root("setsid")
            .args(["sh", "-c", KEEPER, "sh"])
            .arg(folder.path())
            .env("PATH", path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("setsid: {e}; apt-get install util-linux"));
        let complaints = Tap::on(child.stderr.take().expect("a pipe"));
        let log = Tap::on(child.stdout.take().expect("a pipe"));
        if let Err(said) = log.line(0, |line| line.contains("daemon started")) {
            drop(child.stdin.take());
            let _ = child.wait();
            return Err(format!("{said}{}", complaints.text()));
        }
        let running = Self { child, log, ports, more: added, folder };
        for port in [ports.plain_mx, ports.plain_submission, ports.plain_trusting] {
            let mut line = String::new();
            let outcome =
                BufReader::new(call(port, Ipv4Addr::new(127, 0, 0, 9)).0).read_line(&mut line);
            if outcome.is_err() || !line.starts_with("220 ") {
                return Err(format!("{line:?} is no greeting; {}", running.log.text()));
            }
        }
        drop(held);
        Ok(running)
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
            Err(said) => panic!("no line with {parts:?} in Postfix's log:\n{said}"),
        }
    }

    /// Waits until so many messages have been handed to Dovecot since `mark`.
    pub(crate) fn delivers(&self, mark: usize, messages: usize) {
        let mut from = mark;
        for n in 0..messages {
            match self.log.line(from, |line| line.contains("/lmtp[") && line.contains("status=")) {
                Ok((line, next)) => {
                    assert!(line.contains("status=sent"), "{line}");
                    from = next;
                }
                Err(said) => panic!("{n} of {messages} messages were delivered:\n{said}"),
            }
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // The last of its processes closes the log.
        if let Err(said) = self.log.end(PATIENCE) {
            eprintln!("Postfix is still running:\n{said}");
        } else {
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("Postfix's log:\n{}", self.log.text());
        } else if !is_root() {
            let _ = as_root("rm").arg("-rf").arg(self.folder.path()).output();
        }
    }
}

fn is_root() -> bool {
    geteuid().is_root()
}

/// Postfix works for nobody but root: its master gives each process the user that it needs.
pub(crate) fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let allowed = Command::new("sudo").args(["-n", "true"]).output();
    assert!(
        allowed.is_ok_and(|ran| ran.status.success()),
        "Postfix has to be started by root: run the tests as root, or where sudo asks for no password"
    );
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// Distributions keep it off the path of ordinary users.
fn path() -> String {
    format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default())
}

fn main_cf(folder: &Folder, dovecot: &Dovecot, leaf: Option<&Leaf>) -> String {
    let root = folder.path().display();
    let mut text = format!(
        "compatibility_level = 3.6
maillog_file = /dev/stdout
queue_directory = {root}/queue
data_directory = {root}/data
myhostname = backend.example.org
mydestination =
mynetworks = 127.0.0.1/32
inet_interfaces = 127.0.0.1
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_maps = inline:{{ alice@example.org=there, bob@example.org=there }}
virtual_transport = lmtp:unix:{lmtp}
disable_dns_lookups = yes
smtp_host_lookup = native
# Nobody here has a name, and the network need not be asked.
smtpd_peername_lookup = no
smtpd_banner = $myhostname ESMTP Backend here.
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
message_size_limit = 0
mailbox_size_limit = 0
virtual_mailbox_limit = 0
# As open to smuggling as it once was: what does not happen here, the front prevents.
smtpd_forbid_bare_newline = no
smtpd_forbid_unauth_pipelining = no
postscreen_access_list = cidr:{known}
postscreen_greet_wait = 1s
postscreen_greet_action = enforce
postscreen_pipelining_enable = yes
postscreen_pipelining_action = enforce
postscreen_non_smtp_command_enable = yes
postscreen_non_smtp_command_action = enforce
",
        lmtp = dovecot.folder().join("run/lmtp").display(),
        auth = dovecot.folder().join("run/auth-client").display(),
        // Probes come from here (RFC 5737), and one who has been through its tests before.
        known = folder.write("etc/known", "192.0.2.0/24 permit\n127.0.0.7/32 permit\n").display(),
    );
    if let Some(leaf) = leaf {
        let chain = folder.write("tls/chain.pem", format!("{}{}", leaf.key, leaf.fullchain()));
        secret(&chain);
        writeln!(
            text,
            "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {}",
            chain.display()
        )
        .unwrap();
    }
    text
}

fn secret(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("our own file");
}

fn master_cf(ports: Ports) -> String {
    let mut text = String::from(
        "postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
smtpd pass - - n - - smtpd
    -o syslog_name=postfix/screened
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
",
    );
    const PROXY: &str = "smtpd_upstream_proxy_protocol=haproxy";
    const SASL: &str = "smtpd_sasl_auth_enable=yes";
    const TRUST: [&str; 3] = [
        "mynetworks=127.0.0.0/8",
        "smtpd_authorized_xclient_hosts=127.0.0.0/8",
        "smtpd_authorized_xforward_hosts=127.0.0.0/8",
    ];
    let [networks, xclient, xforward] = TRUST;
    for (name, port, options) in [
        ("mx", ports.mx, &[PROXY][..]),
        ("submission", ports.submission, &[PROXY, SASL]),
        ("trusting", ports.trusting, &[PROXY, SASL, networks, xclient, xforward]),
        ("plain-mx", ports.plain_mx, &[]),
        ("plain-submission", ports.plain_submission, &[SASL]),
        ("plain-trusting", ports.plain_trusting, &[SASL, networks, xclient, xforward]),
        (
            "plain-xclient",
            ports.plain_xclient,
            &[SASL, "smtpd_authorized_xclient_hosts=127.0.0.1/32", "smtpd_client_port_logging=yes"],
        ),
    ] {
        service(name, port, options, &mut text);
    }
    writeln!(
        text,
        "127.0.0.1:{} inet n - n - 1 postscreen\n    -o postscreen_upstream_proxy_protocol=haproxy",
        ports.screened
    )
    .unwrap();
    text
}

fn service(name: &str, port: u16, options: &[&str], text: &mut String) {
    writeln!(text, "127.0.0.1:{port} inet n - n - - smtpd\n    -o syslog_name=postfix/{name}")
        .unwrap();
    for option in options {
        writeln!(text, "    -o {option}").unwrap();
    }
}
