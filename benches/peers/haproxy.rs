//! HAProxy, set up for the same job: TLS in front, the PROXY protocol with what is known of TLS
//! behind, one log line a session, one thread.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd,
    path::Path,
    process::{Command, Stdio},
};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::common::{
    cores,
    front::{Front, drain},
};

pub(crate) fn is_installed() -> bool {
    Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_ok()
}

/// Starts it on a socket that listens already: there is no port to agree on, and nothing to wait
/// for, since clients that are early wait in the kernel's queue.
pub(crate) fn start(certificate: &Path, backend: SocketAddr, config: &Path, core: usize) -> Front {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("a port");
    fcntl_setfd(&socket, FdFlags::empty()).expect("a socket that is inherited");
    let text = format!(
        "global
    nbthread 1
    maxconn 4000
    ssl-default-bind-curves X25519
    log stderr format raw local0 info
defaults
    mode tcp
    log global
    option tcplog
    option dontlognull
    timeout connect 5s
    timeout client 31m
    timeout server 31m
frontend imaps
    bind fd@{} ssl crt {}
    default_backend mail
backend mail
    server mail {backend} send-proxy-v2-ssl
",
        socket.as_raw_fd(),
        certificate.display(),
    );
    fs::write(config, text).expect("the configuration can be written");
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(config).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = cores::on(Some(core), || command.spawn()).expect("haproxy starts");
    drain(child.stderr.take().expect("a pipe"));
    Front::other(child, address)
}
