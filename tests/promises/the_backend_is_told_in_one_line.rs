//! The PROXY protocol, version 1, to the octet: one line before all others, in one segment.

use std::{
    net::{SocketAddr, TcpStream},
    sync::mpsc::{Receiver, channel},
};

use crate::{
    common::{
        front::{Front, PATIENCE},
        mailhost::Talk,
        peer::{Backend, Peer, connect},
    },
    stage::Stage,
};

/// A backend that writes down what it hears before it says anything.
fn listening(greets: bool) -> (Backend, Receiver<String>) {
    let (tell, told) = channel();
    let backend = Backend::script(move |mut peer: Peer<TcpStream>| {
        let mut buffer = [0; 4096];
        let heard = std::io::Read::read(&mut peer.0, &mut buffer).expect("a line comes first");
        let _ = tell.send(String::from_utf8_lossy(&buffer[..heard]).into_owned());
        if greets {
            Talk::Imap.attend(&mut peer, |_| {});
        }
    });
    (backend, told)
}

/// The next line that is not the front's own question after our health: that comes from RFC 5737's network.
fn next(told: &Receiver<String>) -> String {
    loop {
        let line = told.recv_timeout(PATIENCE).expect("somebody comes");
        if !line.contains(" 192.0.2.1 ") {
            return line;
        }
    }
}

fn front(stage: &Stage, doors: &[(&str, &str, SocketAddr)]) -> Front {
    let config = stage.config(doors, "").replace("identity: proxy-v2", "identity: proxy-v1");
    Front::start(&config.replace("bind: \"127.0.0.1:0\"", "bind: [\"127.0.0.1:0\", \"[::1]:0\"]"))
}

/// X1, X2: addresses and ports of both ends, in either family, and nothing else before the greeting.
#[test]
fn of_who_calls_whom() {
    let stage = Stage::set();
    let (backend, told) = listening(true);
    let front = front(&stage, &[("imap", "none", backend.address)]);
    for (n, family) in [(0, "TCP4"), (1, "TCP6")] {
        let mut peer = connect(front.address(n));
        let (client, to) = (peer.0.local_addr().unwrap(), front.address(n));
        peer.until("* OK");
        let expected = format!(
            "PROXY {family} {} {} {} {}\r\n",
            client.ip(),
            to.ip(),
            client.port(),
            to.port()
        );
        assert_eq!(next(&told), expected);
    }
    assert_eq!(backend.failures(), [""; 0]);
}

/// X3: the front's own connection has no client.
#[test]
fn or_that_nobody_does() {
    let stage = Stage::set();
    let (backend, told) = listening(false);
    let _front = front(&stage, &[("raw", "implicit", backend.address)]);
    assert_eq!(next(&told), "PROXY UNKNOWN\r\n");
}
