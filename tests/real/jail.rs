//! Servers that cannot be installed beside each other: each runs in a root of its own, made of unpacked packages.

use std::{
    fs::{self, File},
    io::{self, Read, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{common::front::PATIENCE, postfix::as_root, tap::Tap};

/// Where `tests/run` has unpacked them.
const SERVERS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/servers");

/// The word `secret`, as `crypt(3)` keeps it.
pub(crate) const HASH: &str = "$6$vestibule$Y2rV3pnDZTPCo4q8w0eznJ4F/3IX.w0bxwHgkVvr7ypzh/zvjGr1oHelBfqzRo0a9qxeG1jeCuS6HB.d5HAPt0";

/// Makes a root like the one that was unpacked: folders of its own, files that are links. Users are named as the
/// packages' own scripts name them.
const MAKE: &str = r#"set -e
cp -al "$1" "$2"
cd "$2"
mkdir -p dev home/alice root run/lock tmp var/log var/mail
chmod 777 dev
chmod 1777 tmp var/mail
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/urandom c 1 9
ln -s /run var/run
cp usr/share/base-passwd/passwd.master etc/passwd
cp usr/share/base-passwd/group.master etc/group
n=64000
for user in alice Debian-exim courier cyrus opensmtpd opensmtpq; do
    n=$((n + 1))
    echo "$user:x:$n:$n::/home/$user:/bin/sh" >>etc/passwd
    echo "$user:x:$n:" >>etc/group
done
chown 64001:64001 home/alice
echo 'alice:HASH:19000:0:99999:7:::' >etc/shadow
echo '127.0.0.1 localhost backend.example.org' >etc/hosts
printf 'passwd: files\ngroup: files\nshadow: files\nhosts: files\n' >etc/nsswitch.conf
echo backend.example.org >etc/mailname
"#;

/// Runs a command in the root, and ends all that runs there once nobody holds the other end of its standard input:
/// not even a killed test leaves a server behind.
const KEEPER: &str = r#"
chroot "$1" /bin/sh -c "$2" </dev/null &
cat >/dev/null
inmates() { find /proc -maxdepth 2 -path '/proc/[0-9]*/root' '(' -lname "$1" -o -lname "$1/*" ')' 2>/dev/null | cut -d/ -f3; }
tries=0
while pids=$(inmates "$1"); [ -n "$pids" ]; do
    tries=$((tries + 1))
    signal=TERM
    [ $tries -lt 20 ] || signal=KILL
    kill -s $signal $pids 2>/dev/null
    sleep 0.1
done
wait
rm -rf "$1"
"#;

/// A root of a server's own. All that runs in it ends when it is dropped, and its files go, too.
pub(crate) struct Jail {
    root: PathBuf,
    log: Arc<Tap>,
    said: Option<Arc<Tap>>,
    keeper: Option<Child>,
}

impl Jail {
    /// Makes one, with alice in it, whose password is `secret`, and with a system log.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // The way there may lead over links, and /proc, by which its processes are found, knows none.
        let servers = fs::canonicalize(SERVERS).unwrap_or_else(|_| SERVERS.into());
        let unpacked = servers.join("root");
        assert!(
            unpacked.is_dir(),
            "the servers have to be unpacked into {SERVERS}: run tests/run, which does it (with any filter)"
        );
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = servers.join(format!("jail-{}-{n}", std::process::id()));
        let script = MAKE.replace("HASH", HASH);
        output(as_root("sh").args(["-c", &script, "sh"]).args([&unpacked, &root]));
        let dev = File::open(root.join("dev")).expect("just made");
        // The way to a socket may be 107 octets long, and who knows how long the way to this folder is.
        let short = format!("/proc/self/fd/{}/log", dev.as_raw_fd());
        let socket = UnixDatagram::bind(&short).expect("a socket in a folder that is everybody's");
        fs::set_permissions(&short, fs::Permissions::from_mode(0o666)).expect("our own socket");
        Self { root, log: Tap::on(Datagrams(socket)), said: None, keeper: None }
    }

    /// A file in it, as it is called outside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file's text.
    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&output(as_root("cat").arg(self.path(name)))).into_owned()
    }

    /// Writes a file, and makes the folders on the way. Never into one that is there: it is a link.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let script = "mkdir -p \"$(dirname \"$1\")\" && rm -f \"$1\" && cat >\"$1\"";
        let mut child = as_root("sh")
            .args(["-c", script, "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let written = child.stdin.take().expect("a pipe").write_all(text.as_bytes());
        assert!(written.is_ok() && child.wait().is_ok_and(|s| s.success()), "{}", path.display());
    }

    /// Replaces text in a file, which must have it.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{from:?} is not in {name}:\n{text}");
        self.write(name, &text.replace(from, to));
    }

    /// Adds lines to a file's end.
    pub(crate) fn append(&self, name: &str, lines: &str) {
        self.write(name, &format!("{}{lines}", self.read(name)));
    }

    /// Runs lines of shell in it, as root, and returns what they print; they must succeed.
    pub(crate) fn run(&self, lines: &str) -> String {
        let said = output(as_root("chroot").arg(&self.root).args(["/bin/sh", "-ec", lines]));
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Runs a line of shell in it for as long as there is this root, and waits until all of these ports are served.
    ///
    /// # Errors
    ///
    /// What it said, when it did not come to that.
    pub(crate) fn start(&mut self, line: &str, ports: &[u16]) -> Result<(), String> {
        let mut keeper = as_root("setsid")
            .args(["sh", "-c", KEEPER, "sh"])
            .arg(&self.root)
            .arg(line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("setsid: {e}; apt-get install util-linux"));
        self.said = keeper.stdout.take().map(Tap::on);
        self.keeper = Some(keeper);
        let deadline = Instant::now() + PATIENCE;
        while !ports.iter().all(|port| is_served(*port)) {
            if Instant::now() > deadline || self.text().contains("already in use") {
                return Err(self.text());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }

    /// How long its log is by now: a mark to wait from.
    pub(crate) fn mark(&self) -> usize {
        self.log.mark()
    }

    /// Waits for a log line from `mark` on that holds all of these.
    pub(crate) fn logs(&self, mark: usize, parts: &[&str]) -> String {
        match self.log.line(mark, |line| parts.iter().all(|&part| line.contains(part))) {
            Ok((line, _)) => line,
            Err(said) => panic!("no line with {parts:?} in the server's log:\n{said}"),
        }
    }

    /// Waits for so many such lines from `mark` on.
    pub(crate) fn logs_often(&self, mark: usize, times: usize, part: &str) {
        let mut from = mark;
        for n in 0..times {
            match self.log.line(from, |line| line.contains(part)) {
                Ok((_, next)) => from = next,
                Err(_) => panic!("{n} of {times} lines have {part:?}:\n{}", self.since(mark)),
            }
        }
    }

    /// All that was logged from `mark` on.
    pub(crate) fn since(&self, mark: usize) -> String {
        self.log.text_between(mark, self.log.mark())
    }

    fn text(&self) -> String {
        let said = self.said.as_ref().map_or(String::new(), |said| said.text());
        format!("{said}{}", self.log.text())
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.text());
        }
        let Some(mut keeper) = self.keeper.take() else {
            let _ = as_root("rm").arg("-rf").arg(&self.root).output();
            return;
        };
        drop(keeper.stdin.take());
        let _ = keeper.wait();
    }
}

/// Whether somebody listens there, without disturbing him.
fn is_served(port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").expect("Linux says who listens");
    // Its lines begin with a number, our address in network order, the other's, and 0A for who listens.
    sockets.contains(&format!(" 0100007F:{port:04X} 00000000:0000 0A "))
}

/// Ports that are free now; they differ.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    held.map(|socket| socket.local_addr().expect("it is bound").port())
}

/// What a command says that must succeed.
fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

/// A system log's socket, read like a pipe: one line each.
struct Datagrams(UnixDatagram);

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = buffer.len() - 1;
        let octets = self.0.recv(&mut buffer[..end])?;
        // Some end with a zero.
        let octets = octets - usize::from(buffer[..octets].ends_with(b"\0"));
        buffer[octets] = b'\n';
        Ok(octets + 1)
    }
}
