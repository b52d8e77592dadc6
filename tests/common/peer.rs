//! Peers that speak raw bytes and know no semantics: a client, and a backend that follows a script.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use super::front::PATIENCE;

/// Anything with bytes on it: a socket, or TLS over one.
pub trait Bytes: Read + Write {}
impl<T: Read + Write> Bytes for T {}

/// A conversation partner: sends bytes, expects bytes.
pub struct Peer<S>(pub S);

pub fn connect(to: SocketAddr) -> Peer<TcpStream> {
    let stream = TcpStream::connect(to).expect("the listener accepts");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    Peer(stream)
}

impl<S: Bytes> Peer<S> {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("the peer reads");
        self.0.flush().expect("the peer reads");
    }

    /// Reads one line with its CRLF.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") {
            match self.0.read(&mut byte) {
                Ok(1..) => line.push(byte[0]),
                Ok(0) => panic!("the end came after {:?}", String::from_utf8_lossy(&line)),
                Err(e) => panic!("{e} after {:?}", String::from_utf8_lossy(&line)),
            }
        }
        String::from_utf8(line).expect("text")
    }

    /// Reads one line; `None` at the end of the stream, which a reset counts as, too.
    pub fn try_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\n") {
            match self.0.read(&mut byte) {
                Ok(1..) => line.push(byte[0]),
                Ok(0) => return None,
                Err(e) if is_slow(&e) => panic!("{e} after {:?}", text(&line)),
                Err(_) => return None,
            }
        }
        Some(text(&line))
    }

    /// Reads lines up to and with the first that starts so.
    pub fn until(&mut self, start: &str) -> String {
        let mut all = String::new();
        loop {
            let line = self.line();
            all.push_str(&line);
            if line.starts_with(start) {
                return all;
            }
        }
    }

    /// Expects exactly these bytes next.
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let want = bytes.as_ref();
        let mut have = vec![0; want.len()];
        let mut n = 0;
        while n < want.len() {
            match self.0.read(&mut have[n..]) {
                Ok(0) => break,
                Ok(more) => n += more,
                Err(e) => panic!("{e}: wanted {:?}, have {:?}", text(want), text(&have[..n])),
            }
            assert_eq!(text(&have[..n]), text(&want[..n]));
        }
        assert_eq!(text(&have[..n]), text(want));
    }

    /// Reads to the end of the stream, which a reset counts as, too.
    pub fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => all.extend_from_slice(&buffer[..n]),
                Err(e) if is_slow(&e) => panic!("no end, after {:?}", text(&all)),
                Err(_) => break,
            }
        }
        text(&all)
    }
}

impl Peer<TcpStream> {
    pub fn half_close(&self) {
        self.0.shutdown(Shutdown::Write).expect("open");
    }

    /// Reads one PROXY v2 header: whether it is the front's own, and not a client's (section 2.2: LOCAL).
    pub fn is_health_check(&mut self) -> bool {
        self.proxy_v2()[12] == 0x20
    }

    /// Reads one PROXY v2 header and returns it whole.
    pub fn proxy_v2(&mut self) -> Vec<u8> {
        let mut header = vec![0; 16];
        self.0.read_exact(&mut header).expect("a header");
        assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n", "the signature");
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        let start = header.len();
        header.resize(start + rest, 0);
        self.0.read_exact(&mut header[start..]).expect("the addresses");
        header
    }
}

/// Whether patience has run out.
fn is_slow(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A backend on a port that the kernel picks; each connection runs the script in a thread.
pub struct Backend {
    pub address: SocketAddr,
    failures: mpsc::Receiver<String>,
}

impl Backend {
    pub fn script(script: impl Fn(Peer<TcpStream>) + Send + Sync + Clone + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (failed, failures) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let (script, failed) = (script.clone(), failed.clone());
                thread::spawn(move || {
                    let run = std::panic::AssertUnwindSafe(|| script(Peer(stream)));
                    if let Err(why) = std::panic::catch_unwind(run) {
                        let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
                        let _ = failed.send(why);
                    }
                });
            }
        });
        Self { address, failures }
    }

    /// What went against the script so far.
    pub fn failures(&self) -> Vec<String> {
        self.failures.try_iter().collect()
    }
}
