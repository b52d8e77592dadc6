//! An OpenSMTPD with the lines that the front prints for it.

use crate::{
    jail::Jail,
    plan::{Plan, Scene},
};

/// An OpenSMTPD behind the front: port 25. Mail for alice ends in her Maildir.
///
/// There is no submission: it knows AUTH inside its own TLS alone, and Debian 12's (6.8.0p2) completes no handshake with
/// Debian 12's OpenSSL (OpenSMTPD's issues 1171 and 1239).
pub(crate) fn scene() -> Scene {
    Scene::set("opensmtpd", ["smtp"], serve)
}

fn serve(plan: &Plan, jail: &mut Jail) -> Result<(), String> {
    let lines = plan.lines("smtpd.conf");
    let rules = "action \"in\" maildir\nmatch from any for domain \"example.org\" action \"in\"\n";
    jail.write("etc/smtpd.conf", &format!("{lines}{rules}"));
    jail.run("install -d -m 711 /var/spool/smtpd");
    jail.start("exec smtpd -F 2>&1", &plan.ports())
}
