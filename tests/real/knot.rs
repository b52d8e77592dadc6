//! Knot DNS, with one zone that those who have its key may change. It listens where it is told to, on
//! whatever address of the loopback network.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    common::{commands::shell, folder::Folder},
    pebble::reached,
};

/// Of no use to anybody else.
const SECRET: &str = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=";

/// A running server; stopped when dropped.
pub(crate) struct Knot {
    child: Child,
    folder: Folder,
    pub(crate) address: SocketAddr,
}

impl Knot {
    /// Serves `example.org`, all names of which lead to this address. The key may change the TXT records
    /// of these.
    pub(crate) fn start(address: SocketAddr, names: &[&str]) -> Self {
        let folder = Folder::new();
        let (ip, port) = (address.ip(), address.port());
        folder.write(
            "zone",
            format!(
                "$TTL 60\n@ SOA ns postmaster 1 3600 600 86400 60\n@ NS ns\n@ A {ip}\n* A {ip}\n"
            ),
        );
        let key = format!("key \"acme-key\" {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n");
        folder.write("acme.key", key);
        let names: Vec<String> = names.iter().map(|name| format!("{name}.")).collect();
        let (names, top) = (names.join(", "), folder.path().display());
        let config = format!(
            "server:\n  listen: {ip}@{port}\n  rundir: {top}\ndatabase:\n  storage: {top}\n\
             log:\n  - target: stderr\n    any: info\n\
             key:\n  - id: acme-key\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
             acl:\n  - id: acme\n    key: acme-key\n    action: update\n    update-type: [TXT]\n    update-owner: name\n    update-owner-match: equal\n    update-owner-name: [{names}]\n\
             zone:\n  - domain: example.org\n    storage: {top}\n    file: zone\n    acl: acme\n"
        );
        let config = folder.write("knot.conf", config);
        let said = fs::File::create(folder.path().join("said")).expect("a file of our own");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "/usr/sbin/knotd", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap_or_else(|e| panic!("setpriv: {e}; apt-get install util-linux"));
        reached(address, "knotd (apt-get install knot)");
        Self { child, folder, address }
    }

    /// The hook that is shipped, with this server's key.
    pub(crate) fn hook(&self) -> PathBuf {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/dns-01-nsupdate");
        let text = format!(
            "#!/bin/sh\nNSUPDATE_KEY={} NSUPDATE_SERVER='{} {}' NSUPDATE_WAIT=0 exec {} \"$@\"\n",
            self.folder.path().join("acme.key").display(),
            self.address.ip(),
            self.address.port(),
            shipped.display()
        );
        self.folder.program("hook", text)
    }

    /// The TXT records of a name.
    pub(crate) fn records(&self, name: &str) -> String {
        let (server, port) = (self.address.ip(), self.address.port());
        shell(self.folder.path(), &format!("dig @{server} -p {port} +short TXT {name}"))
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
            said.lines().for_each(|line| eprintln!("knotd: {line}"));
        }
    }
}
