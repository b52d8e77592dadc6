//! The capability list (RFC 9051 §7.2.2), as a client may see it through us.

use crate::protocol::{Offer, line::printable};

/// A backend's list as this client may see it, with what we add.
pub(super) fn edit<'a>(capabilities: impl Iterator<Item = &'a str>, offer: Offer) -> Vec<&'a str> {
    let kept = capabilities.filter(|c| is_for_clients(c) && (offer.login || !is_login(c)));
    // RFC 9051 §6.2.1 and §6.2.3; RFC 2595 §3.2.
    let starttls = offer.starttls.then_some("STARTTLS");
    let logindisabled = (!offer.login).then_some("LOGINDISABLED");
    kept.chain(starttls).chain(logindisabled).collect()
}

/// What ends at the front is not a client's business: TLS is ours to begin, channel binding
/// (RFC 5802 §6) cannot survive us, and after UNAUTHENTICATE (RFC 8437) nobody would read along.
fn is_for_clients(capability: &str) -> bool {
    let capability = capability.to_ascii_uppercase();
    match capability.as_str() {
        "LOGINDISABLED" | "STARTTLS" | "UNAUTHENTICATE" | "XCLIENT" | "XFORWARD" => false,
        other => !(other.starts_with("AUTH=") && other.ends_with("-PLUS")),
    }
}

fn is_login(capability: &str) -> bool {
    capability.to_ascii_uppercase().starts_with("AUTH=")
}

/// Where a line has a capability list: as data, or as the code of a status response.
struct Place<'a> {
    before: &'a str,
    list: &'a str,
    after: &'a str,
}

fn find(line: &str) -> Option<Place<'_>> {
    const DATA: &str = "* CAPABILITY ";
    const CODE: &str = "[CAPABILITY ";
    if let Some((start, list)) = line.split_at_checked(DATA.len())
        && start.eq_ignore_ascii_case(DATA)
    {
        return Some(Place { before: start, list, after: "" });
    }
    // A code stands right behind the tag and the condition: RFC 9051 §7.1.
    let second = line.match_indices(' ').nth(1)?.0 + 1;
    let (start, rest) = line[second..].split_at_checked(CODE.len())?;
    let end = rest.find(']')?;
    start.eq_ignore_ascii_case(CODE).then(|| Place {
        before: &line[..second + CODE.len()],
        list: &rest[..end],
        after: &rest[end..],
    })
}

/// The capabilities in this response, if it has any.
pub(super) fn listed(line: &[u8]) -> Option<Vec<String>> {
    let line = printable(line);
    Some(find(&line)?.list.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The line (without its end) with its capability list edited; `None` if nothing needs to change.
pub(super) fn edit_line(line: &[u8], offer: Offer) -> Option<String> {
    let line = printable(line);
    let place = find(&line)?;
    let edited = edit(place.list.split_ascii_whitespace(), offer).join(" ");
    (edited != place.list).then(|| format!("{}{edited}{}", place.before, place.after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE_TLS: Offer = Offer { starttls: true, proceed: false, login: false };

    #[test]
    fn i8_before_tls_login_is_disabled_and_mechanisms_are_hidden() {
        assert_eq!(
            edit_line(b"* CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN", BEFORE_TLS).as_deref(),
            Some("* CAPABILITY IMAP4rev1 SASL-IR ID STARTTLS LOGINDISABLED")
        );
    }

    #[test]
    fn i7_t29_inside_tls_neither_starttls_nor_channel_binding() {
        for (line, edited) in [
            (
                "* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hi",
                "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi",
            ),
            ("* capability IMAP4rev1 LOGINDISABLED", "* capability IMAP4rev1"),
            (
                "a1 OK [capability IMAP4rev1 UNAUTHENTICATE IDLE] in",
                "a1 OK [capability IMAP4rev1 IDLE] in",
            ),
            (
                "* CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-1-PLUS AUTH=PLAIN",
                "* CAPABILITY IMAP4rev1 AUTH=PLAIN",
            ),
        ] {
            assert_eq!(edit_line(line.as_bytes(), Offer::TLS).as_deref(), Some(edited));
        }
    }

    #[test]
    fn what_needs_no_edit_is_left_alone() {
        for line in [
            "* CAPABILITY IMAP4rev1 AUTH=PLAIN",
            "* OK hi [CAPABILITY STARTTLS]",
            "* ID (\"x\" \"[CAPABILITY STARTTLS]\")",
            "a OK",
        ] {
            assert_eq!(edit_line(line.as_bytes(), Offer::TLS), None, "{line}");
        }
    }
}
