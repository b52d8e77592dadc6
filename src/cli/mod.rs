//! Arguments → one command → an exit code. One file a command.

mod acme;
mod backend_config;
mod backends;
mod certs;
mod check;
mod csr;
mod demo;
mod dns;
mod explain;
mod import;
mod probe;
mod report;
mod self_signed;
mod serve;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// A TLS-terminating front proxy for mail.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, about, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration to serve.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
}

const CONFIG: &str = "/etc/vestibule/vestibule.yaml";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default command).
    Serve {
        /// The configuration.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Tell whether configurations would be served, without serving them.
    Check {
        /// Look at the files alone, not at certificates.
        #[arg(long)]
        offline: bool,
        /// Print the listeners with everything that was left out.
        #[arg(long)]
        explain: bool,
        /// Look at the backends, too, and try whether they take mail for others from strangers.
        #[arg(long, conflicts_with_all = ["offline", "explain"])]
        backends: bool,
        /// Print what was seen of the backends as JSON.
        #[arg(long, requires = "backends")]
        json: bool,
        /// The configurations.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the certificates that would be served, and what is wrong with them.
    Certs(certs::Arguments),
    /// Tell which certificate a client gets, and why.
    Explain(explain::Arguments),
    /// Print what a mail server's own configuration needs to stand behind this front.
    BackendConfig(backend_config::Arguments),
    /// Make a key and a certificate that vouches for itself, or renew one.
    SelfSigned(self_signed::Arguments),
    /// Make a key, and a request for a certificate that goes to an authority.
    Csr(csr::Arguments),
    /// Check a certificate that an authority has issued, and put it among those that are served.
    Import(import::Arguments),
    /// Tell which DNS records to publish, or whether those that are agree with what is served.
    Dns(dns::Arguments),
    /// Order, renew or revoke certificates that come by themselves, by hand.
    Acme(acme::Arguments),
    /// Serve a mail server that lives in memory, to see how it is.
    Demo {
        /// What is added to the standard ports, so that nobody has to be root.
        #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
        port_offset: u16,
    },
    /// Look at any server from outside: dialogue, TLS, certificates, and what is wrong with them.
    Probe(probe::Arguments),
}

/// `EX_CONFIG` of sysexits.h: the configuration, or what it names, cannot be used. systemd's
/// `RestartPreventExitStatus=78` keeps it from trying again and again.
const UNFIT: u8 = 78;

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    // For dependencies that would otherwise look for a provider themselves. Only we set it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    match arguments.command.unwrap_or(Command::Serve { config: arguments.config }) {
        Command::Serve { config } => serve::serve(config),
        Command::Check { backends: true, json, files, .. } => backends::check(json, &files),
        Command::Check { offline, explain, files, .. } => check::check(offline, explain, &files),
        Command::Certs(arguments) => certs::certs(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::BackendConfig(arguments) => backend_config::backend_config(&arguments),
        Command::SelfSigned(arguments) => self_signed::self_signed(&arguments),
        Command::Csr(arguments) => csr::csr(&arguments),
        Command::Import(arguments) => import::import(&arguments),
        Command::Acme(arguments) => acme::acme(&arguments),
        Command::Dns(arguments) => dns::dns(&arguments),
        Command::Demo { port_offset } => demo::demo(port_offset),
        Command::Probe(arguments) => probe::probe(&arguments),
    }
}
