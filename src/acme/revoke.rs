//! A certificate that is not to be believed any more (RFC 8555 §7.6).

use std::path::{Path, PathBuf};

use instant_acme::{RevocationReason, RevocationRequest};

use super::{
    Entry, Folder, Item, Phase, Source, Trouble, account, folder::failed, held::Held,
    order::STUBBORN,
};
use crate::{certs, values::Acme};

/// Why it is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is said.
    Unspecified,
    /// Somebody else may have the key.
    KeyCompromise,
    /// Another has taken its place.
    Superseded,
    /// Nobody serves these names here any more.
    CessationOfOperation,
}

/// Has the authority revoke the certificate that is in its place. It is not renewed then before
/// somebody orders another; its key is not used again.
pub async fn revoke(settings: &Acme, item: &Item, reason: Reason) -> Result<(), Trouble> {
    let folder = Folder::of(settings);
    let file = folder.certificate(item);
    let held = Held::read(&file).ok_or_else(|| {
        Trouble::ours(format!("{}: there is no certificate that could be revoked", file.display()))
    })?;
    let Some(_lock) = folder.lock_soon(item).await? else {
        return Err(Trouble::ours("somebody else is at it: it is being ordered now"));
    };
    let held_from = Entry::read(&folder, item).held_from;
    let opened = account::open(&issuing(settings, held_from.clone()), &folder).await?;
    let reason = match reason {
        Reason::Unspecified => RevocationReason::Unspecified,
        Reason::KeyCompromise => RevocationReason::KeyCompromise,
        Reason::Superseded => RevocationReason::Superseded,
        Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
    };
    let request = RevocationRequest { certificate: &held.leaf, reason: Some(reason) };
    let mut tries = 0;
    loop {
        match opened.account.revoke(&request).await {
            // RFC 8555 §7.6: it is as it is wanted.
            Err(error) if Trouble::is(&error, "alreadyRevoked") => break,
            Err(error) if Trouble::is(&error, "badNonce") && tries < STUBBORN => tries += 1,
            revoked => break revoked.map_err(|error| opened.told(error))?,
        }
    }
    let entry = Entry {
        phase: Phase::Revoked,
        names: item.names.clone(),
        source: Source::of(settings),
        held_from,
        revoked: true,
        ..Entry::default()
    };
    entry.write(&folder, item)
}

/// These settings, with the authority that has issued: another may have been configured since.
fn issuing(settings: &Acme, from: Option<Source>) -> Acme {
    let Source { directory, profile } = from.unwrap_or_else(|| Source::of(settings));
    Acme { directory, profile, ..settings.clone() }
}

/// The account with the authority, as it is known there.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Account {
    /// The authority's directory.
    pub directory: String,
    /// The account's address, which is its name.
    pub address: String,
    /// Where the authority writes to.
    pub contact: Vec<String>,
    /// The file with its key.
    pub key: PathBuf,
    /// The authority's terms.
    pub terms: Option<String>,
    /// The profiles that it offers.
    pub profiles: Vec<String>,
}

/// Opens the account with the authority of these settings, and makes it if there is none.
pub async fn account(settings: &Acme) -> Result<Account, Trouble> {
    let folder = Folder::of(settings);
    folder.make()?;
    let opened = account::open(settings, &folder).await?;
    let place = folder.account(&settings.directory);
    Ok(Account {
        directory: settings.directory.clone(),
        address: opened.account.id().to_owned(),
        contact: account::note(&place).map(|note| note.contact).unwrap_or_default(),
        key: place.join(account::KEY),
        terms: opened.directory.meta.terms_of_service,
        profiles: opened.directory.meta.profiles.into_keys().collect(),
    })
}

/// Settings to try everything out with the authority's staging directory. What is kept meanwhile lies
/// in this folder.
pub fn rehearsal(settings: &Acme, folder: &Path) -> Result<Acme, Trouble> {
    let staging = settings.staging.clone().ok_or_else(|| {
        Trouble::ours("there is no staging directory to try it with: write it as `acme.staging`")
    })?;
    certs::create_folder(folder).map_err(failed(folder))?;
    Ok(Acme { directory: staging, folder: folder.to_owned(), ..settings.clone() })
}
