//! Listening sockets.

use std::{
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, UdpSocket},
    pin::pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Poll, ready},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::AbortHandle,
};

use super::{
    admission::{Permit, Strangers},
    ids::Ids,
    introduce::introduce,
};
use crate::{
    backend,
    observe::Alerts,
    session::{Arrival, House, Policy, serve},
    wire::{Client, take_leave},
};

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 4096;

/// How long accepting rests when the system has no descriptor or memory to give.
const REST: Duration = Duration::from_millis(100);

/// What every accepted connection needs.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub house: Arc<House>,
    pub capacity: Arc<Semaphore>,
    pub strangers: Arc<Strangers>,
    pub ids: Arc<Ids>,
    pub alerts: Arc<Alerts>,
    /// Dropped by the last session: how the drain knows that it is over.
    pub alive: tokio::sync::mpsc::Sender<()>,
}

/// What a listener's sessions get: swapped at a reload, while the socket stays.
#[derive(Debug)]
pub(super) struct Manner {
    pub policy: Arc<Policy>,
    pub strangers_per_address: usize,
    /// Nobody asked for this listener in so many words.
    pub is_standard: bool,
    /// Whether it was said aloud that a front sends no PROXY header here. Once is enough.
    pub told: AtomicBool,
}

/// A bound socket that nobody accepts from yet.
#[derive(Debug)]
pub(super) struct Bound {
    pub address: SocketAddr,
    socket: TcpListener,
}

/// A socket that is being accepted from, for as long as this is there.
#[derive(Debug)]
pub(super) struct Listening {
    pub address: SocketAddr,
    manner: Arc<ArcSwap<Manner>>,
    task: AbortHandle,
}

/// Binds and listens.
pub(super) fn bind(address: SocketAddr) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the sessions of the last life.
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit these, which saves three system calls each.
    socket.set_tcp_nodelay(true)?;
    backend::keep_alive(&SockRef::from(&socket))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    // Registered here, where it may fail; opening it cannot.
    let socket = TcpListener::from_std(socket.into())?;
    Ok(Bound { address: socket.local_addr()?, socket })
}

/// Whether an address is this machine's.
pub(super) fn is_ours(address: std::net::IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

impl Bound {
    /// Accepts from now on.
    pub(super) fn open(self, manner: Manner, door: Door) -> Listening {
        let manner = Arc::new(ArcSwap::from_pointee(manner));
        let task = tokio::spawn(accept(self.socket, manner.clone(), door)).abort_handle();
        Listening { address: self.address, manner, task }
    }
}

impl Listening {
    /// What sessions get that come from now on.
    pub(super) fn change(&self, manner: Manner) {
        self.manner.store(Arc::new(manner));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts for ever.
async fn accept(socket: TcpListener, manner: Arc<ArcSwap<Manner>>, door: Door) {
    let mut troubled = false;
    loop {
        match next(&socket, &door.capacity).await {
            Ok((permit, tcp, peer)) => {
                troubled = false;
                admit(tcp, peer, &manner.load_full(), &door, permit);
            }
            Err(error) if is_fleeting(&error) => tracing::debug!(%error, "accept"),
            Err(error) => {
                // Once is enough: it goes on for as long as it goes on.
                if !troubled {
                    tracing::error!(%error, "connections cannot be accepted for now; is the limit of open files too low?");
                }
                troubled = true;
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// The next connection. Capacity first: while there is none, clients wait in the kernel's queue.
/// A listener that nobody comes to holds none.
async fn next(
    socket: &TcpListener,
    capacity: &Arc<Semaphore>,
) -> io::Result<(Permit, TcpStream, SocketAddr)> {
    let mut acquire = pin!(capacity.clone().acquire_owned());
    poll_fn(|cx| {
        let permit = ready!(acquire.as_mut().poll(cx)).map_err(io::Error::other)?;
        match socket.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(accepted.map(|(tcp, peer)| (permit, tcp, peer))),
            Poll::Pending => {
                drop(permit);
                acquire.set(capacity.clone().acquire_owned());
                Poll::Pending
            }
        }
    })
    .await
}

/// The connection was gone before we looked: accept(2), "Error handling".
fn is_fleeting(error: &io::Error) -> bool {
    let fleeting = [
        Errno::CONNABORTED,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::NONET,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::PROTO,
    ];
    Errno::from_io_error(error).is_some_and(|errno| fleeting.contains(&errno))
}

/// Who has just come: a client, or a front that brings one.
fn admit(tcp: TcpStream, peer: SocketAddr, manner: &Arc<Manner>, door: &Door, permit: Permit) {
    let Ok(local) = tcp.local_addr() else { return };
    let [peer, local] = [peer, local].map(|a| SocketAddr::new(a.ip().to_canonical(), a.port()));
    let arrival = Arrival { id: door.ids.next(), tcp, peer, local, via: None };
    if !manner.policy.is_front(peer.ip()) {
        return let_in(arrival, manner, door, permit);
    }
    let (manner, door) = (manner.clone(), door.clone());
    tokio::spawn(async move {
        let _guard = PanicGuard { peer };
        if let Some(arrival) = introduce(arrival, &manner, &door.house).await {
            let_in(arrival, &manner, &door, permit);
        }
    });
}

/// A client whose address is known.
fn let_in(arrival: Arrival, manner: &Arc<Manner>, door: &Door, permit: Permit) {
    let (policy, peer) = (manner.policy.clone(), arrival.peer);
    let Some(stranger) = door.strangers.admit(peer.ip(), manner.strangers_per_address) else {
        tracing::debug!(%peer, "limits.pre_login_per_address is reached");
        tokio::spawn(async move {
            turn_away(arrival.tcp, &policy).await;
            drop(permit);
        });
        return;
    };
    let (house, alerts, alive) = (door.house.clone(), door.alerts.clone(), door.alive.clone());
    let guard = PanicGuard { peer };
    tokio::spawn(async move {
        let summary = serve(arrival, &policy, &house, move || drop(stranger)).await;
        alerts.note(&summary);
        summary.log(&policy);
        drop((permit, alive, guard));
    });
}

/// In clear the client is told; a handshake would be too much of an honour.
async fn turn_away(tcp: TcpStream, policy: &Policy) {
    let mut words = Vec::new();
    if policy.tls != crate::values::TlsMode::Implicit {
        policy.farewell(crate::protocol::Refusal::TooManyConnections, &mut words);
    }
    take_leave(&mut Client::Tcp(tcp), &words, Duration::from_secs(1)).await;
}

/// A panic in a session ends that session alone; but it must not go unnoticed.
struct PanicGuard {
    peer: SocketAddr,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(peer = %self.peer, "a session panicked: this is a fault of ours, please report it");
        }
    }
}
