//! `vestibule serve`

use std::{io::Write, path::PathBuf, process::ExitCode};

use super::UNFIT;
use crate::{
    config::{Level, Log},
    daemon::{self, Loaded, Unfit},
    observe::log,
};

pub(super) fn serve(file: PathBuf) -> ExitCode {
    let outcome = daemon::load(&file, daemon::Purpose::Start).and_then(|loaded| run(file, loaded));
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

/// Serves what was loaded from this file until a signal says otherwise.
fn run(file: PathBuf, loaded: Loaded) -> Result<(), Unfit> {
    log::start(form(loaded.config.log));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Unfit::from(format!("threads cannot be started: {e}")))?;
    let outcome = runtime.block_on(daemon::run(file, loaded, || {}));
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
