//! The account with an authority. Its key is written before anybody hears of it, so that it can be
//! cut off at any moment: an account that was made, and not written down, is found again by its key.

use std::{fs, path::Path};

use instant_acme::{Account, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Folder, Trouble,
    directory::{Directory, understood},
    folder::{failed, put, remove},
    http::{Bytes, CONTENT_TYPE, Request, Web, text},
    jose::Signer,
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
}

impl Opened {
    /// What went wrong, with the time that the authority wants.
    pub(super) fn told(&self, error: Error) -> Trouble {
        let mut trouble = Trouble::from(error);
        trouble.after = trouble.after.or(self.web.aside().after);
        trouble
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

/// So many nonces may be refused in a row: RFC 8555 §6.5.
const NONCES: usize = 8;

/// Looks at what the authority of these settings offers.
pub(super) async fn look(settings: &Acme) -> Result<(Web, Directory), Trouble> {
    let web = Web::new(settings.trust.as_deref())?;
    let directory = Directory::read(&web, &settings.directory).await?;
    Ok((web, directory))
}

/// Opens the account with the authority of these settings, and makes it if there is none.
pub(super) async fn open(settings: &Acme, folder: &Folder) -> Result<Opened, Trouble> {
    let (web, directory) = look(settings).await?;
    directory.check(settings)?;
    let place = folder.account(&settings.directory);
    certs::create_folder(&place).map_err(failed(&place))?;
    let file = place.join(KEY);
    if !file.exists() {
        let key = new_key(NewKey::Ecdsa).map_err(|e| Trouble::ours(e.to_string()))?;
        match certs::create(&file, &key) {
            // Somebody else was faster.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            written => written.map_err(failed(&file))?,
        }
    }
    let key = || pkcs8(&file).map_err(|e| Trouble::ours(e.to_string()));
    let mut note = match note(&place) {
        Some(note) => note,
        None => {
            let signer = Signer::new(&key()?)?;
            let note = Note {
                address: register(settings, &web, &directory, &signer).await?,
                contact: settings.contact.clone(),
            };
            keep(&place, &note)?;
            note
        }
    };
    let builder = Account::builder_with_http(Box::new(web.clone()));
    let account =
        builder.from_parts(note.address.clone(), key()?, settings.directory.clone()).await?;
    if note.contact != settings.contact {
        let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
        account.update_contacts(&contact).await?;
        note.contact.clone_from(&settings.contact);
        keep(&place, &note)?;
    }
    Ok(Opened { account, directory, web })
}

/// What is written down of the account with this authority; `None`: there is none.
pub(super) fn note(place: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(place.join(NOTE)).ok()?).ok()
}

/// Forgets the address of an account that the authority does not know any more. The key stays.
pub(super) fn forget(settings: &Acme, folder: &Folder) -> Result<(), Trouble> {
    remove(&folder.account(&settings.directory).join(NOTE))
}

fn keep(place: &Path, note: &Note) -> Result<(), Trouble> {
    let file = place.join(NOTE);
    let text = serde_json::to_string_pretty(note).map_err(|e| failed(&file)(e.into()))?;
    put(&file, &text)
}

/// Makes an account for this key, or finds the one that it has: RFC 8555 §7.3.1.
async fn register(
    settings: &Acme,
    web: &Web,
    directory: &Directory,
    signer: &Signer,
) -> Result<String, Trouble> {
    let address = &directory.new_account;
    let mut payload = json!({
        "contact": settings.contact,
        "termsOfServiceAgreed": settings.agree_to_terms,
    });
    if let Some(external) = &settings.external_account {
        let secret = fs::read_to_string(&external.key_file).map_err(failed(&external.key_file))?;
        payload["externalAccountBinding"] = signer.binding(&external.key_id, &secret, address)?;
    }
    let mut nonce = fresh_nonce(web, directory).await?;
    for _ in 0..NONCES {
        let body = signer.sign(address, &nonce, &payload)?.to_string();
        let request = Request::post(address)
            .header(CONTENT_TYPE, "application/jose+json")
            .body(http_body_util::Full::new(Bytes::from(body)))
            .map_err(|e| Trouble::ours(format!("{address}: {e}")))?;
        let answer = web.send(request).await?;
        let headers = answer.headers().clone();
        match understood::<Value>(answer).await {
            Ok(_) => {
                let place = text(&headers, "location").ok_or_else(|| {
                    Trouble::passing("the authority does not tell the account's address")
                })?;
                tracing::info!(account = place, "an account with the certificate authority");
                return Ok(place);
            }
            Err(trouble) if trouble.is_nonce() => {
                nonce = match text(&headers, NONCE) {
                    Some(nonce) => nonce,
                    None => fresh_nonce(web, directory).await?,
                };
            }
            Err(trouble) => return Err(trouble.about("account")),
        }
    }
    Err(Trouble::passing("the authority takes none of its own nonces"))
}

const NONCE: &str = "replay-nonce";

async fn fresh_nonce(web: &Web, directory: &Directory) -> Result<String, Trouble> {
    let answer = web.get(&directory.new_nonce).await?;
    text(answer.headers(), NONCE)
        .ok_or_else(|| Trouble::passing(format!("{}: it gives no nonce", directory.new_nonce)))
}
