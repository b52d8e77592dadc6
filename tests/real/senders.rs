//! The programs that people and machines send their mail with, run as processes.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    clients::{NAME, PASSWORD, Talk, USER, output, spoken},
    mailroom::{Slot, Way},
    smtp,
};

/// One that sends a file from somebody to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Curl,
    Gnutls,
    Msmtp,
    Openssl,
    Python,
    Swaks,
}

impl Sender {
    pub(crate) const ALL: [Self; 6] =
        [Self::Curl, Self::Gnutls, Self::Msmtp, Self::Openssl, Self::Python, Self::Swaks];

    /// Those that speak of nothing but TLS need it.
    pub(crate) fn knows(self, slot: &Slot<'_>) -> bool {
        !matches!(self, Self::Gnutls | Self::Openssl) || slot.way != Way::Clear
    }

    /// Sends this file; it must be taken.
    pub(crate) fn send(self, slot: &Slot<'_>, source: &str, message: &Path) {
        match self {
            Self::Curl => {
                output(curl(slot, source, message), "curl");
            }
            Self::Gnutls => {
                by_hand(Talk::gnutls_at(slot.port, slot.root, starttls(slot)), slot, message);
            }
            Self::Msmtp => {
                output(msmtp(slot, source, message), "msmtp");
            }
            Self::Openssl => {
                let talk = Talk::openssl_at(slot.port, slot.root, starttls(slot), source);
                by_hand(talk, slot, message);
            }
            Self::Python => {
                output(python(slot, source, message), "python3");
            }
            Self::Swaks => {
                swaks(slot, source, message, &[]);
            }
        }
    }
}

fn starttls(slot: &Slot<'_>) -> Option<&'static str> {
    (slot.way == Way::Starttls).then_some("smtp")
}

fn curl(slot: &Slot<'_>, source: &str, message: &Path) -> Command {
    let scheme = if slot.way == Way::Implicit { "smtps" } else { "smtp" };
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--interface", source]);
    command.args(["--resolve", &format!("{NAME}:{}:127.0.0.1", slot.port), "--cacert"]);
    command.arg(slot.root);
    if slot.way != Way::Clear {
        command.arg("--ssl-reqd");
    }
    if slot.login {
        command.args(["--user", &format!("{USER}:{PASSWORD}")]);
    }
    command.args(["--mail-from", "sender@example.net", "--mail-rcpt", "alice@example.org"]);
    command.arg("--upload-file").arg(message);
    command.arg(format!("{scheme}://{NAME}:{}/client.example.net", slot.port));
    command
}

fn msmtp(slot: &Slot<'_>, source: &str, message: &Path) -> Command {
    let mut command = Command::new("sh");
    // It reads the message from its standard input, and nothing else from this machine.
    command.args(["-c", "file=$1; shift; exec msmtp \"$@\" <\"$file\"", "sh"]).arg(message);
    command.args(["--host=127.0.0.1", &format!("--port={}", slot.port)]);
    command.args([&format!("--source-ip={source}"), "--domain=client.example.net"]);
    if slot.way == Way::Clear {
        command.arg("--tls=off");
    } else {
        let starttls = if slot.way == Way::Starttls { "on" } else { "off" };
        command.args(["--tls=on", &format!("--tls-starttls={starttls}")]);
        command.args([
            &format!("--tls-host-override={NAME}"),
            &format!("--tls-trust-file={}", slot.root.display()),
        ]);
    }
    if slot.login {
        command.args(["--auth=plain", &format!("--user={USER}")]);
        command.arg(format!("--passwordeval=echo {PASSWORD}"));
    } else {
        command.arg("--auth=off");
    }
    command.args(["--from=sender@example.net", "alice@example.org"]);
    command
}

fn python(slot: &Slot<'_>, source: &str, message: &Path) -> Command {
    let script = concat!(include_str!("python/dial.py"), include_str!("python/smtp.py"));
    let how = format!("{:?}", slot.way).to_lowercase();
    let mut command = Command::new("python3");
    command.args(["-c", script, &slot.port.to_string(), &how]).arg(slot.root).arg(source);
    // No name, no login.
    command.args(if slot.login { [USER, PASSWORD] } else { ["", ""] });
    command.env("MESSAGE", message);
    command
}

/// Runs swaks, and returns its transcript; it must succeed.
pub(crate) fn swaks(slot: &Slot<'_>, source: &str, message: &Path, more: &[&str]) -> String {
    String::from_utf8_lossy(&output(swaks_to(slot, source, message, more), "swaks")).into_owned()
}

/// Runs swaks, and returns its transcript and how it ended.
pub(crate) fn swaks_fails(
    slot: &Slot<'_>,
    source: &str,
    message: &Path,
    more: &[&str],
) -> (String, Option<i32>) {
    let (transcript, status) = spoken(swaks_to(slot, source, message, more), "swaks");
    (String::from_utf8_lossy(&transcript).into_owned(), status.code())
}

fn swaks_to(slot: &Slot<'_>, source: &str, message: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("swaks");
    command.args(["--server", "127.0.0.1", "--port", &slot.port.to_string()]);
    command.args(["--local-interface", source, "--helo", "client.example.net"]);
    command.args(["--from", "sender@example.net", "--to", "alice@example.org"]);
    command.arg("--data").arg(format!("@{}", message.display()));
    match slot.way {
        Way::Clear => {}
        Way::Implicit => {
            command.arg("--tls-on-connect");
        }
        Way::Starttls => {
            command.arg("--tls");
        }
    }
    if slot.way != Way::Clear {
        command.args(["--tls-sni", NAME, "--tls-verify", "--tls-ca-path"]).arg(slot.root);
    }
    if slot.login {
        command.args(["--auth", "PLAIN", "--auth-user", USER, "--auth-password", PASSWORD]);
    }
    command.args(more);
    command
}

/// The dialogue typed into a program that knows TLS and nothing else.
fn by_hand(mut talk: Talk, slot: &Slot<'_>, message: &Path) {
    if slot.way == Way::Implicit {
        talk.hear("220 ");
    }
    talk.say("EHLO client.example.net", "250 ");
    if slot.login {
        talk.say(&format!("AUTH PLAIN {}", crate::dialogue::PLAIN), "235 ");
    }
    talk.say("MAIL FROM:<sender@example.net>", "250 ");
    talk.say("RCPT TO:<alice@example.org>", "250 ");
    talk.say("DATA", "354 ");
    let text = std::fs::read_to_string(message).expect("the test's own file");
    talk.say(&format!("{}.", smtp::stuffed(&text)), "250 ");
    talk.say("QUIT", "221 ");
    talk.end();
}

/// Postfix's own generator of load: so many messages in so many sessions at a time.
pub(crate) fn smtp_source(slot: &Slot<'_>, messages: usize, sessions: usize) {
    assert_eq!(slot.way, Way::Clear, "smtp-source knows no TLS");
    let mut command = Command::new(smtp_source_path());
    command.args(["-m", &messages.to_string(), "-s", &sessions.to_string(), "-l", "10000"]);
    command.args(["-f", "sender@example.net", "-t", "alice@example.org"]);
    command.args(["-M", "client.example.net", &format!("inet:127.0.0.1:{}", slot.port)]);
    output(command, "postfix");
}

fn smtp_source_path() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join("smtp-source"))
        .find(|program| program.is_file())
        .expect("smtp-source is there: apt-get install postfix")
}
