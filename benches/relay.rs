//! What it costs to read a message along: one of a GiB through 465, beside the same octets through a
//! listener that reads nothing, by the kernel's accounting of the process. The two take turns.
//!
//! `cargo bench --bench relay`
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "the figures are what this is for, and without its surroundings there are none"
)]

mod common;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, version::TLS13};

use common::{
    NAME,
    ca::{Ca, Kind},
    client,
    folder::Folder,
    front::Front,
};

/// Octets of a message.
const MESSAGE: usize = 1 << 30;
/// How often the two take turns.
const ROUNDS: u32 = 3;
/// How much more reading along may cost.
const WANTED: f64 = 1.2;

const LINE: &[u8; 78] =
    b"TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVyIGFkaXBpc2NpbmcgZWxpdCwg\r\n";
const END: &[u8] = b"\r\n.\r\n";

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn main() {
    let (folder, ca) = (Folder::new(), Ca::new("Bench"));
    let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
    let certificates = folder.path().join("live");
    leaf.certbot(&certificates.join(NAME));
    let text = format!(
        "certificates: [{}]\n\
         backends:\n  mail: {{ address: \"{}\" }}\n  any: {{ address: \"{}\", identity: proxy-v2 }}\n\
         listeners:\n\
         \x20 - {{ bind: \"127.0.0.1:0\", protocol: submission, tls: implicit, backend: mail }}\n\
         \x20 - {{ bind: \"127.0.0.1:0\", protocol: raw, tls: implicit, backend: any }}\n",
        certificates.display(),
        backend(),
        backend(),
    );
    let front = Front::configured(&text, &folder.path().join("vestibule.yaml"), None);
    let tls = Arc::new(client::config(&ca, &TLS13));
    let block = LINE.repeat((64 << 10) / LINE.len());
    let mut spent = [Duration::ZERO; 2];
    for _ in 0..ROUNDS {
        for (address, spent) in front.addresses.iter().zip(&mut spent) {
            let before = front.cpu();
            send(*address, &tls, &block).expect("a message is taken");
            *spent += front.cpu() - before;
        }
    }
    let [read, unread] = spent.map(|spent| spent.as_secs_f64() / f64::from(ROUNDS));
    let ratio = read / unread;
    println!("read along {read:6.2} s of processor time a GiB");
    println!("unread     {unread:6.2} s");
    println!("ratio      {ratio:6.2} (wanted: {WANTED})");
    println!("{}", if ratio <= WANTED { "reached" } else { "missed" });
}

/// A mail server that takes everything, and says so to whoever speaks SMTP after a PROXY header.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that is gone is no concern of the backend's.
            thread::spawn(move || drop(converse(stream)));
        }
    });
    address
}

fn converse(mut stream: TcpStream) -> io::Result<()> {
    let mut header = [0; 16];
    stream.read_exact(&mut header)?;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([header[14], header[15]]))];
    stream.read_exact(&mut rest)?;
    stream.write_all(b"220 mail.example.org ESMTP\r\n")?;
    let (mut buffer, mut line) = (vec![0; 256 << 10], Vec::new());
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        line.extend_from_slice(&buffer[..length]);
        if !line.ends_with(b"\r\n") {
            continue;
        }
        let said: Vec<u8> = line.to_ascii_uppercase();
        line.clear();
        if said.starts_with(b"DATA") {
            stream.write_all(b"354 go on\r\n")?;
            swallow(&mut stream, &mut buffer)?;
        }
        stream.write_all(b"250 mail.example.org\r\n")?;
    }
}

/// Reads to the end of the message.
fn swallow(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut tail = Vec::new();
    loop {
        let length = stream.read(buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tail.extend_from_slice(&buffer[length.saturating_sub(END.len())..length]);
        tail.drain(..tail.len().saturating_sub(END.len()));
        if tail == END {
            return Ok(());
        }
    }
}

/// Sends a message as a mail program does.
fn send(to: SocketAddr, tls: &Arc<ClientConfig>, block: &[u8]) -> io::Result<()> {
    let connection =
        ClientConnection::new(tls.clone(), client::name()).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, TcpStream::connect(to)?);
    answered(&mut stream)?;
    for command in ["EHLO client\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n", "DATA\r\n"] {
        stream.write_all(command.as_bytes())?;
        answered(&mut stream)?;
    }
    let mut left = MESSAGE;
    while left > 0 {
        let part = &block[..left.min(block.len())];
        stream.write_all(part)?;
        left -= part.len();
    }
    stream.write_all(END)?;
    answered(&mut stream)
}

fn answered(stream: &mut Tls) -> io::Result<()> {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\n") {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    if matches!(answer.first(), Some(b'2' | b'3')) {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
