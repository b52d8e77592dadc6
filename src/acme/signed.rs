//! Requests that a key of ours signs.

use serde_json::Value;

use super::{
    Trouble,
    directory::{Directory, understood},
    http::{Bytes, CONTENT_TYPE, HeaderMap, Request, Web, text},
    jose::Signer,
};

/// So many nonces may be refused in a row: RFC 8555 §6.5.
const NONCES: usize = 8;

const NONCE: &str = "replay-nonce";

/// Sends a request that this key signs, for the account at this address or for itself. Without a payload,
/// it asks. Told is what the answer's header says, and its body.
pub(super) async fn post(
    (web, directory): (&Web, &Directory),
    (signer, account): (&Signer, Option<&str>),
    address: &str,
    payload: Option<&Value>,
) -> Result<(HeaderMap, Value), Trouble> {
    let mut nonce = fresh_nonce(web, directory).await?;
    for _ in 0..NONCES {
        let body = signer.sign(address, account, &nonce, payload)?.to_string();
        let request = Request::post(address)
            .header(CONTENT_TYPE, "application/jose+json")
            .body(http_body_util::Full::new(Bytes::from(body)))
            .map_err(|e| Trouble::ours(format!("{address}: {e}")))?;
        let answer = web.send(request).await?;
        let headers = answer.headers().clone();
        match understood(answer).await {
            Err(trouble) if trouble.is("badNonce") => {
                nonce = match text(&headers, NONCE) {
                    Some(nonce) => nonce,
                    None => fresh_nonce(web, directory).await?,
                };
            }
            Err(trouble) => return Err(web.explained(trouble)),
            Ok(said) => return Ok((headers, said)),
        }
    }
    Err(Trouble::passing("the authority takes none of its own nonces"))
}

async fn fresh_nonce(web: &Web, directory: &Directory) -> Result<String, Trouble> {
    let answer = web.get(&directory.new_nonce).await?;
    text(answer.headers(), NONCE)
        .ok_or_else(|| Trouble::passing(format!("{}: it gives no nonce", directory.new_nonce)))
}
