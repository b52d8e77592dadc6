//! A certificate in words: what a client has been sent.

use super::{Certificate, x509};

/// What a client that was shown a certificate has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// How many certificates: the leaf, and what leads up from it.
    pub sent: usize,
    /// The issuer of the last of them, which the client has to know.
    pub last_issuer: String,
    /// Whether nothing is missing between the last of them and an authority.
    pub complete: bool,
}

impl Certificate {
    /// The chain as it is sent. Reads it anew: not for every handshake.
    #[must_use]
    pub fn described(&self) -> Description {
        let sent = self.sent_chain();
        let last = self.path().1;
        let common_name = sent.last().and_then(|der| x509::common_names(der).1);
        Description {
            sent: sent.len(),
            last_issuer: common_name.unwrap_or_else(|| last.to_owned()),
            complete: self.is_complete(),
        }
    }

    /// Whether it is for this name: RFC 9525 §6.3.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names().iter().any(|own| {
            *own == name || own.strip_prefix("*.").is_some_and(|own| Some(own) == parent)
        })
    }
}
