//! An OpenSMTPD with the lines that the front prints for it.

use crate::{
    jail::Jail,
    plan::{Plan, Scene},
};

/// An OpenSMTPD behind the front. Mail for alice ends in her Maildir.
pub(crate) fn scene() -> Scene {
    Scene::set("opensmtpd", ["smtp"], serve)
}

fn serve(plan: &Plan, jail: &mut Jail) -> Result<(), String> {
    let lines = plan.lines("smtpd.conf");
    jail.write(
        "etc/smtpd.conf",
        &format!(
            "{lines}action \"in\" maildir\nmatch from any for domain \"example.org\" action \"in\"\n"
        ),
    );
    jail.run("install -d -m 711 /var/spool/smtpd");
    jail.start("exec smtpd -F 2>&1", &plan.ports())
}
