//! What an authority offers, and wants to have agreed to.

use std::{collections::BTreeMap, time::SystemTime};

use http_body_util::BodyExt;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Trouble,
    http::{Answer, Web, wait},
};
use crate::values::Acme;

/// An authority's directory (RFC 8555 §7.1.1), as far as `instant-acme` does not tell of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Directory {
    pub new_nonce: String,
    pub new_account: String,
    pub revoke_cert: Option<String>,
    /// RFC 9773 §4.1.
    pub renewal_info: Option<String>,
    #[serde(default)]
    pub meta: Meta,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub terms_of_service: Option<String>,
    pub external_account_required: bool,
    pub profiles: BTreeMap<String, String>,
}

impl Directory {
    /// Asks for it.
    pub(super) async fn read(web: &Web, address: &str) -> Result<Self, Trouble> {
        let answer = web.get(address).await?;
        understood(answer).await.map_err(|trouble| trouble.about(address))
    }

    /// What keeps us from an account there, in words that say what to write.
    pub(super) fn check(&self, settings: &Acme) -> Result<(), Trouble> {
        if let Some(terms) = self.meta.terms_of_service.as_deref()
            && !settings.agree_to_terms
        {
            return Err(Trouble::ours(format!(
                "the authority has terms of service: read {terms}, and write `agree_to_terms: true`"
            )));
        }
        if self.meta.external_account_required && settings.external_account.is_none() {
            return Err(Trouble::ours(
                "the authority wants accounts bound to one that you have with it: write `external_account` with what it gives you",
            ));
        }
        if let Some(profile) = &settings.profile
            && !self.meta.profiles.contains_key(profile)
        {
            let known: Vec<&str> = self.meta.profiles.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none at all".to_owned() } else { known.join(", ") };
            return Err(Trouble::ours(format!(
                "the authority has no profile `{profile}`: it offers {known}"
            )));
        }
        Ok(())
    }
}

/// What an answer says, or why it says nothing.
pub(super) async fn understood<T: DeserializeOwned>(answer: Answer) -> Result<T, Trouble> {
    let (status, after) = (answer.status(), wait(answer.headers(), SystemTime::now()));
    let Ok(body) = answer.into_body().collect().await;
    let body = body.to_bytes();
    if !status.is_success() {
        let trouble = match serde_json::from_slice(&body) {
            Ok(problem) => Trouble::said(&problem),
            Err(_) => Trouble::unexplained(status),
        };
        return Err(Trouble { after, ..trouble });
    }
    // RFC 8555 §7.6: some have nothing to say.
    let body = if body.is_empty() { &b"null"[..] } else { &body };
    serde_json::from_slice(body)
        .map_err(|e| Trouble::passing(format!("its answer cannot be understood: {e}")))
}
