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
        // It answers a message once for each recipient, behind a 353 (draft-hall-prdr). Exim offers it,
        // and asks for it where there are two.
        "PRDR" => None,
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

/// Mechanisms that may bring a security layer of their own (RFC 4422 §3.7): behind it, nobody reads
/// along.
const LAYERED: [&str; 5] = ["DIGEST-MD5", "GSS-SPNEGO", "GSSAPI", "KERBEROS_V4", "SRP"];

/// Whether AUTH with these parameters may end in a security layer.
pub(super) fn is_layered(parameters: &[u8]) -> bool {
    let mechanism = parameters.split(|b| *b == b' ').next().unwrap_or_default();
    LAYERED.iter().any(|layered| mechanism.eq_ignore_ascii_case(layered.as_bytes()))
}

/// The keyword lines without such mechanisms: where the backend believes the front in words of SMTP,
/// the filter has to read them all.
pub(super) fn without_layers(lines: Vec<String>) -> Vec<String> {
    let keep = |line: String| {
        let is_auth = line.get(..4).is_some_and(|k| k.eq_ignore_ascii_case("AUTH"));
        if !is_auth || !line[4..].starts_with([' ', '=']) {
            return Some(line);
        }
        let mut words =
            line[5..].split([' ', '=']).filter(|m| !is_layered(m.as_bytes())).peekable();
        words.peek()?;
        Some(format!("{}{}", &line[..5], words.collect::<Vec<_>>().join(" ")))
    };
    lines.into_iter().filter_map(keep).collect()
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

    const BACKEND: [&str; 9] = [
        "PIPELINING",
        "PRDR",
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

    #[test]
    fn who_is_believed_in_words_hides_what_would_make_them_unreadable() {
        let lines = ["SIZE 1", "AUTH gssapi PLAIN DIGEST-MD5", "AUTH=GSSAPI", "AUTHORIZED GSSAPI"];
        let lines = lines.map(str::to_owned).into();
        assert_eq!(without_layers(lines), ["SIZE 1", "AUTH PLAIN", "AUTHORIZED GSSAPI"]);
        assert!(is_layered(b"gssapi YII=") && !is_layered(b"PLAIN GSSAPI"));
    }
}
