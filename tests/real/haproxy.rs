//! An HAProxy of the test's own: a balancer before the front, and the PROXY protocol's own reader.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::{folder::Folder, front::PATIENCE};

/// A running HAProxy; stopped when dropped.
pub(crate) struct Haproxy {
    child: Child,
    pub(crate) ports: Vec<u16>,
    folder: Folder,
}

impl Haproxy {
    /// Starts it with as many sections as there are here. In each, `PORT` becomes a free port. It has bound
    /// them all when this returns.
    pub(crate) fn start(sections: &[&str]) -> Self {
        // Between learning a free port and using it, somebody else may take it: then again, with others.
        for _ in 0..5 {
            match Self::try_start(sections) {
                Ok(running) => return running,
                Err(said) if said.contains("Address already in use") => {}
                Err(said) => panic!("HAProxy did not start: {said}"),
            }
        }
        panic!("five times in a row somebody took the ports meant for HAProxy");
    }

    fn try_start(sections: &[&str]) -> Result<Self, String> {
        let folder = Folder::new();
        // All are held at once, so that they differ.
        let held: Vec<TcpListener> = sections
            .iter()
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"))
            .collect();
        let ports: Vec<u16> = held.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        let mut text =
            "defaults\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n"
                .to_owned();
        for (section, port) in sections.iter().zip(&ports) {
            text.push_str(&section.replace("PORT", &port.to_string()));
        }
        let config = folder.write("haproxy.cfg", text);
        // It tells a service manager once it has bound everything.
        let manager = folder.path().join("notify");
        let told = UnixDatagram::bind(&manager).expect("a socket in our own folder");
        told.set_read_timeout(Some(PATIENCE)).expect("a time");
        drop(held);
        let said = folder.path().join("said");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--", "haproxy", "-Ws", "-f"])
            .arg(config)
            .env("NOTIFY_SOCKET", &manager)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said).expect("a file in our own folder"))
            .spawn()
            .unwrap_or_else(|e| panic!("setpriv: {e}; apt-get install util-linux haproxy"));
        let mut state = [0; 256];
        loop {
            let octets = told.recv(&mut state).unwrap_or_default();
            if state[..octets].starts_with(b"READY=1") {
                return Ok(Self { child, ports, folder });
            }
            if octets == 0 || child.try_wait().is_ok_and(|ended| ended.is_some()) {
                let _ = child.kill();
                let _ = child.wait();
                return Err(fs::read_to_string(said).unwrap_or_default());
            }
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Its worker goes with it only if it is asked to.
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
            eprintln!("haproxy: {said}");
        }
    }
}
