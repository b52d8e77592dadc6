//! A blocking socket with a deadline.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How much of the first octets is kept.
const FIRST: usize = 512;

/// A connection. Reading and writing fail with `TimedOut` once the phase's deadline is over.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    deadline: Instant,
    first: Vec<u8>,
}

impl Socket {
    /// Connects within this time.
    pub(super) fn connect(to: SocketAddr, time: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, time)?;
        // What is to arrive in one segment leaves in one.
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline: Instant::now() + time, first: Vec::new() })
    }

    /// Begins a phase, which has this much time.
    pub(super) fn phase(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
        self.first.clear();
    }

    /// The first octets that have come in this phase.
    pub(super) fn first(&self) -> &[u8] {
        &self.first
    }

    /// Our own address as EHLO names it: RFC 5321 §4.1.3.
    pub(super) fn our_name(&self) -> String {
        match self.stream.local_addr().map(|a| a.ip().to_canonical()) {
            Ok(std::net::IpAddr::V4(address)) => format!("[{address}]"),
            Ok(std::net::IpAddr::V6(address)) => format!("[IPv6:{address}]"),
            Err(_) => "[127.0.0.1]".to_owned(),
        }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        let octets = self.stream.read(buffer).map_err(in_time)?;
        let room = FIRST.saturating_sub(self.first.len());
        self.first.extend_from_slice(&buffer[..octets.min(room)]);
        Ok(octets)
    }
}

impl Write for Socket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(octets).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The addresses of a host, within this time: the system's resolver has no clock of its own.
pub(super) fn resolve(host: &str, port: u16, time: Duration) -> io::Result<Vec<SocketAddr>> {
    let (found, answer) = mpsc::channel();
    let host = host.to_owned();
    // It ends by itself, or with the process.
    thread::spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Nobody waits any more: then nobody needs to know.
        let _ = found.send(addresses);
    });
    answer.recv_timeout(time).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Unix calls it `WouldBlock` when a socket's own timeout is over.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}
