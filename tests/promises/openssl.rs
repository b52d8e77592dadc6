//! `openssl s_server`: a server that shows whatever it is told to.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A running one; ended when dropped.
pub(crate) struct SServer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl SServer {
    /// Shows the leaf in this file, and then the certificates in the other one, in their order.
    pub(crate) fn start(cert: &Path, key: &Path, rest: Option<&Path>, more: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_server", "-accept", "127.0.0.1:0"]).args(more);
        command.arg("-cert").arg(cert).arg("-key").arg(key);
        if let Some(rest) = rest {
            command.arg("-cert_chain").arg(rest);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|e| panic!("openssl: {e}; apt-get install openssl"));
        // It says what is typed to it, so that nobody waits for its first word.
        child.stdin.as_mut().expect("a pipe").write_all(b"hello\n").expect("it reads");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let accept = lines
            .find_map(|line| line.expect("text").strip_prefix("ACCEPT ").map(str::to_owned))
            .expect("it listens");
        // Who does not read along would stop it in the end.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address: accept.parse().expect("an address") }
    }
}

impl Drop for SServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs openssl, and returns what it printed.
pub(crate) fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("openssl: {e}; apt-get install openssl"));
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// How many certificates `openssl s_client` is shown at this address.
pub(crate) fn shown(address: SocketAddr, more: &[&str]) -> usize {
    let address = address.to_string();
    let arguments = [&["s_client", "-showcerts", "-connect", &address], more].concat();
    openssl(&arguments).matches("-----BEGIN CERTIFICATE-----").count()
}
