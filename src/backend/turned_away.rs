//! A backend may well refuse the client that a look at it speaks of: who comes from 192.0.2.1 (RFC 5737)
//! has no name in DNS, and is in nobody's list. That is no proof that it refuses others.
//!
//! So the front asks once more in its own name, to learn what it is that clients can have. If that is
//! refused as well, nothing new is learned; but the backend is there, it speaks its protocol, and what
//! it says to clients is passed on to them in its own words. In both cases it counts as up, and the
//! operator is warned.

use super::diagnose::{Diagnosis, Kind, Seen, Trouble, protest};
use crate::{
    certs::Severity,
    identity::Identity,
    protocol::{Learned, Protocol},
};

/// Whom a look speaks of, as the reply may name it.
const STRANGER: &str = "192.0.2.1";

/// What the backend said, if it refused the client that it was told of and nothing else. Of other
/// protocols than SMTP, nobody can tell.
pub(super) fn words(seen: &Seen) -> Option<String> {
    let is_smtp = matches!(seen.protocol, Protocol::Smtp | Protocol::Submission);
    let is_told = seen.identity.is_announced() || seen.identity.is_spoken();
    let said = seen.said();
    if !is_smtp || !is_told || protest(seen.identity)(said) {
        return None;
    }
    let Err(Trouble::Ill(_)) = seen.end else { return None };
    let text = String::from_utf8_lossy(said);
    let last = text.lines().rfind(|line| !line.trim().is_empty())?.trim_end();
    is_about_client(last, seen.identity).then(|| last.to_owned())
}

/// RFC 3463 §3.8: x.7.y is a matter of policy. RFC 5321 §3.8: 421 is about the server.
fn is_about_client(line: &str, identity: Identity) -> bool {
    let Some((code, text)) = line.split_at_checked(3) else { return false };
    let is_refusal = matches!(code.as_bytes(), [b'4' | b'5', b'0'..=b'9', b'0'..=b'9']);
    if !is_refusal || code == "421" {
        return false;
    }
    // Who is not allowed to say XCLIENT at all is the front.
    let is_policy = identity != Identity::Xclient
        && text.get(1..).is_some_and(|text| text.starts_with("4.7.") || text.starts_with("5.7."));
    is_policy || text.contains(STRANGER)
}

/// What is to be said about it.
pub(super) fn diagnose(seen: &Seen) -> Option<Diagnosis> {
    let (said, learned) = match (&seen.turned_away, &seen.end) {
        (Some(said), _) => (said, "what it can do was learned in the front's own name"),
        (None, Err(Trouble::TurnedAway(said))) => (
            said,
            "what it can do could not be learned, not even in the front's own name, so that before TLS clients are told nothing of it but what is known from earlier",
        ),
        _ => return None,
    };
    let text = format!(
        "it refuses a client from {STRANGER}, an address of documentation in whose name it is probed ({said:?}). Others may be served, so it counts as up, and they hear its own words; {learned}. Let that address in (Postfix: before smtpd_client_restrictions refuses it), or let it be refused only at RCPT (smtpd_delay_reject = yes)"
    );
    Some(Diagnosis { severity: Severity::Warning, kind: Kind::TurnsAway, text })
}

/// What clients are greeted with in clear before anything was learned: a name, and no capability. Inside
/// TLS they ask again (RFC 3207 §4.2), and hear the backend itself.
pub(super) fn nothing_learned(host: &str) -> Learned {
    Learned { banner: format!("{host} ESMTP"), capabilities: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(said: &str, protocol: Protocol, identity: Identity) -> Option<String> {
        let (in_clear, end) = (said.into(), Err(Trouble::Ill("it refuses".into())));
        words(&Seen { in_clear, end, ..Seen::none(protocol, identity) })
    }

    #[test]
    fn a_refusal_is_about_the_client_if_it_says_so() {
        let smtp = |text: &str| said(text, Protocol::Smtp, Identity::ProxyV2);
        let rejected = "450 4.7.1 <unknown[192.0.2.1]>: Client host rejected: Try again";
        assert_eq!(smtp(&format!("{rejected}\r\n")).as_deref(), Some(rejected));
        assert!(smtp("220 mx\r\n550-5.7.1 a\r\n550 5.7.1 No mail from you\r\n").is_some());
        assert!(smtp("554 You ([192.0.2.1]) are listed\r\n").is_some());
        for other in [
            "421 4.7.0 Too many of you, 192.0.2.1\r\n",
            "554 No SMTP service here\r\n",
            "451 4.3.0 No space\r\n",
            "220 mx\r\n250 4.7.1 192.0.2.1\r\n",
            "* BYE 192.0.2.1\r\n",
            "521 5.7.1 Protocol error\r\n",
            "",
        ] {
            assert_eq!(smtp(other), None, "{other}");
        }
        assert_eq!(said(rejected, Protocol::Smtp, Identity::None), None, "it was told of nobody");
        let xclient = |text| said(text, Protocol::Submission, Identity::Xclient);
        assert!(xclient(rejected).is_some());
        assert_eq!(xclient("550 5.7.0 Error: insufficient authorization\r\n"), None);
    }
}
