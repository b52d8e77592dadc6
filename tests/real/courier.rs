//! A Courier as Debian configures it, with the lines that the front prints for it.

use crate::{
    jail::Jail,
    plan::{Plan, Scene},
};

/// A Courier behind the front: IMAP and POP3, out of a Maildir.
pub(crate) fn scene() -> Scene {
    Scene::set("courier", ["imap", "pop3"], serve)
}

fn serve(plan: &Plan, jail: &mut Jail) -> Result<(), String> {
    for file in ["etc/courier/imapd", "etc/courier/pop3d"] {
        jail.append(file, &plan.lines(file));
    }
    // It asks PAM, as it comes from Debian.
    for kind in ["account", "auth", "password", "session"] {
        jail.write(&format!("etc/pam.d/common-{kind}"), &format!("{kind} required pam_unix.so\n"));
    }
    jail.run(
        "install -d -o courier -g courier /run/courier /run/courier/authdaemon
        ln -s /usr/lib/courier/makedat /usr/bin/makedat
        maildirmake.courier /home/alice/Maildir
        chown -R alice:alice /home/alice",
    );
    jail.start("for daemon in authdaemond imapd pop3d; do $daemon start; done 2>&1", &plan.ports())
}
