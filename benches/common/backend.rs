//! Backends behind the PROXY protocol: one that lets everybody in, and one that takes every message.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
};

/// A PROXY v2 header without what its length counts.
const FIXED: usize = 16;
/// What ends a message.
const END: &[u8] = b"\r\n.\r\n";

/// Starts an IMAP backend on this thread's runtime, and says where.
pub async fn start() -> SocketAddr {
    listen(|tcp| imap(stream(tcp, 512))).await
}

/// Starts an SMTP backend on this thread's runtime, and says where.
pub async fn start_smtp() -> SocketAddr {
    listen(|tcp| smtp(stream(tcp, 16 << 10))).await
}

/// Starts something that answers on this thread's runtime, and says where.
pub async fn listen<F>(converse: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let conversation = converse(tcp);
            // A client that is gone is no concern of the backend's.
            tokio::spawn(async move { drop(conversation.await) });
        }
    });
    address
}

fn stream(tcp: TcpStream, capacity: usize) -> BufStream<TcpStream> {
    // Slower without it, but as right.
    let _ = tcp.set_nodelay(true);
    BufStream::with_capacity(capacity, capacity, tcp)
}

/// Reads a PROXY header, which is a line in version 1.
async fn header(stream: &mut BufStream<TcpStream>) -> io::Result<()> {
    if stream.fill_buf().await?.starts_with(b"PROXY") {
        return stream.read_line(&mut String::new()).await.map(drop);
    }
    let mut fixed = [0; FIXED];
    stream.read_exact(&mut fixed).await?;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))];
    stream.read_exact(&mut rest).await.map(drop)
}

async fn imap(mut stream: BufStream<TcpStream>) -> io::Result<()> {
    header(&mut stream).await?;
    say(&mut stream, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let mut words = line.split_ascii_whitespace();
        let (tag, command) = (words.next().unwrap_or("*"), words.next().unwrap_or(""));
        let is_over = command == "LOGOUT";
        let untagged = match command {
            "CAPABILITY" => "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
            "LOGOUT" => "* BYE\r\n",
            _ => "",
        };
        say(&mut stream, &format!("{untagged}{tag} OK done\r\n")).await?;
        if is_over {
            break;
        }
        line.clear();
    }
    stream.shutdown().await
}

async fn smtp(mut stream: BufStream<TcpStream>) -> io::Result<()> {
    header(&mut stream).await?;
    say(&mut stream, "220 mail.example.org ESMTP\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = match line.trim_end().split(' ').next() {
            Some("EHLO") => {
                "250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME\r\n"
            }
            Some("DATA") => {
                say(&mut stream, "354 go on\r\n").await?;
                swallow(&mut stream).await?;
                "250 taken\r\n"
            }
            Some("QUIT") => {
                say(&mut stream, "221 bye\r\n").await?;
                break;
            }
            _ => "250 fine\r\n",
        };
        say(&mut stream, answer).await?;
        line.clear();
    }
    stream.shutdown().await
}

/// Reads to the end of the message.
async fn swallow(stream: &mut BufStream<TcpStream>) -> io::Result<()> {
    let mut message = Vec::new();
    while !message.ends_with(END) {
        if stream.read_until(b'\n', &mut message).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

async fn say(stream: &mut BufStream<TcpStream>, words: &str) -> io::Result<()> {
    stream.write_all(words.as_bytes()).await?;
    stream.flush().await
}
