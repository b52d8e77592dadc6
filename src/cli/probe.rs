//! `vestibule probe`

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::ValueEnum;

use super::report;
use crate::{
    certs::Anchors,
    outside::{self, Starttls, Target, Trust},
    protocol::Protocol,
    values,
};

/// What is to be looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The server: a name, an IPv4 address or an [IPv6 address], and a port.
    #[arg(value_name = "HOST:PORT")]
    target: String,
    /// How TLS is asked for, where the port does not say it: 25, 587, 143, 110 and 4190 do.
    #[arg(long, value_name = "PROTOCOL")]
    starttls: Option<Upgrade>,
    /// The name to ask for, and to look for in the certificate, if it is not HOST.
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Roots to trust besides this machine's own, as PEM.
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,
    /// How long each phase may take.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    timeout: values::Duration,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Upgrade {
    Smtp,
    Imap,
    Pop3,
    Sieve,
    /// Not at all: the connection begins with TLS.
    None,
}

impl From<Upgrade> for Starttls {
    fn from(upgrade: Upgrade) -> Self {
        match upgrade {
            Upgrade::Smtp => Self::In(Protocol::Smtp),
            Upgrade::Imap => Self::In(Protocol::Imap),
            Upgrade::Pop3 => Self::In(Protocol::Pop3),
            Upgrade::Sieve => Self::In(Protocol::Sieve),
            Upgrade::None => Self::Never,
        }
    }
}

pub(super) fn probe(arguments: &Arguments) -> ExitCode {
    let starttls = arguments.starttls.map(Starttls::from);
    let target = match Target::new(&arguments.target, starttls, arguments.sni.as_deref()) {
        Ok(target) => target,
        Err(why) => return report::fail(why),
    };
    let (mut anchors, unread) = Anchors::system();
    if let Some(unread) = unread {
        report::remark(unread);
    }
    for file in &arguments.trust {
        match anchors.read(file) {
            Ok(0) => {}
            Ok(others) => report::remark(format_args!(
                "{}: {others} certificates in it are not self-signed, so no roots, and are not trusted",
                file.display()
            )),
            Err(finding) => return report::fail(finding),
        }
    }
    let trust = Trust { anchors, knows_private: !arguments.trust.is_empty() };
    let time: Duration = arguments.timeout.0;
    let seen = outside::probe(&target, &trust, time);
    match report::print(arguments.json, &seen, &seen.to_string()) {
        Ok(()) => report::exit(seen.worst()),
        Err(_) => ExitCode::FAILURE,
    }
}
