//! The sockets of a configuration, bound all or none.

use std::{collections::BTreeMap, io, net::SocketAddr};

use super::{
    Unfit,
    listen::{self, Bound, Listening},
};
use crate::{
    config::{Config, Listener},
    values::{Site, Target},
};

/// A socket as the configuration names it: its address, and which of those that name it. Port 0,
/// which has the kernel choose, may well be named twice.
pub(super) type Named = (SocketAddr, usize);

/// The sockets of a configuration.
pub(super) fn named(config: &Config) -> impl Iterator<Item = (Named, &Listener)> {
    let mut times: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    config.listeners.iter().flat_map(|l| l.bind.iter().map(move |a| (*a, l))).map(
        move |(address, listener)| {
            let time = times.entry(address).or_default();
            *time += 1;
            ((address, *time), listener)
        },
    )
}

/// Binds what this configuration has and nobody listens on yet. All or nothing: on an error the
/// sockets that were bound are closed again.
pub(super) fn bind(
    config: &Config,
    listening: &BTreeMap<Named, Listening>,
) -> Result<BTreeMap<Named, Bound>, Unfit> {
    let mut problems: Vec<String> =
        config.listeners.iter().filter_map(|l| is_loop(config, l)).collect();
    let mut bound = BTreeMap::new();
    for (named, listener) in named(config).filter(|(named, _)| !listening.contains_key(named)) {
        let address = named.0;
        match listen::bind(address) {
            Ok(socket) => drop(bound.insert(named, socket)),
            Err(error) if listener.is_standard && address.is_ipv6() && has_no_ipv6(&error) => {
                tracing::warn!(%address, %error, "this machine has no IPv6, so nothing listens there");
            }
            Err(error) => problems.push(explain(address, &error, listening)),
        }
    }
    if problems.is_empty() { Ok(bound) } else { Err(Unfit(problems)) }
}

fn has_no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// A backend on an address of this machine, at a port that we listen on at all of its addresses.
fn is_loop(config: &Config, listener: &Listener) -> Option<String> {
    let targets = listener.destinations().flat_map(|d| &d.members).filter_map(|m| match &m.site {
        Site::At(Target::Tcp(target)) => Some(target),
        Site::At(Target::Unix(_)) | Site::Host { .. } => None,
    });
    let binds: Vec<SocketAddr> = config.listeners.iter().flat_map(|l| &l.bind).copied().collect();
    let target = targets.into_iter().find(|target| leads_here(&binds, target))?;
    Some(format!(
        "the backend {target} is this front itself, which would be a loop: move the mail server to another port"
    ))
}

/// Whether a connection to this address would come to a listener on all addresses.
pub(super) fn leads_here(binds: &[SocketAddr], target: &SocketAddr) -> bool {
    let is_bound = |bind: &SocketAddr| {
        bind.port() == target.port()
            && bind.ip().is_unspecified()
            && bind.is_ipv4() == target.is_ipv4()
    };
    binds.iter().any(is_bound) && listen::is_ours(target.ip())
}

/// What a failed bind means, and what to do about it.
fn explain(
    address: SocketAddr,
    error: &io::Error,
    listening: &BTreeMap<Named, Listening>,
) -> String {
    let port = address.port();
    let is_ours = listening
        .keys()
        .any(|(ours, _)| ours.port() == port && ours.is_ipv4() == address.is_ipv4());
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse if is_ours => {
            ": this front itself listens on that port at another address; to go from one to the other, restart it".to_owned()
        }
        io::ErrorKind::AddrInUse => format!(
            ": something listens there already, usually the mail server of this machine; move it to a loopback port such as 127.0.0.1:{} with the PROXY protocol, and name that port in the configuration",
            if port < 10_000 { port + 10_000 } else { port }
        ),
        io::ErrorKind::PermissionDenied => {
            ": ports below 1024 want CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE) or root".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => ": no interface of this machine has that address".to_owned(),
        _ => String::new(),
    };
    format!("cannot listen on {address}: {error}{advice}")
}
