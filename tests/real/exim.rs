//! An Exim as Debian configures it, with the lines that the front prints for it.

use crate::{
    clients::NAME,
    jail::{HASH, Jail},
    plan::{Plan, Scene},
};

/// An Exim behind the front: port 25 and submission. Mail for alice ends in her Maildir.
pub(crate) fn scene() -> Scene {
    Scene::set("exim", ["smtp", "submission"], serve)
}

fn serve(plan: &Plan, jail: &mut Jail) -> Result<(), String> {
    // What debconf would have asked.
    jail.write(
        "etc/exim4/update-exim4.conf.conf",
        "dc_eximconfig_configtype='internet'
dc_other_hostnames='example.org'
dc_local_interfaces='127.0.0.1'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
dc_use_split_config='false'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='maildir_home'
",
    );
    let here = "MAIN_HARDCODE_PRIMARY_HOSTNAME = backend.example.org\nlog_file_path = syslog\n";
    let lines = plan.lines("/etc/exim4/exim4.conf.localmacros");
    jail.write("etc/exim4/exim4.conf.localmacros", &format!("{lines}{here}"));
    // The first of the authenticators that its configuration has as comments.
    let template = jail.read("etc/exim4/exim4.conf.template");
    let (before, rest) = template.split_once("# plain_server:\n").expect("it is there");
    let (authenticator, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let authenticator = authenticator.replace("# ", "").replace('#', "");
    jail.write(
        "etc/exim4/exim4.conf.template",
        &format!("{before}plain_server:\n{authenticator}\n\n{after}"),
    );
    jail.write("etc/exim4/passwd", &format!("alice:{HASH}\n"));
    jail.write("etc/aliases", "postmaster: alice\n");
    jail.run(
        "chown root:Debian-exim /etc/exim4/passwd
        install -d -o Debian-exim -g Debian-exim /var/spool/exim4 /var/log/exim4
        update-exim4.conf",
    );
    jail.start("exec exim4 -bdf -q30m 2>&1", &plan.ports())
}

/// Another Exim, which sends what it is given to the front's port 25, as it would to any server: in TLS, several
/// recipients at a time, and before the greeting where the server has said that this is fine.
pub(crate) fn sender(scene: &Scene, port: u16) {
    let root = std::fs::read_to_string(scene.slots()[0].root).expect("the root was written");
    scene.jail.write("etc/exim4/root.pem", &root);
    scene.jail.write(
        "etc/exim4/sender.conf",
        &format!(
            "primary_hostname = sender.example.net
log_file_path = syslog
log_selector = +pipelining +smtp_confirmation
syslog_processname = sender
spool_directory = /var/spool/exim-sender
begin routers
out:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {port}
  interface = 127.0.0.12
  hosts_pipe_connect = *
  hosts_require_tls = *
  hosts_try_prdr = *
  tls_sni = {NAME}
  tls_verify_certificates = /etc/exim4/root.pem
  tls_verify_cert_hostnames =
"
        ),
    );
    scene.jail.write("etc/exim4/trusted_configs", "/etc/exim4/sender.conf\n");
    scene.jail.run("install -d -o Debian-exim -g Debian-exim /var/spool/exim-sender");
}

/// Sends a message with it.
pub(crate) fn send(scene: &Scene, subject: &str) {
    scene.jail.run(&format!(
        "printf 'Subject: {subject}\\n\\nText.\\n' | exim4 -C /etc/exim4/sender.conf -odi -f sender@example.net alice@example.org postmaster@example.org"
    ));
}
