//! Real web servers: nginx, and a small one in Python that tells what it was asked.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use crate::common::{folder::Folder, front::PATIENCE};

/// `tests/web/python/web.py`, on a port that the kernel picks.
pub(crate) struct Python {
    child: Child,
    pub(crate) address: SocketAddr,
    said: Receiver<String>,
}

impl Python {
    pub(crate) fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web/python/web.py");
        let mut child = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 runs (Debian: python3)");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut port).expect("a port");
        let port: u16 = port.trim().parse().expect("a port");
        let (tell, said) = channel();
        let stderr = child.stderr.take().expect("a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Self { child, address: ([127, 0, 0, 1], port).into(), said }
    }

    pub(crate) fn has_complained(&self) -> bool {
        self.said.recv_timeout(Duration::ZERO).is_ok()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// nginx on a Unix socket of its own, with these lines in its `server`.
pub(crate) struct Nginx {
    child: Child,
    folder: Folder,
}

impl Nginx {
    pub(crate) fn start(server: &str) -> Self {
        let folder = Folder::new();
        let top = folder.path().display();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {top}/{kind};\n"))
            .collect();
        let config = folder.write(
            "nginx.conf",
            format!(
                "daemon off; master_process off; pid {top}/pid; error_log {top}/error.log;\n\
                 events {{ worker_connections 4000; }}\n\
                 http {{ access_log off; {temp} client_max_body_size 0;\n\
                 server {{ listen unix:{top}/socket; root {top}/html; {} }} }}\n",
                server.replace("$folder", &top.to_string())
            ),
        );
        std::fs::create_dir_all(folder.path().join("html")).expect("a folder");
        let child = Command::new("/usr/sbin/nginx")
            .args(["-c", &config.display().to_string(), "-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx runs (Debian: nginx-light)");
        let nginx = Self { child, folder };
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(nginx.socket()).is_err() {
            assert!(std::time::Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        nginx
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The address of another socket in its folder, as the configuration writes it; `$folder` in its lines
    /// is that folder.
    pub(crate) fn beside(&self, socket: &str) -> String {
        format!("address: \"unix:{}\"", self.folder.path().join(socket).display())
    }

    /// Its address, as the configuration writes it.
    pub(crate) fn at(&self) -> String {
        format!("address: \"unix:{}\"", self.socket().display())
    }

    /// Serves this from now on.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        self.folder.write(&format!("html/{name}"), content);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
