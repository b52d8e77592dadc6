//! Connects to a backend.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::{values::Target, wire::Link};

/// Connects within this time.
pub async fn dial(target: &Target, patience: Duration) -> io::Result<Link> {
    let connect = async {
        match target {
            Target::Tcp(address) => {
                let tcp = TcpStream::connect(address).await?;
                tcp.set_nodelay(true)?;
                keep_alive(&SockRef::from(&tcp))?;
                Ok(Link::Tcp(tcp))
            }
            Target::Unix(path) => Ok(Link::Unix(UnixStream::connect(path).await?)),
        }
    };
    timeout(patience, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Finds out about peers that vanished without a word, within about two minutes. Accepted sockets
/// inherit it from the listening one.
///
/// There is no limit for octets that are on their way: on Linux it would also end sessions with a
/// peer that is there and does not read for a while, which is what the idle timer is for.
pub fn keep_alive(socket: &SockRef<'_>) -> io::Result<()> {
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&probes)
}
