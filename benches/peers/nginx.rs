//! nginx's mail proxy, set up for the same job: STARTTLS in front, the PROXY protocol behind, one
//! process. It asks over HTTP where each message goes; what answers is not counted. It cannot log
//! one line a session, but none or several: here it is none.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::common::{NAME, backend, folder::Folder, front::Front, nginx};

/// Both nginx and its mail module, which is a package of its own.
pub(crate) fn is_installed() -> bool {
    let folder = Folder::new();
    let config = folder.write("nginx.conf", preamble(folder.path()) + "mail {}\n");
    let mut command = Command::new("nginx");
    command.args(["-t", "-q", "-c"]).arg(config).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Starts what tells nginx, on this thread's runtime, that every message goes to this backend.
pub(crate) async fn directory(backend: SocketAddr) -> SocketAddr {
    let answer = format!(
        "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {}\r\nAuth-Port: {}\r\n\r\n",
        backend.ip(),
        backend.port()
    );
    backend::listen(move |tcp| tell(tcp, answer.clone())).await
}

async fn tell(mut tcp: TcpStream, answer: String) -> io::Result<()> {
    let (mut question, mut length) = ([0; 2048], 0);
    while !question[..length].ends_with(b"\r\n\r\n") {
        length += match tcp.read(&mut question[length..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            octets => octets,
        };
    }
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await
}

/// Starts it on a port that was free a moment ago, and waits until it listens: as a single process
/// it takes no socket that listens already.
pub(crate) fn start(
    certificate: &Path,
    key: &Path,
    directory: SocketAddr,
    folder: &Path,
    core: usize,
) -> Front {
    let address = nginx::free();
    let text = format!(
        "{}mail {{
    server_name {NAME};
    auth_http {directory}/;
    server {{
        listen {address};
        protocol smtp;
        smtp_auth none;
        smtp_capabilities PIPELINING SIZE 8BITMIME;
        starttls on;
        ssl_certificate {};
        ssl_certificate_key {};
        ssl_protocols TLSv1.3;
        ssl_ecdh_curve X25519;
        proxy_smtp_auth off;
        proxy_protocol on;
        xclient off;
    }}
}}
",
        preamble(folder),
        certificate.display(),
        key.display(),
    );
    nginx::start(folder, &text, address, Some(core))
}

/// One process, which is the one that was started.
fn preamble(folder: &Path) -> String {
    format!(
        "load_module modules/ngx_mail_module.so;
daemon off;
master_process off;
worker_processes 1;
pid {}/nginx.pid;
error_log stderr error;
events {{ worker_connections 4000; }}
",
        folder.display()
    )
}
