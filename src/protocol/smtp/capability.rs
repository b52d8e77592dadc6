//! The EHLO reply (RFC 5321 §4.1.1.1), as a client may see it through us.

use super::command::is_trust;
use crate::protocol::{Offer, line::printable};

/// A backend's keyword lines as this client may see them, with what we add.
pub(super) fn edit<T: AsRef<[u8]>>(lines: &[T], offer: Offer) -> Vec<String> {
    let theirs = lines.iter().filter_map(|line| keep(printable(line.as_ref()), offer));
    // RFC 3207 §4.2: never inside TLS.
    theirs.chain(offer.starttls.then(|| "STARTTLS".to_owned())).collect()
}

fn keep(line: String, offer: Offer) -> Option<String> {
    let keyword = line.split([' ', '=']).next().unwrap_or_default().to_ascii_uppercase();
    match keyword.as_str() {
        "STARTTLS" => None,
        "AUTH" if !offer.login => None,
        // Channel binding (RFC 5802 §6) cannot survive a front that ends TLS. `AUTH=` is what some
        // servers say again for very old clients.
        "AUTH" => {
            let separator =
                line.as_bytes()[keyword.len()..].first().copied().map_or(' ', char::from);
            let mechanisms = line[keyword.len()..].split([' ', '=']).filter(|m| !m.is_empty());
            let kept: Vec<&str> =
                mechanisms.filter(|m| !m.to_ascii_uppercase().ends_with("-PLUS")).collect();
            (!kept.is_empty()).then(|| format!("AUTH{separator}{}", kept.join(" ")))
        }
        keyword if is_trust(keyword.as_bytes()) => None,
        _ => Some(line),
    }
}

/// Whether a list has this keyword.
pub(super) fn has<T: AsRef<[u8]>>(lines: &[T], keyword: &str) -> bool {
    let is_it = |line: &T| {
        line.as_ref()
            .split(|b| *b == b' ')
            .next()
            .is_some_and(|k| k.eq_ignore_ascii_case(keyword.as_bytes()))
    };
    lines.iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: [&str; 8] = [
        "PIPELINING",
        "SIZE 100",
        "STARTTLS",
        "AUTH PLAIN SCRAM-SHA-1-PLUS",
        "AUTH=LOGIN",
        "XCLIENT NAME ADDR",
        "x-exps gssapi",
        "CHUNKING",
    ];

    #[test]
    fn s8_s14_t29_inside_tls() {
        assert_eq!(
            edit(&BACKEND, Offer::TLS),
            ["PIPELINING", "SIZE 100", "AUTH PLAIN", "AUTH=LOGIN", "CHUNKING"]
        );
    }

    #[test]
    fn s11_s15_before_tls() {
        let offer = Offer { starttls: true, proceed: true, login: false };
        assert_eq!(edit(&BACKEND, offer), ["PIPELINING", "SIZE 100", "CHUNKING", "STARTTLS"]);
    }
}
