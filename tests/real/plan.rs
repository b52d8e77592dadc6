//! The front before a server of some preset, with both sides' lines from the front.

use std::path::PathBuf;

use serde_json::Value;

use crate::{
    clients::{Door, How, NAME, Protocol},
    common::{
        ca::{Ca, Kind},
        commands::{check_backends, vestibule},
        folder::Folder,
        front::Front,
    },
    jail::{Jail, free_ports},
    mailroom::{Slot, Way},
};

/// Where a balancer before the front comes from, whose word counts (`proxy_from`).
pub(crate) const BALANCER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 7);

/// A configuration of the front, and the ports of the server behind it.
pub(crate) struct Plan {
    preset: &'static str,
    ports: Vec<(&'static str, u16)>,
    folder: Folder,
    root: PathBuf,
}

/// The front, and what is behind it.
pub(crate) struct Scene {
    pub(crate) front: Front,
    pub(crate) jail: Jail,
    pub(crate) plan: Plan,
}

impl Scene {
    /// Starts a server of this preset for these protocols, as `serve` does it, and the front before it.
    ///
    /// The front then looks at the server (`check --backends`), and finds nothing that it could not be helped with.
    pub(crate) fn set<const N: usize>(
        preset: &'static str,
        protocols: [&'static str; N],
        serve: impl Fn(&Plan, &mut Jail) -> Result<(), String>,
    ) -> Self {
        // Between learning a free port and using it, somebody else may take it: then again, with others.
        for _ in 0..5 {
            let plan = Plan::new(preset, protocols);
            let mut jail = Jail::new();
            match serve(&plan, &mut jail) {
                Ok(()) => {
                    plan.is_well(&plan.as_yaml());
                    return Self { front: Front::start(&plan.as_yaml()), jail, plan };
                }
                Err(said) if said.contains("already in use") => {}
                Err(said) => panic!("{preset} did not start: {said}"),
            }
        }
        panic!("five times in a row somebody took the ports meant for {preset}");
    }

    /// The ways in for mail: 25, and those where who sends has to say who he is.
    pub(crate) fn slots(&self) -> Vec<Slot<'_>> {
        let root = &self.plan.root;
        let ways = self.plan.ways().into_iter().enumerate();
        ways.filter_map(|(n, (protocol, tls))| {
            let login = match protocol {
                "smtp" => false,
                "submission" => true,
                _ => return None,
            };
            let way = if tls == "implicit" { Way::Implicit } else { Way::Starttls };
            Some(Slot { way, login, port: self.front.port(n), root })
        })
        .collect()
    }

    /// The ways in to read mail.
    pub(crate) fn doors(&self) -> Vec<Door<'_>> {
        let root = &self.plan.root;
        let ways = self.plan.ways().into_iter().enumerate();
        ways.filter_map(|(n, (protocol, tls))| {
            let protocol = match protocol {
                "imap" => Protocol::Imap,
                "pop3" => Protocol::Pop3,
                "sieve" => Protocol::Sieve,
                _ => return None,
            };
            let how = if tls == "implicit" { How::Implicit } else { How::Starttls };
            Some(Door { protocol, how, port: self.front.port(n), root })
        })
        .collect()
    }
}

impl Plan {
    fn new<const N: usize>(preset: &'static str, protocols: [&'static str; N]) -> Self {
        let ca = Ca::new("Test");
        let leaf = ca.leaf(&[NAME, "localhost"], Kind::Ecdsa);
        let folder = Folder::new();
        let root = ca.write_root(folder.path());
        leaf.certbot(&folder.path().join("live").join(NAME));
        let ports = protocols.into_iter().zip(free_ports::<N>()).collect();
        Self { preset, ports, folder, root }
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        self.ports.iter().map(|(_, port)| *port).collect()
    }

    /// The front's listeners, in their order.
    fn ways(&self) -> Vec<(&'static str, &'static str)> {
        let ways = |protocol| match protocol {
            "smtp" => vec![(protocol, "starttls-optional")],
            _ => vec![(protocol, "starttls"), (protocol, "implicit")],
        };
        self.ports.iter().flat_map(|(protocol, _)| ways(*protocol)).collect()
    }

    fn as_yaml(&self) -> String {
        let mut text = format!(
            "hostname: {NAME}
certificates: [{}]
proxy_from: [{BALANCER}/32]
backends:
",
            self.folder.path().join("live").display(),
        );
        for (protocol, port) in &self.ports {
            text.push_str(&format!(
                "  {protocol}: {{ address: \"127.0.0.1:{port}\", preset: {} }}\n",
                self.preset
            ));
        }
        text.push_str("listeners:\n");
        for (protocol, tls) in self.ways() {
            text.push_str(&format!(
                "  - {{ bind: \"127.0.0.1:0\", protocol: {protocol}, tls: {tls}, backend: {protocol} }}\n"
            ));
        }
        text
    }

    /// X13: no stranger may relay, and nothing is amiss between the two sides but that some servers cannot be told who
    /// their clients are.
    fn is_well(&self, config: &str) {
        let (_, backends) = check_backends(config);
        assert!(!backends.is_empty());
        for backend in backends {
            let findings = backend["findings"].as_array().expect("a list");
            assert!(findings.is_empty(), "{backend:#}");
            for tested in backend["relay"].as_array().into_iter().flatten() {
                assert_eq!(tested["verdict"], "refused", "{backend:#}");
            }
        }
    }

    /// What the front prints for the server's side: files and lines.
    pub(crate) fn sections(&self) -> Vec<(String, String)> {
        self.folder.write("printed.yaml", self.as_yaml());
        let arguments = ["backend-config", self.preset, "--config", "printed.yaml", "--json"];
        let said = vestibule(self.folder.path(), &arguments);
        // 1: a server that is not told is a warning.
        assert!(said.code <= 1, "{}{}", said.out, said.err);
        let said: Value = serde_json::from_str(&said.out).expect("JSON");
        let sections = said["sections"].as_array().expect("sections");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        sections.iter().map(|s| (text(&s["file"]), text(&s["lines"]))).collect()
    }

    /// The lines for one file.
    pub(crate) fn lines(&self, file: &str) -> String {
        let mut sections = self.sections().into_iter();
        let found = sections.find(|(name, _)| name.contains(file));
        found.unwrap_or_else(|| panic!("no lines are printed for {file}")).1
    }
}
