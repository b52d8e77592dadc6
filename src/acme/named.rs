//! The files that the settings name. Without them nothing can be ordered, which is better said before
//! anything is.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use super::{Folder, account, http, jose};
use crate::{
    certs::{Code, Finding},
    values::{Acme, Challenge, ExternalAccount},
};

/// What is wrong with them.
#[must_use]
pub fn unusable(settings: &Acme) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Challenge::Dns01 { hook, .. } = &settings.challenge {
        findings.extend(runnable(hook).err());
    }
    // Once there is an account, nobody asks for the other any more.
    let place = Folder::of(settings).account(&settings.directory);
    if let Some(external) = &settings.external_account
        && account::note(&place).is_none()
    {
        findings.extend(secret(external).err());
    }
    if let Some(file) = &settings.trust {
        findings.extend(http::trusted(file).err().into_iter().flatten());
    }
    findings
}

fn runnable(hook: &Path) -> Result<(), Finding> {
    let wrong = |text: &str| Finding::new(Code::Unreadable, hook, format!("acme.hook: it {text}"));
    let meta = fs::metadata(hook).map_err(|e| wrong(&format!("cannot be run: {e}")))?;
    if !meta.is_file() {
        return Err(wrong("is no file: a program is wanted"));
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(wrong("cannot be run by anybody: chmod 755 it"));
    }
    Ok(())
}

fn secret(external: &ExternalAccount) -> Result<(), Finding> {
    let file = &external.key_file;
    let wrong = |text: String| {
        Finding::new(Code::Unreadable, file, format!("acme.external_account.key_file: {text}"))
    };
    let unreadable = |e: io::Error| wrong(format!("it cannot be read: {e}"));
    let text = fs::read_to_string(file).map_err(unreadable)?;
    jose::secret(&text).map(drop).map_err(|trouble| wrong(trouble.text))
}
