//! A Cyrus as Debian configures it, with the lines that the front prints for it.

use crate::{
    jail::Jail,
    plan::{Plan, Scene},
};

/// A Cyrus behind the front: IMAP, POP3 and ManageSieve.
///
/// It takes no password where there is no TLS, as its makers have it and Debian does not.
pub(crate) fn scene() -> Scene {
    Scene::set("cyrus", ["imap", "pop3", "sieve"], serve)
}

fn serve(plan: &Plan, jail: &mut Jail) -> Result<(), String> {
    let services = plan.lines("/etc/cyrus.conf");
    let config = jail.read("etc/cyrus.conf");
    // Its own services are on the standard ports of this machine.
    let (start, rest) = config.split_once("SERVICES {").expect("services");
    let (_, events) = rest.split_once("\n}\n").expect("an end");
    jail.write("etc/cyrus.conf", &format!("{start}SERVICES {{\n{services}}}\n{events}"));
    jail.edit("etc/imapd.conf", "\nallowplaintext: yes", "\nallowplaintext: no");
    jail.edit("etc/imapd.conf", "\npopminpoll: 1\n", "\npopminpoll: 0\n");
    let settings = plan.lines("/etc/imapd.conf");
    jail.append("etc/imapd.conf", &format!("servername: backend.example.org\n{settings}"));
    // makedirs would look for the file system's own switches.
    jail.append("etc/default/cyrus-imapd", "CYRUSOPTFILESYS=0\n");
    // What the package's script does, and a user.
    jail.run(
        "deny=/var/lib/cyrus/user_deny.db
        for folder in /run/cyrus /run/cyrus/socket /var/lib/cyrus /var/spool/cyrus /var/spool/sieve; do
            install -d -o cyrus -g mail $folder
        done
        touch $deny
        chown cyrus:mail $deny
        /usr/lib/cyrus/bin/makedirs --cleansquat
        echo secret | saslpasswd2 -p -c -u backend.example.org alice
        chown cyrus /etc/sasldb2",
    );
    jail.start("exec cyrmaster 2>&1", &plan.ports())
}
