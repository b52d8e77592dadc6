//! `vestibule acme`

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{CONFIG, report};
use crate::{
    acme::{self, Answers, Entry, Folder, Item, Job},
    certs::{Severity, tlsa::Records},
    config::Config,
    values::Acme,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Order the certificates that are missing, or are to be renewed by now.
    Order(Common),
    /// Order certificates anew, however good those are that are there.
    Renew(Common),
    /// Have the authority revoke certificates, and order others with new keys.
    Revoke {
        #[command(flatten)]
        common: Common,
        /// Why.
        #[arg(long, value_enum, default_value_t = Why::Superseded)]
        reason: Why,
        /// Order no others.
        #[arg(long)]
        only: bool,
    },
    /// Show the account with the authority; make it if there is none.
    Account(Common),
}

#[derive(Debug, Args)]
struct Common {
    /// The first names of the certificates. Left out: all.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// Try it out with the authority's staging directory, and keep nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Why {
    Unspecified,
    KeyCompromise,
    Superseded,
    CessationOfOperation,
}

/// What became of a certificate.
#[derive(Debug, Serialize)]
struct Outcome {
    names: Vec<String>,
    key: &'static str,
    /// `issued`, `fine`, `busy`, `revoked`, or `failed`.
    outcome: &'static str,
    /// Whether the certificate that is there has been revoked.
    is_revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

pub(super) fn acme(arguments: &Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return report::fail(format_args!("tasks cannot be started: {e}")),
    };
    match runtime.block_on(run(&arguments.command)) {
        Ok(code) => code,
        Err(why) => report::fail(why),
    }
}

type Failed = Box<dyn std::error::Error>;

async fn run(command: &Command) -> Result<ExitCode, Failed> {
    let (Command::Order(common)
    | Command::Renew(common)
    | Command::Revoke { common, .. }
    | Command::Account(common)) = command;
    let config = Config::read(&common.config)?;
    let dane = Arc::new(config.dane.read().map_err(|lines| lines.join("\n"))?);
    let Some(real) = config.acme else {
        return Err(format!("{}: there is no `acme` in it", common.config.display()).into());
    };
    let rehearsal = common.dry_run.then(|| Rehearsal::new(&real));
    let settings = match &rehearsal {
        Some(rehearsal) => acme::rehearsal(&real, &rehearsal.0)?,
        None => real.clone(),
    };
    if let Command::Account(_) = command {
        let account = acme::open_account(&settings).await?;
        report::print(common.json, &account, &told(&account))?;
        return Ok(report::exit(None));
    }
    let mut outcomes = Vec::new();
    for item in chosen(&settings, &common.names)? {
        let mut outcome = None;
        if let Command::Revoke { reason, only, .. } = command {
            let revoked = acme::revoke(&settings, &item, (*reason).into()).await;
            if *only || revoked.is_err() {
                outcome = Some(Outcome::of(&item, revoked.map(|()| ("revoked", None))));
            }
        }
        if matches!(command, Command::Order(_)) && !acme::needs(&settings, &item) {
            outcome = Some(Outcome::of(&item, Ok(("fine", None))));
        }
        let mut outcome = match outcome {
            Some(outcome) => outcome,
            None => order(&settings, &real, &item, &dane).await,
        };
        outcome.is_revoked = Entry::read(&Folder::of(&settings), &item).revoked;
        if !common.json {
            // An order takes its time: who waits sees each as it ends.
            report::print(false, &outcome, &outcome.line())?;
        }
        outcomes.push(outcome);
    }
    if outcomes.iter().any(|o| o.outcome == "issued") && rehearsal.is_none() {
        let socket = Folder::of(&real).socket();
        if !acme::tell(&socket).await {
            report::remark("no front runs here that would serve it at once");
        }
    }
    if common.json {
        report::print(true, &outcomes, "")?;
    }
    let is_bad = outcomes.iter().any(|o| o.outcome == "failed");
    let is_busy = outcomes.iter().any(|o| o.outcome == "busy");
    let worst = if is_bad { Some(Severity::Error) } else { is_busy.then_some(Severity::Warning) };
    Ok(report::exit(worst))
}

async fn order(settings: &Acme, real: &Acme, item: &Item, dane: &Arc<Records>) -> Outcome {
    let job = Job {
        settings: Arc::new(settings.clone()),
        item: item.clone(),
        answers: Answers::There(Folder::of(real).socket()),
        dane: dane.clone(),
    };
    let done = acme::obtain(&job).await;
    Outcome::of(item, done.map(|file| file.map_or(("busy", None), |file| ("issued", Some(file)))))
}

/// The certificates of these first names; with none, all.
fn chosen(settings: &Acme, names: &[String]) -> Result<Vec<Item>, String> {
    let all = Item::all(settings);
    for name in names {
        if !all.iter().any(|item| item.names.first() == Some(name)) {
            let known: Vec<&str> =
                settings.domains.iter().filter_map(|d| d.first()).map(String::as_str).collect();
            return Err(format!(
                "no certificate in `acme.domains` begins with {name}: there are {}",
                known.join(", ")
            ));
        }
    }
    let is_chosen =
        |item: &Item| names.is_empty() || item.names.first().is_some_and(|n| names.contains(n));
    Ok(all.into_iter().filter(is_chosen).collect())
}

fn told(account: &acme::Account) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Nothing can fail that is written to memory.
        let _ = writeln!(text, "{name:<10} {value}");
    };
    line("directory", &account.directory);
    line("account", &account.address);
    line("status", &account.status);
    line("contact", &account.contact.join(", "));
    line("key", &account.key.display().to_string());
    line("terms", account.terms.as_deref().unwrap_or("none"));
    if !account.profiles.is_empty() {
        line("profiles", &account.profiles.join(", "));
    }
    text
}

impl Outcome {
    fn of(item: &Item, done: Result<(&'static str, Option<PathBuf>), acme::Trouble>) -> Self {
        let (outcome, file, reason) = match done {
            Ok((outcome, file)) => (outcome, file, None),
            Err(trouble) => ("failed", None, Some(trouble.text)),
        };
        let names = item.names.clone();
        Self { names, key: item.key().name(), outcome, is_revoked: false, reason, file }
    }

    fn line(&self) -> String {
        let what = match self.outcome {
            "issued" => "a certificate has come",
            "fine" => "it is there, and not to be renewed yet",
            "busy" => "somebody else is ordering it now",
            "revoked" => "it is revoked",
            _ => self.reason.as_deref().unwrap_or_default(),
        };
        let before = if self.is_revoked && self.outcome != "revoked" {
            "the certificate that is there is revoked, and no other has come: "
        } else {
            ""
        };
        format!("{} ({}): {before}{what}\n", self.names.join(", "), self.key)
    }
}

impl From<Why> for acme::Reason {
    fn from(why: Why) -> Self {
        match why {
            Why::Unspecified => Self::Unspecified,
            Why::KeyCompromise => Self::KeyCompromise,
            Why::Superseded => Self::Superseded,
            Why::CessationOfOperation => Self::CessationOfOperation,
        }
    }
}

/// A folder for what is not kept.
struct Rehearsal(PathBuf);

impl Rehearsal {
    fn new(settings: &Acme) -> Self {
        let folder: &Path = &settings.folder;
        Self(folder.join(format!(".dry-run-{}", std::process::id())))
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
