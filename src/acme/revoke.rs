//! A certificate that is not to be believed any more (RFC 8555 §7.6).

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    Entry, Folder, Item, Phase, Source, Trouble, account,
    folder::failed,
    held::Held,
    jose::{Signer, encoded},
    signed::post,
};
use crate::{
    certs::{self, issue::pkcs8},
    values::Acme,
};

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

impl Reason {
    /// Its number: RFC 5280 §5.3.1.
    fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
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
    let address = opened.directory.revoke_cert.as_deref();
    let address = address.ok_or_else(|| Trouble::ours("the authority revokes nothing"))?;
    let payload = json!({ "certificate": encoded(&held.leaf), "reason": reason.code() });
    let ask = async |signer: &Signer, account| {
        post((&opened.web, &opened.directory), (signer, account), address, Some(&payload)).await
    };
    let revoked = match ask(&opened.signer, Some(opened.account.id())).await {
        // Another account may have ordered it. Its own key is as good a proof.
        Err(trouble) if trouble.is("unauthorized") => {
            let key = pkcs8(&file).map_err(|e| Trouble::ours(e.to_string()))?;
            let signer = Signer::new(&key).map_err(|_| trouble)?;
            ask(&signer, None).await
        }
        revoked => revoked,
    };
    match revoked {
        // It is as it is wanted.
        Err(trouble) if trouble.is("alreadyRevoked") => {}
        revoked => drop(revoked?),
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
    /// What the authority says of it: `valid`.
    pub status: String,
    /// Where the authority writes to.
    pub contact: Vec<String>,
    /// The file with its key.
    pub key: PathBuf,
    /// The authority's terms.
    pub terms: Option<String>,
    /// The profiles that it offers.
    pub profiles: Vec<String>,
}

/// Opens the account with the authority of these settings, and makes it if there is none. What is told
/// is what the authority says now.
pub async fn account(settings: &Acme) -> Result<Account, Trouble> {
    let folder = Folder::of(settings);
    folder.make()?;
    let opened = account::open(settings, &folder).await?;
    let place = folder.account(&settings.directory);
    Ok(Account {
        directory: settings.directory.clone(),
        address: opened.account.id().to_owned(),
        status: opened.state.status,
        contact: opened.state.contact.unwrap_or_else(|| settings.contact.clone()),
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
