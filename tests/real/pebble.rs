//! A certificate authority of the test's own: Pebble, and the DNS server that it asks.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::common::{
    ca::{Ca, Kind},
    folder::Folder,
    front::PATIENCE,
};

/// An address of the loopback network that is this test's own, and ports there that nobody else takes:
/// the authority has to know the front's ports before the front begins.
pub(crate) struct Ground {
    pub(crate) address: Ipv4Addr,
}

impl Ground {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { address: Ipv4Addr::new(127, 64 | (high & 63), low, n) }
    }

    /// A port that is free here. Others listen on other addresses.
    pub(crate) fn port(&self) -> u16 {
        let held = TcpListener::bind((self.address, 0)).expect("a free port");
        held.local_addr().expect("bound").port()
    }
}

/// What an authority is to be like.
#[derive(Clone)]
pub(crate) struct Manner {
    /// How long its certificates are valid, in seconds.
    pub(crate) validity: u64,
    /// Names that it refuses.
    pub(crate) refused: Vec<String>,
    /// Accounts that ours may be bound to: id and key.
    pub(crate) external: Option<(String, String)>,
    /// How many of its own nonces it refuses, in percent.
    pub(crate) nonces: u8,
    /// How often it remembers that a name is ours, in percent.
    pub(crate) remembers: u8,
    /// Up to how many seconds it waits before it looks; `None`: it does not wait.
    pub(crate) sleeps: Option<u8>,
}

impl Default for Manner {
    fn default() -> Self {
        let (refused, external) = (Vec::new(), None);
        Self {
            validity: 90 * 86_400,
            refused,
            external,
            nonces: 10,
            remembers: 50,
            sleeps: Some(1),
        }
    }
}

/// A running authority; stopped when dropped.
pub(crate) struct Pebble {
    api: Option<Child>,
    dns: Child,
    ca: Ca,
    folder: Folder,
    manner: Manner,
    pub(crate) ground: Ground,
    /// Where it looks on the front: http-01, and tls-alpn-01.
    pub(crate) http: u16,
    pub(crate) tls: u16,
    listen: SocketAddr,
    management: SocketAddr,
    dns_at: SocketAddr,
    dns_management: SocketAddr,
}

impl Pebble {
    pub(crate) fn start(manner: Manner) -> Self {
        let mut pebble = Self::down(manner);
        pebble.come();
        pebble
    }

    /// One that is not there yet.
    pub(crate) fn down(manner: Manner) -> Self {
        let ground = Ground::new();
        let at = |port| SocketAddr::from((ground.address, port));
        let (dns_at, dns_management) = (at(ground.port()), at(ground.port()));
        let dns = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "pebble-challtestsrv"])
            .args(["-dns01", &dns_at.to_string(), "-management", &dns_management.to_string()])
            .args(["-defaultIPv4", &ground.address.to_string(), "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("setpriv: {e}; apt-get install util-linux pebble"));
        reached(dns_management, "pebble-challtestsrv (apt-get install pebble)");
        Self {
            api: None,
            dns,
            ca: Ca::new("Pebble's own"),
            folder: Folder::new(),
            manner,
            http: ground.port(),
            tls: ground.port(),
            listen: at(ground.port()),
            management: at(ground.port()),
            dns_at,
            dns_management,
            ground,
        }
    }

    /// It asks another DNS server from its next beginning on.
    pub(crate) fn asks(&mut self, server: SocketAddr) {
        self.dns_at = server;
    }

    /// It begins, and knows nothing of what was before.
    pub(crate) fn come(&mut self) {
        let leaf = self.ca.leaf(&[&self.ground.address.to_string()], Kind::Ecdsa);
        let certificate = self.folder.write("api.pem", leaf.fullchain());
        let key = self.folder.write("api.key", &leaf.key);
        let Manner { validity, refused, external, nonces, remembers, sleeps } = &self.manner;
        let mut config = serde_json::json!({
            "listenAddress": self.listen.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": self.http,
            "tlsPort": self.tls,
            "certificateValidityPeriod": validity,
            "domainBlocklist": refused,
        });
        if let Some((id, key)) = external {
            config["externalAccountBindingRequired"] = true.into();
            config["externalAccountMACKeys"] = serde_json::json!({ id: key });
        }
        let config =
            self.folder.write("pebble.json", serde_json::json!({ "pebble": config }).to_string());
        let said = fs::File::create(self.folder.path().join("said")).expect("a file of our own");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "pebble", "-strict", "-config"]).arg(config);
        command.args(["-dnsserver", &self.dns_at.to_string()]);
        command.env("PEBBLE_WFE_NONCEREJECT", nonces.to_string());
        command.env("PEBBLE_AUTHZREUSE", remembers.to_string());
        match sleeps {
            Some(seconds) => command.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
            None => command.env("PEBBLE_VA_NOSLEEP", "1"),
        };
        let other = said.try_clone().expect("a file");
        let child = command.stdin(Stdio::null()).stdout(said).stderr(other).spawn();
        self.api = Some(child.expect("setpriv runs"));
        reached(self.listen, "pebble (apt-get install pebble)");
        reached(self.management, "pebble's management");
    }

    /// It is gone.
    pub(crate) fn go(&mut self) {
        if let Some(mut api) = self.api.take() {
            let _ = api.kill();
            let _ = api.wait();
        }
    }

    /// It answers nobody.
    pub(crate) fn falls_asleep(&self) {
        self.signal(Signal::STOP);
    }

    /// It answers again.
    pub(crate) fn wakes_up(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.api.as_ref().expect("it is there").id();
        let pid = Pid::from_raw(id.cast_signed()).expect("a process");
        kill_process(pid, signal).expect("it is there");
    }

    /// All names lead to this address.
    pub(crate) fn looks_at(&self, address: Ipv4Addr) {
        self.dns("set-default-ipv4", &serde_json::json!({ "ip": address }).to_string());
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://{}/dir", self.listen)
    }

    /// The file with the authority that its own web server is trusted by.
    pub(crate) fn trust(&self) -> PathBuf {
        self.ca.write_root(self.folder.path())
    }

    /// The part of a configuration that says that it issues.
    pub(crate) fn as_yaml(&self, challenge: &str, more: &str) -> String {
        format!(
            "acme:\n  directory: {}\n  trust: {}\n  agree_to_terms: true\n  contact: postmaster@example.org\n  challenge: {challenge}\n{more}",
            self.directory(),
            self.trust().display()
        )
    }

    /// The root that its certificates lead to.
    pub(crate) fn root(&self) -> String {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.ca.root_pem().as_bytes()).expect("PEM");
        roots.add(root).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
        let name = ServerName::try_from(self.ground.address.to_string()).expect("an address");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        let tcp = TcpStream::connect(self.management).expect("its management is there");
        let mut stream = StreamOwned::new(tls, tcp);
        write!(stream, "GET /roots/0 HTTP/1.0\r\nHost: {}\r\n\r\n", self.management)
            .expect("asked");
        let mut text = Vec::new();
        // It may forget to say that it is over.
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        text.split_once("\r\n\r\n").expect("an answer").1.to_owned()
    }

    /// Tells its DNS server something: `add-txt`, `set-servfail` …
    pub(crate) fn dns(&self, what: &str, json: &str) {
        let mut stream = TcpStream::connect(self.dns_management).expect("its DNS is there");
        write!(stream, "POST /{what} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{json}", json.len())
            .expect("told");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer");
        assert!(line.contains(" 200 "), "{what}: {line}");
    }

    /// Where its DNS server is told things.
    pub(crate) fn dns_management(&self) -> SocketAddr {
        self.dns_management
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }
}

/// Waits until somebody listens there.
pub(crate) fn reached(at: SocketAddr, who: &str) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(at).is_err() {
        assert!(Instant::now() < deadline, "{who} does not listen on {at}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.go();
        let _ = self.dns.kill();
        let _ = self.dns.wait();
        if std::thread::panicking() {
            for line in self.said().lines() {
                eprintln!("pebble: {line}");
            }
        }
    }
}
