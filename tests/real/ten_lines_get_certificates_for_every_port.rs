//! With nothing but a configuration of ten lines, a front has certificates within seconds, on IMAP's
//! port as on SMTP's and the web's.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
};

use tokio::net::TcpListener;
use vestibule::demo::{self, Service, Store};

use crate::{
    common::{folder::Folder, front::Front, tls::NAME},
    ordering::served,
    pebble::{Manner, Pebble},
};

/// A mail server in this process: where it speaks SMTP, IMAP and HTTP.
fn mail_server() -> (tokio::runtime::Runtime, [SocketAddr; 3]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let store = Store::new();
    let addresses = [Service::Smtp, Service::Imap, Service::Web].map(|service| {
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(demo::serve(service, listener, store.clone()));
        address
    });
    (runtime, addresses)
}

/// What OpenSSL's client says that trusts this root alone.
fn s_client(to: SocketAddr, root: &Path, more: &[&str]) -> String {
    let output = Command::new("timeout")
        .args(["20", "openssl", "s_client", "-connect", &to.to_string(), "-servername", NAME])
        .args(["-verify_hostname", NAME, "-verify_return_error", "-no-CApath", "-no-CAstore"])
        .arg("-CAfile")
        .arg(root)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn from_an_empty_folder() {
    let pebble = Pebble::start(Manner::default());
    let (_runtime, [smtp, imap, http]) = mail_server();
    let (folder, ground) = (Folder::new(), pebble.ground.address);
    let ports = [pebble.ground.port(), pebble.ground.port(), pebble.tls];
    let config = format!(
        "hostname: {NAME}
state_dir: {state}
log: json debug
backends: {{ here: {{ address: 127.0.0.1, ports: {{ smtp: {}, imap: {}, http: {} }} }} }}
backend: here
listeners:
  - {{ bind: \"{ground}:{}\", protocol: smtp, tls: starttls-optional }}
  - {{ bind: \"{ground}:{}\", protocol: imap, tls: implicit }}
  - {{ bind: \"{ground}:{}\", protocol: http, tls: implicit }}
acme: {{ directory: \"{}\", trust: {}, agree_to_terms: true, challenge: tls-alpn-01, domains: {NAME} }}
",
        smtp.port(),
        imap.port(),
        http.port(),
        ports[0],
        ports[1],
        ports[2],
        pebble.directory(),
        pebble.trust().display(),
        state = folder.path().join("state").display(),
    );
    assert_eq!(config.lines().count(), 10);
    let front = Front::start(&config);
    served(&front, 0);
    let root = folder.write("root.pem", pebble.root());
    let at = |n: usize| SocketAddr::from((ground, ports[n]));
    for (n, more) in [(0, &["-starttls", "smtp"][..]), (1, &[]), (2, &["-alpn", "http/1.1"])] {
        let said = s_client(at(n), &root, more);
        assert!(said.contains("Verify return code: 0 (ok)"), "{n}: {said}");
        assert!(said.contains("Pebble Intermediate"), "{n}: {said}");
    }
    let page = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--cacert"])
        .arg(&root)
        .args(["--connect-to", &format!("{NAME}:443:{}", at(2)), &format!("https://{NAME}/")])
        .output()
        .expect("curl runs");
    let said = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.status.success(), "{said}{}", String::from_utf8_lossy(&page.stderr));
}
