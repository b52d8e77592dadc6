//! Members of a pool that can be told apart, and that die and come back.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use socket2::{Domain, Socket, Type};

use crate::{
    common::{front::PATIENCE, mailhost::Talk, peer::Peer, proxy::Header},
    stage::Stage,
};

/// What a member speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tongue {
    Mail(Talk),
    Smtp,
}

impl Tongue {
    fn greeting(self, name: &str) -> String {
        match self {
            Self::Mail(talk) => talk.greeting().replace("Host ready.", &format!("{name} ready.")),
            Self::Smtp => format!("220 {name}.example.org ESMTP\r\n"),
        }
    }

    fn answer(self, name: &str, line: &str) -> String {
        match (self, &line.to_ascii_uppercase()[..4.min(line.len())]) {
            (Self::Mail(Talk::Sieve), "CAPA") => self.greeting(name),
            (Self::Mail(talk), _) => talk.answer(line),
            (Self::Smtp, "EHLO") => format!("250-{name}.example.org\r\n250 PIPELINING\r\n"),
            (Self::Smtp, "DATA") => "354 go\r\n".to_owned(),
            (Self::Smtp, "QUIT") => "221 bye\r\n".to_owned(),
            (Self::Smtp, _) => "250 ok\r\n".to_owned(),
        }
    }
}

/// A mail server on an address that stays its own while it is dead.
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
    tongue: Tongue,
    /// Bound, and never listening.
    _hold: Socket,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    life: Mutex<Life>,
    sessions: AtomicUsize,
    probes: AtomicUsize,
}

#[derive(Default)]
struct Life {
    listener: Option<Socket>,
    peers: Vec<TcpStream>,
    /// What it says in place of its usual answers, by the line that asks.
    says: Vec<(String, String)>,
}

impl Member {
    /// One that is alive.
    pub(crate) fn new(tongue: Tongue, name: &str) -> Self {
        let member = Self::dead(tongue, name);
        member.live();
        member
    }

    /// One that nobody has started yet.
    pub(crate) fn dead(tongue: Tongue, name: &str) -> Self {
        let hold = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = hold.local_addr().unwrap().as_socket().unwrap();
        Self { address, name: name.to_owned(), tongue, _hold: hold, state: Arc::default() }
    }

    /// Three of them.
    pub(crate) fn three(tongue: Tongue) -> [Self; 3] {
        ["one", "two", "three"].map(|name| Self::new(tongue, name))
    }

    /// Begins to listen.
    pub(crate) fn live(&self) {
        let listener = socket(self.address);
        listener.listen(128).unwrap();
        let mut life = self.state.life.lock().unwrap();
        life.listener = Some(listener.try_clone().unwrap());
        let (state, tongue, name) = (self.state.clone(), self.tongue, self.name.clone());
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let stream = TcpStream::from(stream);
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut life = state.life.lock().unwrap();
                if life.listener.is_none() {
                    break;
                }
                life.peers.push(stream.try_clone().unwrap());
                drop(life);
                let (state, name) = (state.clone(), name.clone());
                thread::spawn(move || {
                    // Its clone is kept for the day of its death, so that it does not close by itself.
                    let clone = stream.try_clone().unwrap();
                    attend(&state, tongue, &name, Peer(stream));
                    let _ = clone.shutdown(Shutdown::Both);
                });
            }
        });
    }

    /// Dies as a process that is killed does: its socket and all its connections are closed.
    pub(crate) fn die(&self) {
        let mut life = self.state.life.lock().unwrap();
        if let Some(listener) = life.listener.take() {
            listener.shutdown(Shutdown::Both).unwrap();
        }
        for peer in life.peers.drain(..) {
            let _ = peer.shutdown(Shutdown::Both);
        }
    }

    /// From now on it answers lines that begin so in these words; `""` is its greeting.
    pub(crate) fn say(&self, asked: &str, answer: &str) {
        let mut life = self.state.life.lock().unwrap();
        life.says.retain(|(known, _)| known != asked);
        life.says.push((asked.to_owned(), answer.to_owned()));
    }

    /// How many sessions have come, dead or alive.
    pub(crate) fn sessions(&self) -> usize {
        self.state.sessions.load(Ordering::SeqCst)
    }

    /// How often its health was asked after.
    pub(crate) fn probes(&self) -> usize {
        self.state.probes.load(Ordering::SeqCst)
    }
}

fn socket(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

fn attend(state: &State, tongue: Tongue, name: &str, mut peer: Peer<TcpStream>) {
    use std::io::{Read, Write};
    let mut header = [0; 4096];
    // Whoever connects may be gone, and this server may be dead, at any time.
    let Ok(octets @ 1..) = peer.0.read(&mut header) else { return };
    let is_probe = Header::parse(&header[..octets]).is_probe();
    let counter = if is_probe { &state.probes } else { &state.sessions };
    counter.fetch_add(1, Ordering::SeqCst);
    let said = |asked: &str| {
        let life = state.life.lock().unwrap();
        let is_it = |known: &str| {
            if asked.is_empty() {
                known.is_empty()
            } else {
                !known.is_empty() && asked.contains(known)
            }
        };
        life.says.iter().find(|(known, _)| is_it(known)).map(|(_, answer)| answer.clone())
    };
    let greeting = said("").unwrap_or_else(|| tongue.greeting(name));
    if peer.0.write_all(greeting.as_bytes()).is_err() {
        return;
    }
    while let Some(line) = peer.try_line() {
        let answer = said(&line).unwrap_or_else(|| tongue.answer(name, &line));
        let is_last = line.to_ascii_uppercase().contains("LOGOUT") || line.starts_with("QUIT");
        if peer.0.write_all(answer.as_bytes()).is_err() || is_last {
            return;
        }
    }
}

/// A front whose backends are pools: each with its name, its members and more of its keys.
pub(crate) fn config(
    stage: &Stage,
    pools: &[(&str, &[&Member], &str)],
    listeners: &[&str],
    more: &str,
) -> String {
    let mut text = stage.config(&[], more).replace("listeners:\n", "");
    for (name, members, keys) in pools {
        let addresses: Vec<String> = members.iter().map(|m| format!("\"{}\"", m.address)).collect();
        text.push_str(&format!("  {name}: {{ addresses: [{}]{keys} }}\n", addresses.join(", ")));
    }
    text.push_str("listeners:\n");
    for listener in listeners {
        text.push_str(&format!("  - {{ bind: \"127.0.0.1:0\", {listener} }}\n"));
    }
    text
}
