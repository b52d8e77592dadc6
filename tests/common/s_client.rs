//! `openssl s_client` with an IMAP server: it says good-bye at once, and tells what it saw.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

use super::tls::NAME;

/// What it has printed.
#[derive(Debug)]
pub struct Said(pub String);

/// Shakes hands as [`NAME`]'s client, with these arguments, and logs out.
pub fn s_client(to: SocketAddr, arguments: &[&str]) -> Said {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &to.to_string(), "-ign_eof"])
        .args(if arguments.contains(&"-servername") { &[][..] } else { &["-servername", NAME] })
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("apt-get install openssl");
    // It may be gone already.
    let _ = child.stdin.take().expect("a pipe").write_all(b"o LOGOUT\r\n");
    let output = child.wait_with_output().expect("openssl ends");
    Said(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

impl Said {
    /// Whether the server has answered inside TLS.
    pub fn is_served(&self) -> bool {
        self.0.contains("o OK ")
    }

    /// The alert that the server has sent.
    pub fn alert(&self) -> Option<u8> {
        let (_, number) = self.0.split_once("SSL alert number ")?;
        number.split_whitespace().next()?.parse().ok()
    }
}
