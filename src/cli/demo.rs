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
    daemon::{self, Hangups, Unfit},
    demo::{self, Service, Store},
    observe::log,
    protocol::Protocol,
    values::TlsMode,
};

/// What stands behind.
const SERVICES: [(Service, Protocol); 6] = [
    (Service::Smtp, Protocol::Smtp),
    (Service::Submission, Protocol::Submission),
    (Service::Imap, Protocol::Imap),
    (Service::Pop3, Protocol::Pop3),
    (Service::Sieve, Protocol::Sieve),
    (Service::Web, Protocol::Http),
];

/// What the demo listens on: the standard ports, moved.
const LISTENERS: [(Protocol, TlsMode, u16); 10] = [
    (Protocol::Smtp, TlsMode::StarttlsOptional, 25),
    (Protocol::Submission, TlsMode::Implicit, 465),
    (Protocol::Submission, TlsMode::Starttls, 587),
    (Protocol::Imap, TlsMode::Starttls, 143),
    (Protocol::Imap, TlsMode::Implicit, 993),
    (Protocol::Pop3, TlsMode::Starttls, 110),
    (Protocol::Pop3, TlsMode::Implicit, 995),
    (Protocol::Sieve, TlsMode::Starttls, 4190),
    (Protocol::Http, TlsMode::None, 80),
    (Protocol::Http, TlsMode::Implicit, 443),
];

/// What the pasted commands send.
const MESSAGE: &str = "From: You <you@example.org>\r\nTo: Demo <demo@localhost>\r\nSubject: Hello\r\n\r\nThrough the vestibule.\r\n";

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
    folder.write("hello.eml", MESSAGE)?;
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
        let hangups = Hangups::take()?;
        let loaded = daemon::load(&file, daemon::Purpose::Start)?;
        log::start(log::Form { json: false, level: tracing::Level::INFO });
        let guide = guide(folder.path(), offset);
        daemon::run(file, loaded, hangups, || {
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
    for (service, protocol) in SERVICES {
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
    for (protocol, tls, port) in LISTENERS {
        let port = moved(port, offset)?;
        listeners += &format!(
            "  - {{ bind: \"127.0.0.1:{port}\", protocol: {}, tls: {tls} }}\n",
            protocol.name()
        );
    }
    Ok(format!(
        "hostname: localhost\nstate_dir: {0}/state\ncertificates: [{0}/certificates]\nintermediates: [{0}/ca.pem]\nbackends:\n  demo: {{ address: 127.0.0.1, ports: {{ {1} }} }}\nlisteners:\n{listeners}timeouts: {{ drain: 1s }}\nlimits: {{ connections: 500 }}\n",
        folder.display(),
        ports.join(", "),
    ))
}

fn moved(port: u16, offset: u16) -> Result<u16, Unfit> {
    port.checked_add(offset)
        .ok_or_else(|| Unfit::from(format!("--port-offset {offset}: {port} + {offset} is no port")))
}

fn guide(folder: &Path, offset: u16) -> String {
    let (folder, pid) = (folder.display(), std::process::id());
    let [smtp, submissions, submission, imap, imaps, pop3, pop3s, sieve, http, https] =
        LISTENERS.map(|(_, _, port)| port.saturating_add(offset));
    format!(
        "
Vestibule is serving a mail server that lives in memory. User `demo`, password `demo`.
Paste any of these into another terminal. Read a message:

  curl --cacert {folder}/ca.pem -u demo:demo 'imaps://localhost:{imaps}/INBOX;MAILINDEX=1'
  curl --cacert {folder}/ca.pem -u demo:demo --ssl-reqd 'imap://localhost:{imap}/INBOX;MAILINDEX=1'
  curl --cacert {folder}/ca.pem -u demo:demo --ssl-reqd 'pop3://localhost:{pop3}/1'
  curl --cacert {folder}/ca.pem -u demo:demo 'pop3s://localhost:{pop3s}/1'

Send one, as another mail server does, and as a mail program does; then read number 2:

  curl --cacert {folder}/ca.pem --ssl-reqd smtp://localhost:{smtp} --mail-from you@example.org --mail-rcpt demo@localhost -T {folder}/hello.eml
  curl --cacert {folder}/ca.pem -u demo:demo --ssl-reqd smtp://localhost:{submission} --mail-from demo@localhost --mail-rcpt demo@localhost -T {folder}/hello.eml
  curl --cacert {folder}/ca.pem -u demo:demo smtps://localhost:{submissions} --mail-from demo@localhost --mail-rcpt demo@localhost -T {folder}/hello.eml

Look at the certificate, and at the web page:

  openssl s_client -connect localhost:{imap} -starttls imap -servername localhost -CAfile {folder}/ca.pem -brief </dev/null
  openssl s_client -connect localhost:{sieve} -starttls sieve -servername localhost -CAfile {folder}/ca.pem -brief </dev/null
  curl -L --cacert {folder}/ca.pem http://localhost:{http}/
  curl --cacert {folder}/ca.pem https://localhost:{https}/

The configuration is {folder}/vestibule.yaml; `kill -HUP {pid}` reads it again.
Ctrl-C ends the demo and removes its folder.

",
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
