//! `vestibule demo`: the main job, for somebody with no mail server at hand.
//!
//! A mail server in memory stands behind, on ports that the kernel picks; the front before it is
//! the one that `serve` runs, with a configuration that is written down like anybody's.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};

use tokio::net::TcpListener;

use super::UNFIT;
use crate::{
    certs::authority_and_leaf,
    daemon::{self, Unfit},
    demo::{self, Service, Store},
    observe::log,
    protocol::Protocol,
    values::TlsMode,
};

/// What the demo listens on: the standard ports, moved.
const LISTENERS: [(Service, Protocol, TlsMode, u16); 5] = [
    (Service::Imap, Protocol::Imap, TlsMode::Starttls, 143),
    (Service::Imap, Protocol::Imap, TlsMode::Implicit, 993),
    (Service::Pop3, Protocol::Pop3, TlsMode::Starttls, 110),
    (Service::Pop3, Protocol::Pop3, TlsMode::Implicit, 995),
    (Service::Sieve, Protocol::Sieve, TlsMode::Starttls, 4190),
];

pub(super) fn demo(offset: u16) -> ExitCode {
    let outcome = Folder::new().and_then(|folder| run(&folder, offset));
    log::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(unfit) => {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("{unfit}\n"));
            ExitCode::from(UNFIT)
        }
    }
}

fn run(folder: &Folder, offset: u16) -> Result<(), Unfit> {
    let issued = authority_and_leaf("Vestibule demo authority", &["localhost"])
        .map_err(|e| failed("a certificate cannot be made", &e))?;
    folder.write("ca.pem", &issued.authority)?;
    folder.write("certificates/localhost.crt", &issued.certificate)?;
    folder.write("certificates/localhost.key", &issued.key)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| failed("threads cannot be started", &e))?;
    let outcome = runtime.block_on(async {
        let backends = mail_server()
            .await
            .map_err(|e| failed("the mail server of the demo cannot listen", &e))?;
        let text = configuration(folder.path(), offset, &backends)?;
        let file = folder.write("vestibule.yaml", &text)?;
        let loaded = daemon::load(&file, None)?;
        log::start(log::Form { json: false, level: tracing::Level::INFO });
        let guide = guide(&folder.path().join("ca.pem"), offset);
        daemon::run(file, loaded, || {
            log::flush();
            // Whoever closed our standard output does not want to read it.
            let _ = io::Write::write_all(&mut io::stdout(), guide.as_bytes());
        })
        .await
    });
    runtime.shutdown_background();
    outcome
}

/// Starts the mail server. Each of its protocols listens somewhere.
async fn mail_server() -> io::Result<Vec<(Protocol, SocketAddr)>> {
    let store = Store::new();
    let mut addresses = Vec::new();
    for (service, protocol) in [
        (Service::Imap, Protocol::Imap),
        (Service::Pop3, Protocol::Pop3),
        (Service::Sieve, Protocol::Sieve),
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        addresses.push((protocol, listener.local_addr()?));
        tokio::spawn(demo::serve(service, listener, store.clone()));
    }
    Ok(addresses)
}

fn configuration(
    folder: &Path,
    offset: u16,
    backends: &[(Protocol, SocketAddr)],
) -> Result<String, Unfit> {
    let ports: Vec<String> =
        backends.iter().map(|(p, a)| format!("{}: {}", p.name(), a.port())).collect();
    let mut listeners = String::new();
    for (_, protocol, tls, port) in LISTENERS {
        let port = moved(port, offset)?;
        listeners += &format!(
            "  - {{ bind: \"127.0.0.1:{port}\", protocol: {}, tls: {tls} }}\n",
            protocol.name()
        );
    }
    Ok(format!(
        "hostname: localhost\nstate_dir: {0}/state\ncertificates: [{0}/certificates]\nintermediates: [{0}/ca.pem]\nbackends:\n  demo: {{ address: 127.0.0.1, ports: {{ {1} }} }}\nlisteners:\n{listeners}timeouts: {{ drain: 1s }}\n",
        folder.display(),
        ports.join(", "),
    ))
}

fn moved(port: u16, offset: u16) -> Result<u16, Unfit> {
    port.checked_add(offset)
        .ok_or_else(|| Unfit::from(format!("--port-offset {offset}: {port} + {offset} is no port")))
}

fn guide(ca: &Path, offset: u16) -> String {
    let ca = ca.display();
    let port = |port: u16| port.saturating_add(offset);
    format!(
        "
Vestibule is serving a mail server that lives in memory. User `demo`, password `demo`.
Paste any of these into another terminal:

  curl --cacert {ca} -u demo:demo 'imaps://localhost:{imaps}/INBOX;MAILINDEX=1'
  curl --cacert {ca} -u demo:demo --ssl-reqd 'imap://localhost:{imap}/INBOX;MAILINDEX=1'
  curl --cacert {ca} -u demo:demo --ssl-reqd 'pop3://localhost:{pop3}/1'
  curl --cacert {ca} -u demo:demo 'pop3s://localhost:{pop3s}/1'
  openssl s_client -connect localhost:{imap} -starttls imap -servername localhost -CAfile {ca} -brief </dev/null
  openssl s_client -connect localhost:{sieve} -starttls sieve -servername localhost -CAfile {ca} -brief </dev/null

The configuration is {folder}/vestibule.yaml; `kill -HUP {pid}` reads it again.
Ctrl-C ends the demo and removes its folder.

",
        imaps = port(993),
        imap = port(143),
        pop3 = port(110),
        pop3s = port(995),
        sieve = port(4190),
        folder = Path::new(&ca.to_string()).parent().unwrap_or(Path::new("")).display(),
        pid = std::process::id(),
    )
}

/// A temporary folder that nobody else can look into. It is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Unfit> {
        let path = std::env::temp_dir().join(format!("vestibule-demo-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| failed(&format!("{} cannot be made", path.display()), &e))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Unfit> {
        let path = self.0.join(name);
        let written = || {
            fs::create_dir_all(path.parent().unwrap_or(&self.0))?;
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            io::Write::write_all(&mut file, text.as_bytes())
        };
        written().map_err(|e| failed(&format!("{} cannot be written", path.display()), &e))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "{} cannot be removed", self.0.display());
        }
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> Unfit {
    Unfit::from(format!("{what}: {error}"))
}
