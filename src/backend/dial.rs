//! Connects to a backend.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};

use crate::{values::Target, wire::Link};

/// How soon a Unix socket is tried again whose queue is full: nobody tells when it is not.
const AGAIN: Duration = Duration::from_millis(10);

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
            Target::Unix(path) => loop {
                match UnixStream::connect(path).await {
                    // connect(2): its queue is full, which ends as soon as it accepts.
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => sleep(AGAIN).await,
                    connected => return Ok(Link::Unix(connected?)),
                }
            },
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::*;

    #[tokio::test]
    async fn a_full_queue_is_waited_for() {
        let path = std::env::temp_dir().join(format!("vestibule-dial-{}", std::process::id()));
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let listener = UnixListener::from(socket);
        let _first = UnixStream::connect(&path).unwrap();
        let target = Target::Unix(path.clone());
        let soon = dial(&target, Duration::from_millis(50)).await;
        assert_eq!(soon.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let later = tokio::spawn(async move { dial(&target, Duration::from_secs(10)).await });
        let _accepted = listener.accept().unwrap();
        assert!(later.await.unwrap().is_ok());
        std::fs::remove_file(path).unwrap();
    }
}
