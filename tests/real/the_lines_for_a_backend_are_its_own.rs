//! What `vestibule backend-config` prints, Dovecot and Postfix read as it was meant.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::common::{commands::vestibule, folder::Folder};

/// What the command says for the one backend of this configuration, without the comments.
fn lines(folder: &Folder, preset: &str, ports: &str) -> String {
    folder.write(
        "c.yaml",
        format!(
            "certificates: [/a]\nbackends: {{ b: {{ address: 127.0.0.1, preset: {preset}, ports: {{ {ports} }} }} }}\n"
        ),
    );
    let arguments = ["backend-config", preset, "--config", "c.yaml", "--json"];
    let said = vestibule(folder.path(), &arguments).with(0);
    let said: Value = serde_json::from_str(&said).unwrap();
    said["sections"][0]["lines"].as_str().unwrap().to_owned()
}

/// What a server's own tool says of its configuration, squeezed.
fn read_by(tool: &str, arguments: &[&str], folder: &Path) -> String {
    let command = Command::new(tool).args(arguments).current_dir(folder).output();
    let output = command.unwrap_or_else(|e| panic!("{tool}: {e}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn for_dovecot() {
    let folder = Folder::new();
    let ports = "imap: 10143, pop3: 10110, sieve: 14190, submission: 10587";
    let lines = lines(&folder, "dovecot", ports);
    folder.write("dovecot.conf", format!("protocols = imap pop3 sieve submission\n{lines}"));
    let read = read_by("doveconf", &["-n", "-c", "dovecot.conf"], folder.path());
    assert!(read.contains("haproxy_trusted_networks = 127.0.0.1 "), "{read}");
    for (service, name, port) in [
        ("imap-login", "imap", 10143),
        ("pop3-login", "pop3", 10110),
        ("managesieve-login", "sieve", 14190),
        ("submission-login", "submission", 10587),
    ] {
        let wanted = format!(
            "service {service} {{ inet_listener {name} {{ address = 127.0.0.1 haproxy = yes port = {port} }} }}"
        );
        assert!(read.contains(&wanted), "{wanted:?} is not in {read}");
    }
}

#[test]
fn for_postfix() {
    let folder = Folder::new();
    let lines = lines(&folder, "postfix", "smtp: 10025, submission: 10587");
    folder.write("etc/master.cf", lines);
    folder.write("etc/main.cf", "compatibility_level = 3.6\n");
    let etc = folder.path().join("etc").display().to_string();
    let read = read_by("postconf", &["-c", &etc, "-M"], folder.path());
    let smtp = "127.0.0.1:10025 inet n - y - - smtpd -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_tls_security_level=none";
    let submission = "127.0.0.1:10587 inet n - y - - smtpd -o syslog_name=postfix/submission -o smtpd_upstream_proxy_protocol=haproxy";
    assert!(read.contains(smtp) && read.contains(submission), "{read}");
    for name in ["smtpd_tls_auth_only=no", "smtpd_sasl_auth_enable=yes"] {
        assert!(read.contains(name), "{read}");
    }
}
