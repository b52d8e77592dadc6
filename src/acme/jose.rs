//! Signatures for the requests that `instant-acme` cannot make: those that open an account, and those
//! that the key of a certificate signs (RFC 8555 §7.3, §7.6).

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64URL, Engine};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use super::Trouble;

/// A key that signs: ECDSA on P-256.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    pub(super) fn new(key: &PrivatePkcs8KeyDer<'_>) -> Result<Self, Trouble> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der());
        let pair = pair.map_err(|e| {
            Trouble::ours(format!("the key is none on P-256 that could be used: {e}"))
        })?;
        Ok(Self { pair, random: SystemRandom::new() })
    }

    /// The public key (RFC 7517, RFC 7518 §6.2).
    pub(super) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        // It begins with 4, which says that both coordinates follow.
        let (x, y) = point.get(1..).unwrap_or_default().split_at(32.min(point.len() - 1));
        json!({ "kty": "EC", "crv": "P-256", "x": BASE64URL.encode(x), "y": BASE64URL.encode(y) })
    }

    /// A signed request with the address of the account in it, or, before there is one, with the public
    /// key (RFC 8555 §6.2). Without a payload, it asks (§6.3).
    pub(super) fn sign(
        &self,
        address: &str,
        account: Option<&str>,
        nonce: &str,
        payload: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let mut header = json!({ "alg": "ES256", "nonce": nonce, "url": address });
        match account {
            Some(account) => header["kid"] = account.into(),
            None => header["jwk"] = self.jwk(),
        }
        let payload = payload.map(ToString::to_string).unwrap_or_default();
        jws(&header, &payload, |text| {
            let signature = self.pair.sign(&self.random, text.as_bytes());
            let signature = signature.map_err(|_| Trouble::ours("a signature cannot be made"))?;
            Ok(BASE64URL.encode(signature))
        })
    }

    /// That the account of this name wants to have ours bound to it: RFC 8555 §7.3.4. `secret` is
    /// what the authority has given, in base64url.
    pub(super) fn binding(&self, id: &str, secret: &str, address: &str) -> Result<Value, Trouble> {
        let secret = BASE64URL.decode(secret.trim().trim_end_matches('=')).map_err(|e| {
            Trouble::ours(format!("external_account: the HMAC key is not base64url: {e}"))
        })?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let header = json!({ "alg": "HS256", "kid": id, "url": address });
        jws(&header, &self.jwk().to_string(), |text| {
            Ok(BASE64URL.encode(hmac::sign(&key, text.as_bytes())))
        })
    }
}

/// Octets as a part of a request (RFC 8555 §6.1).
pub(super) fn encoded(octets: &[u8]) -> String {
    BASE64URL.encode(octets)
}

/// The flattened form (RFC 7515 §7.2.2).
fn jws(
    header: &Value,
    payload: &str,
    sign: impl FnOnce(&str) -> Result<String, Trouble>,
) -> Result<Value, Trouble> {
    let header = BASE64URL.encode(header.to_string());
    let payload = BASE64URL.encode(payload);
    let signature = sign(&format!("{header}.{payload}"))?;
    Ok(json!({ "protected": header, "payload": payload, "signature": signature }))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn signer() -> Signer {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Signer::new(&key.as_ref().to_vec().into()).unwrap()
    }

    fn decoded(value: &Value) -> Vec<u8> {
        BASE64URL.decode(value.as_str().unwrap()).unwrap()
    }

    #[test]
    fn what_is_signed_can_be_verified_by_the_key_in_it() {
        let signer = signer();
        let sign = |account, payload: Option<&Value>| {
            signer.sign("https://a.example/new", account, "nonce", payload).unwrap()
        };
        let request = sign(None, Some(&json!({"x": 1})));
        let header: Value = serde_json::from_slice(&decoded(&request["protected"])).unwrap();
        assert_eq!((&header["alg"], &header["nonce"]), (&"ES256".into(), &"nonce".into()));
        assert_eq!(header["url"], "https://a.example/new");
        let key = [vec![4], decoded(&header["jwk"]["x"]), decoded(&header["jwk"]["y"])].concat();
        let text = [&request["protected"], &request["payload"]].map(|v| v.as_str().unwrap());
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(text.join(".").as_bytes(), &decoded(&request["signature"]))
            .unwrap();
        assert_eq!(decoded(&request["payload"]), br#"{"x":1}"#);
        let asked = sign(Some("https://a.example/1"), None);
        let header: Value = serde_json::from_slice(&decoded(&asked["protected"])).unwrap();
        assert_eq!((&header["kid"], &header["jwk"]), (&"https://a.example/1".into(), &Value::Null));
        assert_eq!(asked["payload"], "");
    }

    #[test]
    fn another_account_vouches_for_the_key() {
        let signer = signer();
        let address = "https://a.example/new";
        let bound = signer.binding("kid-1", " c2VjcmV0\n", address).unwrap();
        let header: Value = serde_json::from_slice(&decoded(&bound["protected"])).unwrap();
        assert_eq!(header, json!({ "alg": "HS256", "kid": "kid-1", "url": address }));
        let key: Value = serde_json::from_slice(&decoded(&bound["payload"])).unwrap();
        assert_eq!(key, signer.jwk());
        let text = [&bound["protected"], &bound["payload"]].map(|v| v.as_str().unwrap());
        let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        hmac::verify(&secret, text.join(".").as_bytes(), &decoded(&bound["signature"])).unwrap();
        assert!(signer.binding("kid-1", "no base64!", address).is_err());
    }
}
