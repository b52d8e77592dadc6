//! A backend that follows a script, for what no real server would do, and the front before it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};

use crate::{
    clients::NAME,
    common::{
        ca::{Ca, Kind},
        folder::Folder,
        front::{Front, PATIENCE},
        peer::Peer,
    },
    dialogue::read_to,
    mailroom::{Slot, Way},
};

/// What a scripted backend usually offers.
pub(crate) const OFFER: &[&str] =
    &["PIPELINING", "SIZE", "AUTH PLAIN LOGIN", "8BITMIME", "CHUNKING"];

/// A front, and behind it a script for each client that comes through it.
pub(crate) struct Booth<T> {
    pub(crate) front: Front,
    told: mpsc::Receiver<Result<T, String>>,
    root: PathBuf,
    // It goes last.
    _folder: Folder,
}

/// What a script has before itself: the front's bytes, and who it says is there.
pub(crate) struct Arrived {
    pub(crate) peer: Peer<TcpStream>,
    pub(crate) header: Vec<u8>,
}

impl<T: Send + 'static> Booth<T> {
    /// The usual offer to the probe, and to each client this script, from the first byte after the PROXY header.
    pub(crate) fn set(script: impl Fn(Arrived) -> T + Send + Sync + 'static) -> Self {
        Self::with(OFFER, "", script)
    }

    /// The same with another offer, and with lines to add to each listener (after a comma).
    pub(crate) fn with(
        offer: &'static [&'static str],
        listener: &str,
        script: impl Fn(Arrived) -> T + Send + Sync + 'static,
    ) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = socket.local_addr().expect("it is bound").port();
        let (tell, told) = mpsc::channel();
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in socket.incoming() {
                let Ok(stream) = stream else { continue };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let (script, tell) = (script.clone(), tell.clone());
                thread::spawn(move || {
                    let mut peer = Peer(stream);
                    let Ok(header) = catch_unwind(AssertUnwindSafe(|| peer.proxy_v2())) else {
                        return;
                    };
                    if is_probe(&header) {
                        let _ = catch_unwind(AssertUnwindSafe(|| probed(&mut peer, offer)));
                        return;
                    }
                    let run = AssertUnwindSafe(|| script(Arrived { peer, header }));
                    let _ = tell.send(catch_unwind(run).map_err(|why| {
                        let text = why.downcast_ref::<String>().cloned();
                        text.or_else(|| why.downcast_ref::<&str>().map(|&text| text.to_owned()))
                            .unwrap_or_default()
                    }));
                });
            }
        });
        let folder = Folder::new();
        let ca = Ca::new("Test");
        let root = ca.write_root(folder.path());
        ca.leaf(&[NAME], Kind::Ecdsa).certbot(&folder.path().join("live").join(NAME));
        let front = Front::start(&format!(
            "hostname: {NAME}
certificates: [{}]
timeouts: {{ greeting: 5s, closing: 2s }}
backends:
  script: {{ address: 127.0.0.1, identity: proxy-v2, ports: {{ smtp: {port}, submission: {port} }} }}
listeners:
  - {{ bind: \"127.0.0.1:0\", protocol: smtp, tls: starttls-optional, backend: script{listener} }}
  - {{ bind: \"127.0.0.1:0\", protocol: submission, tls: starttls, backend: script{listener} }}
  - {{ bind: \"127.0.0.1:0\", protocol: submission, tls: implicit, backend: script{listener} }}
",
            folder.path().join("live").display()
        ));
        Self { front, told, root, _folder: folder }
    }

    /// Port 25 for who stays in clear, 587 for who upgrades, 465.
    pub(crate) fn slot(&self, way: Way) -> Slot<'_> {
        let n = match way {
            Way::Clear => 0,
            Way::Starttls => 1,
            Way::Implicit => 2,
        };
        Slot { way, login: way != Way::Clear, port: self.front.port(n), root: &self.root }
    }

    /// What the script of the next client came to.
    pub(crate) fn told(&self) -> T {
        match self.told.recv_timeout(PATIENCE) {
            Ok(Ok(told)) => told,
            Ok(Err(why)) => panic!("the script failed: {why}"),
            Err(e) => panic!("{e}: no client came through, or its script did not end"),
        }
    }

    /// Nobody came through whose script has ended by now.
    pub(crate) fn told_nothing(&self) {
        assert!(self.told.try_recv().is_err(), "somebody came through");
    }
}

impl<T> Drop for Booth<T> {
    fn drop(&mut self) {
        if thread::panicking() {
            for told in self.told.try_iter() {
                if let Err(why) = told {
                    eprintln!("a script failed: {why}");
                }
            }
        }
    }
}

/// Nobody, or somebody from an address for documentation (RFC 5737, RFC 3849): the front itself.
fn is_probe(header: &[u8]) -> bool {
    header[12] == 0x20
        || [&[192, 0, 2][..], &[198, 51, 100], &[203, 0, 113], &[0x20, 0x01, 0x0d, 0xb8]]
            .iter()
            .any(|network| header[16..].starts_with(network))
}

fn probed(peer: &mut Peer<TcpStream>, offer: &[&str]) {
    peer.send(GREETING);
    let hello = peer.line();
    assert!(hello.starts_with("EHLO "), "{hello}");
    peer.send(offered(offer));
    peer.line();
    peer.send("221 Bye\r\n");
}

pub(crate) const GREETING: &str = "220 script.example.org ESMTP Follows a script.\r\n";

/// The reply to EHLO.
pub(crate) fn offered(offer: &[&str]) -> String {
    let mut lines = vec!["script.example.org"];
    lines.extend(offer);
    let last = lines.len() - 1;
    lines
        .iter()
        .enumerate()
        .map(|(n, line)| format!("250{}{line}\r\n", if n == last { ' ' } else { '-' }))
        .collect()
}

impl Arrived {
    /// Greets, and answers EHLO.
    pub(crate) fn begin(&mut self, offer: &[&str]) {
        self.peer.send(GREETING);
        self.answer("EHLO", &offered(offer));
    }

    /// Expects a line that begins so, and answers it; returns the line.
    pub(crate) fn answer(&mut self, start: &str, reply: &str) -> String {
        let line = self.peer.line();
        assert!(line.starts_with(start), "{line:?} instead of {start}");
        self.peer.send(reply);
        line
    }

    /// From MAIL to 354.
    pub(crate) fn envelope(&mut self) {
        self.answer("MAIL FROM:", "250 2.1.0 Ok\r\n");
        self.answer("RCPT TO:", "250 2.1.5 Ok\r\n");
        self.answer("DATA", "354 End data with <CR><LF>.<CR><LF>\r\n");
    }

    /// Reads up to the end of the data, by the book.
    pub(crate) fn data(&mut self) -> Vec<u8> {
        read_to(&mut self.peer, |all| all.ends_with(b"\r\n.\r\n") || all == b".\r\n")
    }

    /// Answers QUIT, closes, and expects nothing after it.
    pub(crate) fn end(&mut self) {
        self.answer("QUIT", "221 2.0.0 Bye\r\n");
        self.peer.half_close();
        assert_eq!(self.peer.rest(), "");
    }

    /// Answers each line with what `reply` has for it, until QUIT or until the front closes; returns all lines, with
    /// those that came after QUIT.
    pub(crate) fn serve(&mut self, reply: impl Fn(&str) -> String) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = Vec::new();
        loop {
            while let Some(end) = memchr::memchr(b'\n', &rest) {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).into_owned();
                let answer = reply(&line);
                // Whoever has closed needs no answer.
                let _ = self.peer.0.write_all(answer.as_bytes());
                if line == "QUIT\r\n" {
                    let _ = self.peer.0.shutdown(Shutdown::Write);
                }
                lines.push(line);
            }
            let mut buffer = [0; 4096];
            match self.peer.0.read(&mut buffer) {
                Ok(n @ 1..) => rest.extend_from_slice(&buffer[..n]),
                _ => break,
            }
        }
        if !rest.is_empty() {
            lines.push(String::from_utf8_lossy(&rest).into_owned());
        }
        lines
    }

    /// Everything that comes until the front closes.
    pub(crate) fn all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 65536];
        while let Ok(n @ 1..) = self.peer.0.read(&mut buffer) {
            all.extend_from_slice(&buffer[..n]);
        }
        all
    }
}
