//! A backend that lets everybody in, behind the PROXY protocol.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
};

/// A PROXY v2 header without what its length counts.
const FIXED: usize = 16;

/// Starts a backend on this thread's runtime, and says where.
pub async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // A client that is gone is no concern of the backend's.
            tokio::spawn(async move { drop(converse(tcp).await) });
        }
    });
    address
}

async fn converse(tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut stream = BufStream::with_capacity(512, 512, tcp);
    let mut fixed = [0; FIXED];
    stream.read_exact(&mut fixed).await?;
    let mut rest = vec![0; usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))];
    stream.read_exact(&mut rest).await?;
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

async fn say(stream: &mut BufStream<TcpStream>, words: &str) -> io::Result<()> {
    stream.write_all(words.as_bytes()).await?;
    stream.flush().await
}
