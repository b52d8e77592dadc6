//! Side by side with nginx as the https front of the same backend, which is another nginx:
//!
//! - small GETs on kept connections, HTTP/1.1 and HTTP/2 (h2load): processor time a request;
//! - a download of 1 GiB (curl): processor time;
//! - 1,000 connections that wait for their next request: memory.
//!
//! Each front has a core to itself; clients and backend share another. The two take turns in one run,
//! and what counts is the processor time that the kernel charges to the process.
//!
//! `cargo bench --bench web`, or `cargo bench --bench web -- idle` for one of `h1`, `h2`, `download` and
//! `idle`.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the figures are what this is for, and without its surroundings there are none"
)]

mod common;

use std::{
    env, fs,
    net::SocketAddr,
    path::Path,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use rustls::version::TLS13;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use common::{
    NAME,
    ca::{Ca, Kind},
    client, cores,
    folder::Folder,
    front::Front,
    nginx::{self, free},
};

/// How often the two take turns.
const ROUNDS: u32 = 8;
/// The requests of a turn, and the connections that they share.
const REQUESTS: u32 = 20_000;
const CONNECTIONS: u32 = 16;
/// Streams at a time on each, with HTTP/2.
const STREAMS: u32 = 10;
const DOWNLOAD: u64 = 1 << 30;
const IDLE: usize = 1_000;

/// Our share of nginx's figures that is to be reached.
const OF_H1: f64 = 1.3;
const OF_H2: f64 = 1.1;
const OF_DOWNLOAD: f64 = 0.9;
const OF_IDLE: f64 = 1.0;

fn main() -> ExitCode {
    let Some((fronts, rest)) = cores::two() else {
        eprintln!("two cores are wanted: one for the front, one for what keeps it busy");
        return ExitCode::FAILURE;
    };
    for (program, package) in
        [("nginx", "nginx-light"), ("h2load", "nghttp2-client"), ("curl", "curl")]
    {
        let mut command = Command::new(program);
        let is_there = command.arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if is_there.is_err() {
            eprintln!("{program} is not installed: apt-get install {package}");
            return ExitCode::FAILURE;
        }
    }
    cores::stay_on(rest);
    let is_wanted = |what: &str| {
        let mut named = env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
        named.peek().is_none() || named.any(|arg| arg == what)
    };
    let stage = Stage::set(fronts);
    if is_wanted("h1") {
        stage.requests("small GETs, HTTP/1.1", &["--h1"], OF_H1);
    }
    if is_wanted("h2") {
        stage.requests("small GETs, HTTP/2", &["-m", &STREAMS.to_string()], OF_H2);
    }
    if is_wanted("download") {
        stage.download("--http1.1", OF_DOWNLOAD);
        stage.download("--http2", OF_DOWNLOAD);
    }
    drop(stage);
    if is_wanted("idle") {
        // Fresh ones: what is left of a load would be counted, and hide what a connection takes.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(Stage::set(fronts).idle());
    }
    ExitCode::SUCCESS
}

struct Stage {
    ca: Ca,
    #[expect(dead_code, reason = "it lives as long as what is in it is served")]
    folder: Folder,
    root: std::path::PathBuf,
    #[expect(dead_code, reason = "it serves for as long as it is there")]
    backend: Front,
    ours: Front,
    theirs: Front,
}

impl Stage {
    fn set(core: usize) -> Self {
        let (folder, ca) = (Folder::new(), Ca::new("Bench"));
        let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
        let certificates = folder.path().join("live");
        leaf.certbot(&certificates.join(NAME));
        let root = folder.write("root.pem", ca.root_pem());
        let big = folder.write("html/big", "");
        let file = fs::OpenOptions::new().write(true).open(big).expect("a file");
        file.set_len(DOWNLOAD).expect("a sparse file");

        let to = free();
        let html = folder.path().join("html");
        let server = format!(
            "listen {to}; root {}; location = /small {{ return 200 \"hello\"; }}",
            html.display()
        );
        let backend = nginx(&folder.path().join("backend"), "", &server, to, None);
        let text = format!(
            "certificates: [{}]\nbackends: {{ web: {{ address: \"{to}\" }} }}\nlisteners:\n\
             \x20 - {{ bind: \"127.0.0.1:0\", protocol: http, tls: implicit, backend: web }}\n\
             limits: {{ pre_login_per_address: 5000 }}\n",
            certificates.display(),
        );
        let ours = Front::configured(&text, &folder.path().join("vestibule.yaml"), Some(core));
        let chain = folder.write("chain.pem", leaf.fullchain());
        let key = folder.write("key.pem", &leaf.key);
        let address = free();
        let upstream =
            format!("upstream web {{ server {to}; keepalive 256; keepalive_requests 100000000; }}");
        let server = format!(
            "listen {address} ssl http2; server_name {NAME};\n\
             ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;\n\
             location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;\n\
             proxy_set_header X-Forwarded-Port $server_port; proxy_max_temp_file_size 0; }}",
            chain.display(),
            key.display()
        );
        let theirs = nginx(&folder.path().join("front"), &upstream, &server, address, Some(core));
        Self { ca, folder, root, backend, ours, theirs }
    }

    /// Small requests on kept connections.
    fn requests(&self, what: &str, how: &[&str], wanted: f64) {
        let load = |front: &Front| {
            let address = front.address;
            let output = Command::new("h2load")
                .args(["-n", &REQUESTS.to_string(), "-c", &CONNECTIONS.to_string()])
                .args(how)
                .args(["--connect-to", &address.to_string()])
                .arg(format!("https://{NAME}:{}/small", address.port()))
                .output()
                .expect("h2load runs");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains(&format!("{REQUESTS} succeeded")), "{said}");
        };
        let spent = self.compare(ROUNDS, load);
        let each = spent.map(|s| s.as_secs_f64() * 1e6 / f64::from(ROUNDS * REQUESTS));
        print(what, each, "µs of processor time a request", wanted);
    }

    fn download(&self, version: &str, wanted: f64) {
        const TURNS: u32 = 3;
        let fetch = |front: &Front| {
            let port = front.address.port();
            let status = Command::new("curl")
                .args([version, "--silent", "--fail", "--output", "/dev/null", "--cacert"])
                .arg(&self.root)
                .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")])
                .arg(format!("https://{NAME}:{port}/big"))
                .status();
            assert!(status.expect("curl runs").success());
        };
        let spent = self.compare(TURNS, fetch);
        let each = spent.map(|s| s.as_secs_f64() * 1e3 / f64::from(TURNS));
        print(&format!("1 GiB, {version}"), each, "ms of processor time", wanted);
    }

    /// The processor time that each front takes: ours, and theirs.
    fn compare(&self, rounds: u32, turn: impl Fn(&Front)) -> [Duration; 2] {
        let fronts = [&self.ours, &self.theirs];
        // The first turns fill caches, and are not counted.
        fronts.iter().for_each(|front| turn(front));
        let mut spent = [Duration::ZERO; 2];
        for _ in 0..rounds {
            for (front, spent) in fronts.iter().zip(&mut spent) {
                let before = front.cpu();
                turn(front);
                *spent += front.cpu() - before;
            }
        }
        spent
    }

    async fn idle(&self) {
        let tls = TlsConnector::from(Arc::new(client::config(&self.ca, &TLS13)));
        let mut sets = [0.0; 2];
        for (front, set) in [&self.ours, &self.theirs].into_iter().zip(&mut sets) {
            // Both with all that they share: the backend is another nginx, and has half of the other's.
            let before = front.resident_set();
            let mut idle = Vec::with_capacity(IDLE);
            for _ in 0..IDLE {
                idle.push(one_request(front.address, &tls).await);
            }
            let after = front.resident_set();
            println!(
                "    {before} KiB before, {after} KiB with {IDLE}: {:.1} KiB each; {} KiB in proportion",
                (after - before) as f64 / IDLE as f64,
                front.proportional_set(),
            );
            *set = after as f64;
            drop(idle);
        }
        print("1,000 idle connections", sets, "KiB", OF_IDLE);
    }
}

/// Asks once, and stays.
async fn one_request(to: SocketAddr, tls: &TlsConnector) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(to).await.expect("it listens");
    let mut stream = tls.connect(client::name(), tcp).await.expect("a handshake");
    let request = format!("GET /small HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let (mut answer, mut length) = ([0; 4096], 0);
    while !answer[..length].ends_with(b"hello") {
        length += match stream.read(&mut answer[length..]).await.expect("it answers") {
            0 => panic!("it closes after {}", String::from_utf8_lossy(&answer[..length])),
            octets => octets,
        };
    }
    stream
}

fn print(what: &str, [ours, theirs]: [f64; 2], unit: &str, wanted: f64) {
    let ratio = ours / theirs;
    println!("{what}");
    println!("vestibule {ours:8.1} {unit}");
    println!("nginx     {theirs:8.1}");
    println!("ratio     {ratio:8.2} (wanted: {wanted})");
    println!("{}", if ratio <= wanted { "reached" } else { "missed" });
}

/// One process, which is the one that was started.
fn nginx(
    folder: &Path,
    http: &str,
    server: &str,
    address: SocketAddr,
    core: Option<usize>,
) -> Front {
    fs::create_dir_all(folder).expect("a folder");
    let top = folder.display();
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {top}/{kind};\n"))
        .collect();
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {top}/pid; error_log stderr error;\n\
         events {{ worker_connections 4000; }}\n\
         http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_timeout 600s; keepalive_requests 100000000;\n\
         {temp} {http} server {{ {server} }} }}\n"
    );
    nginx::start(folder, &text, address, core)
}
