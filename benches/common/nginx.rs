//! nginx as a front beside ours.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    cores,
    front::{Front, drain},
};

/// An address that is free now.
pub fn free() -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    address.expect("a port")
}

/// Runs nginx with this configuration, in this folder, until it listens at this address.
pub fn start(folder: &Path, text: &str, address: SocketAddr, core: Option<usize>) -> Front {
    let config = folder.join("nginx.conf");
    fs::write(&config, text).expect("the configuration can be written");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&config).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = cores::on(core, || command.spawn()).expect("nginx starts");
    drain(child.stderr.take().expect("a pipe"));
    let front = Front::other(child, address);
    let listens = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        TcpStream::connect(address).is_ok()
    });
    assert!(listens, "nginx does not start");
    front
}
