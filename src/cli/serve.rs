//! `vestibule serve`

use std::{io::Write, path::PathBuf, process::ExitCode};

use super::UNFIT;
use crate::{
    config::{Level, Log},
    daemon::{self, Hangups, Unfit},
    observe::log,
};

pub(super) fn serve(file: PathBuf) -> ExitCode {
    let outcome = run(file);
    log::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(unfit) => {
            // With a standard error that nobody reads, the exit code has to say it all.
            let _ = writeln!(std::io::stderr(), "{unfit}");
            ExitCode::from(UNFIT)
        }
    }
}

/// Serves what this file says until a signal says otherwise.
fn run(file: PathBuf) -> Result<(), Unfit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Unfit::from(format!("threads cannot be started: {e}")))?;
    let outcome = runtime.block_on(async {
        let hangups = Hangups::take()?;
        // Nobody is served yet whom it could keep waiting.
        let loaded = daemon::load(&file, daemon::Purpose::Start)?;
        log::start(form(loaded.config.log));
        daemon::run(file, loaded, hangups, || {}).await
    });
    // Whatever is still there has had its time.
    runtime.shutdown_background();
    outcome
}

fn form(log: Log) -> log::Form {
    let level = match log.level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    };
    log::Form { json: log.json, level }
}
