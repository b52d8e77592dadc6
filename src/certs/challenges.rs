//! What we answer to a certificate authority that looks whether a name is ours.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::sign::CertifiedKey;

/// The answers to challenges that are open now: put in before the authority is told to look, taken
/// out once it has looked. Whoever renews writes here; port 80 and the handshake read.
#[derive(Debug, Default)]
pub struct Challenges {
    http: RwLock<HashMap<String, Arc<str>>>,
    alpn: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// The key authorization for an http-01 token (RFC 8555 §8.3).
    #[must_use]
    pub fn http(&self, token: &str) -> Option<Arc<str>> {
        self.http.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Answers an http-01 challenge, or with `None` no more.
    pub fn set_http(&self, token: &str, answer: Option<Arc<str>>) {
        let mut all = self.http.write().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(answer) => all.insert(token.to_owned(), answer),
            None => all.remove(token),
        };
    }

    /// The certificate that answers a tls-alpn-01 challenge for a name (RFC 8737 §3).
    #[must_use]
    pub fn alpn(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.alpn.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Answers a tls-alpn-01 challenge, or with `None` no more.
    pub fn set_alpn(&self, name: &str, answer: Option<Arc<CertifiedKey>>) {
        let mut all = self.alpn.write().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(answer) => all.insert(name.to_owned(), answer),
            None => all.remove(name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Challenges;

    #[test]
    fn an_answer_is_there_until_it_is_taken_back() {
        let challenges = Challenges::default();
        challenges.set_http("token", Some("token.thumbprint".into()));
        assert_eq!(challenges.http("token").as_deref(), Some("token.thumbprint"));
        challenges.set_http("token", None);
        assert!(challenges.http("token").is_none());
    }
}
