//! The set for mail that comes in: a Postfix, the Dovecot that it delivers to, the front before both.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, TcpStream},
    path::Path,
};

use rustls::{ClientConnection, StreamOwned};

use crate::{
    clients::{self, Door, How, NAME, Protocol},
    common::{
        front::Front,
        peer::{Bytes, Peer},
    },
    dovecot::{Options, Ssl},
    postfix::{FOR_DOVECOT, Postfix},
    smtp,
    stage::{Backend, Identity, call, secure, trust},
};

/// How a client comes to a port for mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Clear,
    Implicit,
    Starttls,
}

/// A port that takes mail, how it is entered, and the root that vouches for its certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'a> {
    pub(crate) way: Way,
    /// Whether who sends here has to say who he is.
    pub(crate) login: bool,
    pub(crate) port: u16,
    pub(crate) root: &'a Path,
}

/// The listeners of the front, in their order: protocol, TLS, backend.
const LISTENERS: [(&str, &str, &str); 7] = [
    ("smtp", "starttls-optional", "postfix"),
    ("submission", "starttls", "postfix"),
    ("submission", "implicit", "postfix"),
    ("imap", "starttls", "dovecot"),
    ("imap", "implicit", "dovecot"),
    ("pop3", "starttls", "dovecot"),
    ("pop3", "implicit", "dovecot"),
];

/// Postfix and Dovecot, and the authority that their certificates and the front's come from.
pub(crate) struct Servers {
    pub(crate) postfix: Postfix,
    pub(crate) dovecot: Backend,
}

/// The front before both.
pub(crate) struct Mailroom {
    pub(crate) front: Front,
    pub(crate) servers: Servers,
}

impl Servers {
    /// A Postfix with a STARTTLS of its own, as most have it.
    pub(crate) fn new() -> Self {
        Self::with(true)
    }

    pub(crate) fn with(starttls: bool) -> Self {
        let options = Options { ssl: Ssl::No, more: FOR_DOVECOT, ..Options::default() };
        let dovecot = Backend::with(&options);
        dovecot.leaf.certbot(&dovecot.live().join(NAME));
        let postfix = Postfix::start(&dovecot.dovecot, starttls.then_some(&dovecot.leaf));
        Self { postfix, dovecot }
    }

    /// The way to Postfix with no front between.
    pub(crate) fn direct(&self, way: Way, login: bool) -> Slot<'_> {
        let ports = self.postfix.ports;
        let port = if login { ports.plain_submission } else { ports.plain_mx };
        Slot { way, login, port, root: &self.dovecot.root }
    }

    /// A front's configuration up to its listeners: `postfix` with these ports is behind SMTP.
    pub(crate) fn as_yaml(&self, identity: &str, smtp: u16, submission: u16) -> String {
        let dovecot = self.dovecot.dovecot.ports;
        format!(
            "hostname: {NAME}
certificates: [{}]
backends:
  postfix: {{ address: 127.0.0.1, identity: {identity}, ports: {{ smtp: {smtp}, submission: {submission} }} }}
  dovecot: {{ address: 127.0.0.1, ports: {{ imap: {}, pop3: {} }} }}
",
            self.dovecot.live().display(),
            dovecot.imap,
            dovecot.pop3,
        )
    }

    /// The front before them, with its usual listeners and these lines besides.
    fn front(
        &self,
        identity: &str,
        smtp: u16,
        submission: u16,
        listener: &str,
        top: &str,
    ) -> Front {
        let mut config = self.as_yaml(identity, smtp, submission);
        config.push_str(top);
        config.push_str("\nlisteners:\n");
        for (protocol, tls, backend) in LISTENERS {
            let more = if backend == "postfix" { listener } else { "" };
            writeln!(
                config,
                "  - {{ bind: \"127.0.0.1:0\", protocol: {protocol}, tls: {tls}, backend: {backend}{more} }}"
            )
            .unwrap();
        }
        Front::start(&config)
    }

    /// What lies in alice's mailbox, read from Dovecot directly, each message with LF as line end.
    pub(crate) fn mail(&self) -> Vec<String> {
        let mut peer = call(self.dovecot.dovecot.ports.plain_pop3, smtp::CLIENT);
        peer.line();
        crate::dialogue::log_in(&mut peer, Protocol::Pop3);
        peer.send("STAT\r\n");
        let stat = peer.line();
        let count: usize = stat.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
        (1..=count)
            .map(|n| {
                peer.send(format!("RETR {n}\r\n"));
                peer.until("+OK");
                let all = crate::dialogue::read_to(&mut peer, |all| all.ends_with(b"\r\n.\r\n"));
                let text = String::from_utf8_lossy(&all).replace("\r\n", "\n");
                text.trim_end_matches(".\n").replace("\n..", "\n.")
            })
            .collect()
    }
}

impl Mailroom {
    pub(crate) fn set() -> Self {
        Self::before(Servers::new(), "", "")
    }

    /// Before the services that expect a PROXY header; with lines to add to the SMTP listeners (after a comma), and
    /// to the configuration.
    pub(crate) fn before(servers: Servers, listener: &str, top: &str) -> Self {
        let ports = servers.postfix.ports;
        let front = servers.front("proxy-v2", ports.mx, ports.submission, listener, top);
        Self { front, servers }
    }

    /// Before the services of Postfix that believe all of this machine.
    pub(crate) fn before_trusting(servers: Servers, identity: &str) -> Self {
        let ports = servers.postfix.ports;
        let port =
            if identity.starts_with("proxy") { ports.trusting } else { ports.plain_trusting };
        let front = servers.front(identity, port, port, "", "");
        Self { front, servers }
    }

    /// Before the services of Postfix that are told so who their clients are.
    pub(crate) fn told_by(servers: Servers, identity: Identity) -> Self {
        let ports = servers.postfix.ports;
        let (smtp, submission) = match identity {
            Identity::ProxyV1 | Identity::ProxyV2 => (ports.mx, ports.submission),
            Identity::Words => (ports.plain_xclient, ports.plain_xclient),
        };
        Self::before_ports(servers, identity.as_yaml(), smtp, submission)
    }

    /// Before other services of Postfix.
    pub(crate) fn before_ports(
        servers: Servers,
        identity: &str,
        smtp: u16,
        submission: u16,
    ) -> Self {
        let front = servers.front(identity, smtp, submission, "", "");
        Self { front, servers }
    }

    /// Port 25, either way.
    pub(crate) fn mx(&self, way: Way) -> Slot<'_> {
        assert_ne!(way, Way::Implicit, "port 25 begins in clear");
        Slot { way, login: false, port: self.front.port(0), root: &self.servers.dovecot.root }
    }

    /// Port 587 or 465.
    pub(crate) fn submission(&self, way: Way) -> Slot<'_> {
        let port = self.front.port(if way == Way::Implicit { 2 } else { 1 });
        Slot { way, login: true, port, root: &self.servers.dovecot.root }
    }

    /// All ways by which mail comes in: 25 in clear and with STARTTLS, 587, 465.
    pub(crate) fn slots(&self) -> [Slot<'_>; 4] {
        [
            self.mx(Way::Clear),
            self.mx(Way::Starttls),
            self.submission(Way::Starttls),
            self.submission(Way::Implicit),
        ]
    }

    /// Those in TLS.
    pub(crate) fn secure_slots(&self) -> [Slot<'_>; 3] {
        let [_, starttls, submission, implicit] = self.slots();
        [starttls, submission, implicit]
    }

    /// The four ways by which it is read.
    pub(crate) fn mail_doors(&self) -> Vec<Door<'_>> {
        let doors = [
            (Protocol::Imap, How::Starttls),
            (Protocol::Imap, How::Implicit),
            (Protocol::Pop3, How::Starttls),
            (Protocol::Pop3, How::Implicit),
        ];
        doors
            .into_iter()
            .zip(3..)
            .map(|((protocol, how), n)| Door {
                protocol,
                how,
                port: self.front.port(n),
                root: &self.servers.dovecot.root,
            })
            .collect()
    }

    /// The first message in alice's mailbox, as each mail port gives it to curl.
    pub(crate) fn read_back(&self) -> Vec<(Door<'_>, String)> {
        self.mail_doors()
            .into_iter()
            .map(|door| {
                let read = clients::curl(&door, "127.0.0.5");
                (door, String::from_utf8_lossy(&read).into_owned())
            })
            .collect()
    }
}

/// Goes in, up to where the server waits for the first command: EHLO.
pub(crate) fn enter(slot: &Slot<'_>, source: Ipv4Addr) -> Peer<Box<dyn Bytes>> {
    let mut clear = call(slot.port, source);
    match slot.way {
        Way::Clear => {
            smtp::expect(&mut clear, "220", "the connection");
            boxed(clear)
        }
        Way::Implicit => {
            let mut inside = secure(clear, trust(slot.root));
            smtp::expect(&mut inside, "220", "the handshake");
            boxed(inside)
        }
        Way::Starttls => boxed(upgrade(clear, slot)),
    }
}

/// A session's bytes, whatever is around them.
fn boxed<S: Bytes + 'static>(Peer(stream): Peer<S>) -> Peer<Box<dyn Bytes>> {
    Peer(Box::new(stream))
}

/// From the greeting through STARTTLS to the first command in TLS.
pub(crate) fn upgrade(
    mut clear: Peer<TcpStream>,
    slot: &Slot<'_>,
) -> Peer<StreamOwned<ClientConnection, TcpStream>> {
    smtp::expect(&mut clear, "220", "the connection");
    smtp::say(&mut clear, "EHLO clear.example.net", "250");
    smtp::say(&mut clear, "STARTTLS", "220");
    secure(clear, trust(slot.root))
}
