//! Where the backend listens, and where the front comes from: out of a configuration, or words in
//! their place.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use crate::{
    config::{Config, Member, Preset},
    identity::Identity,
    protocol::Protocol,
    values::{Site, Target},
};

/// One of the backend's ports that this front goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Door {
    pub protocol: Protocol,
    /// An address, as the server's own configuration writes it, without brackets.
    pub address: String,
    pub port: u16,
    pub identity: Identity,
}

impl Door {
    /// `10.0.0.5:25`, `[2001:db8::5]:25`.
    pub(super) fn socket(&self) -> String {
        match self.address.contains(':') {
            true => format!("[{}]:{}", self.address, self.port),
            false => format!("{}:{}", self.address, self.port),
        }
    }
}

/// All that the lines need to know of this place.
#[derive(Debug)]
pub(super) struct Places {
    pub doors: Vec<Door>,
    /// The addresses that the front calls from.
    pub fronts: Vec<String>,
    /// What should be known, and is not to be pasted.
    pub remarks: Vec<String>,
}

impl Places {
    /// Words for what is not known.
    pub(super) fn unknown(preset: Preset) -> Self {
        let spoken = Protocol::ALL.into_iter().filter(|p| *p != Protocol::Raw && preset.speaks(*p));
        let door = |protocol: Protocol| Door {
            protocol,
            address: "BACKEND".to_owned(),
            port: protocol.row().port,
            identity: usual(preset, protocol),
        };
        Self {
            doors: spoken.map(door).collect(),
            fronts: vec!["FRONT".to_owned()],
            remarks: vec!["BACKEND stands for the mail server's address, FRONT for this front's; --config FILE fills them in".to_owned()],
        }
    }

    /// What this configuration says of backends that are such servers.
    pub(super) fn of(preset: Preset, config: &Config) -> Result<Self, String> {
        let (mut doors, mut fronts) = (BTreeSet::new(), BTreeSet::new());
        let mut remarks = Vec::new();
        let all =
            config.listeners.iter().flat_map(|l| l.destinations().map(move |d| (l.protocol, d)));
        for (protocol, destination) in all.filter(|(_, d)| d.preset == Some(preset)) {
            for Member { site, .. } in &destination.members {
                let target = match site {
                    Site::At(Target::Tcp(target)) => target,
                    Site::At(Target::Unix(path)) => {
                        let path = path.display();
                        remarks.push(format!("the Unix socket {path} is not among these lines"));
                        continue;
                    }
                    Site::Host { .. } => {
                        remarks.push(format!(
                            "{site} is a name: write its address to have lines for it"
                        ));
                        continue;
                    }
                };
                doors.insert(Door {
                    protocol,
                    address: target.ip().to_string(),
                    port: target.port(),
                    identity: destination.identity,
                });
                match source(*target) {
                    Some(ip) => drop(fronts.insert(ip.to_string())),
                    None => remarks.push(format!("this machine has no way to {target} now: put in its address there where FRONT is written")),
                }
            }
        }
        if doors.is_empty() {
            return Err(format!(
                "no listener goes to a backend with `preset: {preset}`: write it beside the backend's `address`, or leave --config out"
            ));
        }
        if fronts.is_empty() {
            fronts.insert("FRONT".to_owned());
        }
        remarks.sort();
        remarks.dedup();
        Ok(Self {
            doors: doors.into_iter().collect(),
            fronts: fronts.into_iter().collect(),
            remarks,
        })
    }
}

/// What a backend with this preset and no identity of its own gets.
fn usual(preset: Preset, protocol: Protocol) -> Identity {
    preset.identity(protocol).unwrap_or(match protocol {
        Protocol::Http => Identity::Forwarded,
        Protocol::Raw => Identity::None,
        _ => Identity::ProxyV2,
    })
}

/// The address that this machine calls from. Nothing is sent: the kernel looks it up.
fn source(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
