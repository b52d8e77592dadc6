//! The account with an authority. Its key is written before anybody hears of it, so that it can be
//! cut off at any moment: an account that was made, and not written down, is found again by its key.

use std::{fs, path::Path};

use instant_acme::{Account, Error};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{
    Folder, Trouble,
    directory::Directory,
    folder::{failed, put, remove},
    http::{Web, text},
    jose::Signer,
    signed::post,
};
use crate::{
    certs::{
        self,
        issue::{NewKey, new_key, pkcs8},
    },
    values::Acme,
};

/// An account that can be used.
pub(super) struct Opened {
    pub(super) account: Account,
    pub(super) directory: Directory,
    pub(super) web: Web,
    pub(super) signer: Signer,
    pub(super) state: State,
}

/// What the authority says of an account (RFC 8555 §7.1.2).
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct State {
    /// `valid`, `deactivated`, or `revoked`.
    pub(super) status: String,
    /// Where it writes to; some do not tell.
    pub(super) contact: Option<Vec<String>>,
}

impl Default for State {
    fn default() -> Self {
        Self { status: VALID.to_owned(), contact: None }
    }
}

impl State {
    /// What is not said is as it should be.
    fn of(said: &Value) -> Self {
        Self::deserialize(said).unwrap_or_default()
    }
}

impl Opened {
    /// What went wrong, with the time that the authority wants.
    pub(super) fn told(&self, error: Error) -> Trouble {
        self.web.explained(Trouble::from(error))
    }
}

/// What is written down of an account, besides its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Its address, which is its name.
    pub(super) address: String,
    /// Where the authority writes to.
    pub(super) contact: Vec<String>,
}

pub(super) const KEY: &str = "account.key";
const NOTE: &str = "account.json";

/// An account that can be used is that.
const VALID: &str = "valid";

/// What is said where an account cannot be used any more by the address that it had.
const GONE: [&str; 3] = ["accountDoesNotExist", "malformed", "unauthorized"];

/// Looks at what the authority of these settings offers.
pub(super) async fn look(settings: &Acme) -> Result<(Web, Directory), Trouble> {
    let web = Web::new(settings.trust.as_deref())?;
    let directory = Directory::read(&web, &settings.directory).await?;
    Ok((web, directory))
}

/// Held by who makes an account, or changes it: authorities take it badly when several orders, which begin
/// at once, do so for one key.
static CHANGING: Mutex<()> = Mutex::const_new(());

/// Opens the account with the authority of these settings, and makes it if there is none.
pub(super) async fn open(settings: &Acme, folder: &Folder) -> Result<Opened, Trouble> {
    let (web, directory) = look(settings).await?;
    directory.check(settings)?;
    let place = folder.account(&settings.directory);
    certs::create_folder(&place).map_err(failed(&place))?;
    let key = key(&place)?;
    let signer = Signer::new(&key)?;
    let mut known = note(&place);
    let is_as_wanted = |note: &Note| note.contact == settings.contact;
    let _alone = if known.as_ref().is_some_and(is_as_wanted) {
        None
    } else {
        let alone = CHANGING.lock().await;
        // Somebody else may have done it by now.
        known = note(&place);
        Some(alone)
    };
    let state = match &known {
        Some(note) => ask(settings, (&web, &directory, &signer), note).await?,
        None => None,
    };
    let (address, state) = match (&known, state) {
        (Some(note), Some(state)) => (note.address.clone(), state),
        _ => register(settings, (&web, &directory, &signer)).await.map_err(|trouble| {
            let is_over = known.is_some() && trouble.is("unauthorized");
            if is_over { trouble.and(&away(&place)) } else { trouble }
        })?,
    };
    let note = Note { address, contact: settings.contact.clone() };
    if known.as_ref() != Some(&note) {
        keep(&place, &note)?;
    }
    if state.status != VALID {
        let text = format!("the account {} is {} with the authority", note.address, state.status);
        return Err(Trouble::ours(text).and(&away(&place)));
    }
    let builder = Account::builder_with_http(Box::new(web.clone()));
    let account = builder.from_parts(note.address, key, settings.directory.clone()).await?;
    Ok(Opened { account, directory, web, signer, state })
}

/// What helps where the authority has done with an account.
fn away(place: &Path) -> String {
    format!("move {} away, and another account is made", place.display())
}

/// The account's key. One that is made now belongs to no account that was known before.
fn key(place: &Path) -> Result<PrivatePkcs8KeyDer<'static>, Trouble> {
    let file = place.join(KEY);
    if !file.exists() {
        remove(&place.join(NOTE))?;
        let key = new_key(NewKey::Ecdsa).map_err(|e| Trouble::ours(e.to_string()))?;
        match certs::create(&file, &key) {
            // Somebody else was faster.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            written => written.map_err(failed(&file))?,
        }
    }
    pkcs8(&file).map_err(|e| Trouble::ours(e.to_string()))
}

/// What is written down of the account with this authority; `None`: there is none.
pub(super) fn note(place: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(place.join(NOTE)).ok()?).ok()
}

fn keep(place: &Path, note: &Note) -> Result<(), Trouble> {
    let file = place.join(NOTE);
    let text = serde_json::to_string_pretty(note).map_err(|e| failed(&file)(e.into()))?;
    put(&file, &text)
}

/// Asks what the account is there. Its contacts are told with that, if they have changed. `None`: it
/// cannot be used by that address.
async fn ask(
    settings: &Acme,
    (web, directory, signer): (&Web, &Directory, &Signer),
    note: &Note,
) -> Result<Option<State>, Trouble> {
    // RFC 8555 §7.3.2.
    let contact = json!({ "contact": settings.contact });
    let payload = (note.contact != settings.contact).then_some(&contact);
    let signer = (signer, Some(note.address.as_str()));
    match post((web, directory), signer, &note.address, payload).await {
        Ok((_, said)) => Ok(Some(State::of(&said))),
        // It may be forgotten, or over, or another key's.
        Err(trouble) if GONE.iter().any(|kind| trouble.is(kind)) => {
            tracing::info!(account = note.address, "the authority does not take it: {trouble}");
            Ok(None)
        }
        Err(trouble) => Err(trouble.about("account")),
    }
}

/// Makes an account for this key, or finds the one that it has: RFC 8555 §7.3.1. Told is its address.
async fn register(
    settings: &Acme,
    (web, directory, signer): (&Web, &Directory, &Signer),
) -> Result<(String, State), Trouble> {
    let address = &directory.new_account;
    let mut payload = json!({
        "contact": settings.contact,
        "termsOfServiceAgreed": settings.agree_to_terms,
    });
    if let Some(external) = &settings.external_account {
        let secret = fs::read_to_string(&external.key_file).map_err(failed(&external.key_file))?;
        payload["externalAccountBinding"] = signer.binding(&external.key_id, &secret, address)?;
    }
    let (headers, said) = post((web, directory), (signer, None), address, Some(&payload))
        .await
        .map_err(|trouble| trouble.about("account"))?;
    let place = text(&headers, "location")
        .ok_or_else(|| Trouble::passing("the authority does not tell the account's address"))?;
    tracing::info!(account = place, "an account with the certificate authority");
    Ok((place, State::of(&said)))
}
