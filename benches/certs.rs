//! Stores of many certificates, as certbot lays them out: how long until the first of them is
//! served, what a reload costs, what each takes in memory, and what sessions notice of a load.
//! The front has a core of its own.
//!
//! `cargo bench --bench certs`, or `cargo bench --bench certs -- 10000` for one size
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "the figures are what this is for, and without its surroundings there are none"
)]

mod common;

use std::{
    fmt, fs,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, Command},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, CustomExtension};
use rustls::{pki_types::ServerName, version::TLS13};
use tokio::{net::TcpStream, runtime::Runtime};
use tokio_rustls::TlsConnector;
use vestibule::certs::{self, CertificateSet, Sources, Wishes};

use common::{
    NAME, backend,
    ca::{Ca, Kind, Leaf},
    client, cores,
    folder::Folder,
    front::Front,
};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// Server certificates carry what two logs have signed, and where their issuer's is: some 400 octets.
const MORE: usize = 400;

/// File systems count time in coarse steps, so what is younger is read once more.
const SETTLED: Duration = Duration::from_secs(3);

/// Sessions' round trips are watched for so long.
const QUIET: Duration = Duration::from_secs(3);

/// The least of them that a hundredth says something of.
const TRIPS: usize = 2_000;

fn main() {
    let wanted: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let sizes = if wanted.is_empty() { SIZES.to_vec() } else { wanted };
    let cores = cores::two();
    if let Some((_, others)) = cores {
        cores::stay_on(others);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let stage = Stage {
        runtime: runtime.expect("a runtime"),
        ca: Ca::new("Bench"),
        core: cores.map(|(ours, _)| ours),
    };
    let (_one, base) = stage.memory(1);
    for size in sizes {
        println!("{size} certificates");
        stage.measure(size, base);
    }
}

struct Stage {
    runtime: Runtime,
    ca: Ca,
    /// The front's own.
    core: Option<usize>,
}

impl Stage {
    fn measure(&self, size: usize, base: u64) {
        let (store, memory) = self.memory(size);
        let each = (memory - base) as f64 / size as f64;
        println!("  memory of each            {each:8.2} KiB (wanted: 6)");

        let live = store.path().join("live");
        lookups(&live, size);
        let front = self.start(&store);
        front.wait_until_proven(size);
        std::thread::sleep(SETTLED);
        again(&front); // Everything was younger than that when it was first read.
        let unchanged = (0..5).map(|_| again(&front)).min().expect("some");
        println!("  reload, nothing changed   {unchanged}");
        let changed = (0..5).map(|n| {
            renew(&self.ca, &store, n);
            again(&front)
        });
        let changed = changed.min().expect("some");
        println!("  reload, one changed       {changed} (wanted: 150 of 10,000)");
        self.runtime.block_on(round_trips(self, &front, &store));
    }

    /// A store of this size, and what a front with it takes, in KiB.
    fn memory(&self, size: usize) -> (Folder, u64) {
        let store = Folder::new();
        self.ca.write_root(store.path());
        for n in 0..size {
            lay(&self.ca, store.path(), n);
        }
        std::thread::sleep(SETTLED);
        // The page cache is warm, as it is for whoever has just renewed.
        drop(self.start(&store));
        let begin = Instant::now();
        let front = self.start(&store);
        self.runtime.block_on(shake(&self.ca, &front, &name(size - 1)));
        let first = Taken { cpu: front.cpu(), wall: begin.elapsed() };
        println!(
            "  start to first handshake  {first} (wanted of 10,000: 2,000, better 600; of 100,000: 20,000, better 6,000)"
        );
        front.wait_until_proven(size);
        println!("  … to all chains verified  {:8.0} ms", millis(begin.elapsed()));
        (store, front.proportional_set())
    }

    fn start(&self, store: &Folder) -> Front {
        let backend = self.runtime.block_on(backend::start());
        let config = store.path().join("vestibule.yaml");
        Front::vestibule(&store.path().join("live"), backend, &config, self.core)
    }
}

trait Proven {
    /// Up to a thousand are verified before anything is served.
    fn wait_until_proven(&self, size: usize);
}

impl Proven for Front {
    fn wait_until_proven(&self, size: usize) {
        if size > 1_000 {
            self.wait("all chains are verified");
        }
    }
}

fn name(n: usize) -> String {
    if n == 0 { NAME.to_owned() } else { format!("mail.customer-{n}.example.org") }
}

/// As large as those of public authorities.
fn leaf(ca: &Ca, n: usize) -> Leaf {
    ca.leaf_with(&[&name(n)], Kind::Ecdsa, |params: &mut CertificateParams| {
        let logs =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], vec![4; MORE]);
        params.custom_extensions.push(logs);
    })
}

/// `live/NAME/*.pem` → `archive/NAME/*1.pem`
fn lay(ca: &Ca, store: &Path, n: usize) {
    let leaf = leaf(ca, n);
    let (live, archive) = (store.join("live").join(name(n)), store.join("archive").join(name(n)));
    fs::create_dir_all(&live).expect("a folder");
    fs::create_dir_all(&archive).expect("a folder");
    write(&archive, 1, &leaf);
    for part in ["cert", "chain", "fullchain", "privkey"] {
        point(&live, &name(n), part, 1);
    }
    fs::write(live.join("README"), "Keep out of here.\n").expect("a file");
}

fn write(archive: &Path, version: usize, leaf: &Leaf) {
    for (part, text) in [
        ("cert", &leaf.cert),
        ("chain", &leaf.chain),
        ("fullchain", &leaf.fullchain()),
        ("privkey", &leaf.key),
    ] {
        let file = archive.join(format!("{part}{version}.pem"));
        fs::write(&file, text).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
}

fn point(live: &Path, name: &str, part: &str, version: usize) {
    let link = live.join(format!("{part}.pem"));
    let _ = fs::remove_file(&link);
    symlink(format!("../../archive/{name}/{part}{version}.pem"), link).expect("a link");
}

/// What certbot does when it has a new certificate.
fn renew(ca: &Ca, store: &Folder, n: usize) {
    let archive = store.path().join("archive").join(name(n));
    write(&archive, 2, &leaf(ca, n));
    let live = store.path().join("live").join(name(n));
    for part in ["cert", "chain", "fullchain", "privkey"] {
        point(&live, &name(n), part, 2);
    }
}

/// How long a reload takes.
fn again(front: &Front) -> Taken {
    let (begin, cpu) = (Instant::now(), front.cpu());
    front.hang_up();
    front.wait("reloaded");
    Taken { cpu: front.cpu() - cpu, wall: begin.elapsed() }
}

/// How long something has taken; the processor's time is what a busy machine leaves alone.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    cpu: Duration,
    wall: Duration,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.0} ms, {:.0} of them CPU", millis(self.wall), millis(self.cpu))
    }
}

fn lookups(live: &Path, size: usize) {
    let sources = Sources { certificates: vec![live.to_owned()], ..Sources::default() };
    let store = certs::load(&sources, None);
    let set = CertificateSet::new(&store, &Wishes::default()).0;
    // A name that has just come from a client is near the processor: so they stand in a row here.
    let joined = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(" ");
    let names = joined(&mut (0..100_000).map(|n| name(n * 7919 % size)));
    let names: Vec<&str> = names.split(' ').collect();
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let time = |names: &[&str]| {
        let begin = Instant::now();
        for name in names {
            black_box(set.choose(Some(black_box(name)), local));
        }
        begin.elapsed().as_nanos() as f64 / names.len() as f64
    };
    time(&names);
    println!("  lookup                    {:8.0} ns (wanted: 200)", time(&names));
    let unknown = joined(&mut (0..1_000_000).map(|n| format!("{n}.unknown.example")));
    let unknown: Vec<&str> = unknown.split(' ').collect();
    let before = resident();
    println!("  lookup of unknown names   {:8.0} ns", time(&unknown));
    println!("  … a million leave behind  {:8} KiB", resident().saturating_sub(before));
}

/// Our own memory, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("proc(5)");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What sessions notice while everything is read again: beside a machine that does nothing else, and beside
/// one whose core the front shares with a loop of the least priority, which is no load of ours. Where
/// processors are virtual, that alone makes some round trips long.
async fn round_trips(stage: &Stage, front: &Front, store: &Folder) {
    let tls = TlsConnector::from(Arc::new(client::config(&stage.ca, &TLS13)));
    let mut session = client::log_in(front.address, &tls).await.expect("a login");
    let mut quiet = Trips::default();
    let until = Instant::now() + QUIET;
    quiet.watch(&mut session, || Instant::now() >= until).await;
    let mut beside = Trips::default();
    let loops = Loop::start(stage.core);
    let until = Instant::now() + QUIET;
    beside.watch(&mut session, || Instant::now() >= until).await;
    drop(loops);
    let mut busy = Trips::default();
    while busy.0.len() < TRIPS {
        touch(store);
        front.hang_up();
        busy.watch(&mut session, || front.has_said("reloaded")).await;
    }
    println!("  round trips               {quiet}");
    println!("  … beside a mere loop      {beside}");
    println!("  … during a load of all    {busy} (wanted: p99 twice the quiet one)");
    session.log_out().await.expect("a logout");
}

/// Every file looks as if it had been renewed; what is due to be written has been.
fn touch(store: &Folder) {
    for entry in fs::read_dir(store.path().join("archive")).expect("a folder") {
        for file in fs::read_dir(entry.expect("an entry").path()).expect("a folder") {
            let file = fs::File::options().append(true).open(file.expect("an entry").path());
            file.expect("a file").set_modified(std::time::SystemTime::now()).expect("a time");
        }
    }
    rustix::fs::sync();
}

/// Keeps a core busy, behind all others.
struct Loop(Child);

impl Loop {
    fn start(core: Option<usize>) -> Self {
        let mut command = Command::new("nice");
        command.args(["-n", "19", "sh", "-c", "while :; do :; done"]);
        Self(cores::on(core, || command.spawn()).expect("a shell"))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long round trips took.
#[derive(Default)]
struct Trips(Vec<Duration>);

impl Trips {
    async fn watch(&mut self, session: &mut client::LoggedIn, mut is_over: impl FnMut() -> bool) {
        while !is_over() {
            let begin = Instant::now();
            session.noop().await.expect("an answer");
            self.0.push(begin.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl fmt::Display for Trips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.0.clone();
        times.sort_unstable();
        let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
        let micros = |time: Duration| time.as_nanos() as f64 / 1_000.0;
        let (half, most) = (micros(at(50)), micros(at(99)));
        write!(f, "{half:8.0} µs, p99 {most:.0} µs, of {}", times.len())
    }
}

async fn shake(ca: &Ca, front: &Front, name: &str) {
    let tls = TlsConnector::from(Arc::new(client::config(ca, &TLS13)));
    let tcp = TcpStream::connect(front.address).await.expect("a connection");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    tls.connect(name, tcp).await.expect("a handshake");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
