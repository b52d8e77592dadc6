//! How each protocol of a backend learns who the client is.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::{
    Listener, Preset,
    section::{Notebook, Section},
};
use crate::{identity::Identity, protocol::Protocol};

/// What a backend's `identity` says.
#[derive(Clone, Debug, Default)]
pub(super) struct Identities {
    /// For protocols that are not named.
    for_all: Option<Identity>,
    named: BTreeMap<Protocol, Identity>,
}

/// Reads the key `identity`: one for all protocols, or one each.
pub(super) fn identities(section: &mut Section<'_>) -> Identities {
    let mut identities = Identities::default();
    if !matches!(section.value("identity"), Some(Value::Mapping(_))) {
        identities.for_all = section.take("identity");
        return identities;
    }
    for (name, value) in section.entries("identity") {
        let key = format!("identity.{name}");
        let path = section.path(&key);
        let protocol: Option<Protocol> = section.read(&path, &Value::String(name));
        let identity = section.read(&path, value);
        let Some((protocol, identity)) = protocol.zip(identity) else { continue };
        if let Some(why) = misfit(identity, protocol) {
            section.note(&key, why);
            continue;
        }
        identities.named.insert(protocol, identity);
    }
    identities
}

impl Identities {
    /// What is written, then what the product knows, then the default: a backend that does not see the
    /// client's address relays for everybody, so mail is told.
    pub(super) fn of(&self, protocol: Protocol, preset: Option<Preset>) -> Identity {
        let default = match protocol {
            Protocol::Http => Identity::Forwarded,
            Protocol::Raw => Identity::None,
            _ => Identity::ProxyV2,
        };
        // Who takes mail from users takes it in the same words as from servers.
        let like = if protocol == Protocol::Submission { Protocol::Smtp } else { protocol };
        let named = self.named.get(&protocol).or_else(|| self.named.get(&like));
        let usual = || preset.and_then(|preset| preset.identity(protocol));
        named.copied().or(self.for_all).or_else(usual).unwrap_or(default)
    }
}

/// Notes where the identity of all protocols is a word that a listener's protocol does not have.
pub(super) fn check(listeners: &[(String, Listener)], notebook: &Notebook) {
    let mut noted = BTreeSet::new();
    for (path, listener) in listeners {
        for destination in listener.destinations() {
            let identity = destination.identity;
            if let Some(why) = misfit(identity, listener.protocol)
                && noted.insert((path, listener.protocol, identity))
            {
                notebook.note(path, format!("its backend has identity: {identity}. {why}"));
            }
        }
    }
}

/// What is wrong with a dialect in this protocol, and what to write.
fn misfit(identity: Identity, protocol: Protocol) -> Option<String> {
    let name = protocol.name();
    let instead = match protocol {
        Protocol::Imap => "imap-id",
        Protocol::Http => "forwarded",
        Protocol::Raw => "none",
        _ => "xclient",
    };
    let fits = match identity {
        Identity::None | Identity::ProxyV1 | Identity::ProxyV2 => true,
        Identity::Forwarded | Identity::ImapId | Identity::Xclient => {
            identity.to_string() == instead
        }
    };
    (!fits).then(|| {
        format!("{name} has no {identity}: write `identity: {{ {name}: {instead} }}`, with the other protocols beside it, or proxy-v2, which goes with all")
    })
}
