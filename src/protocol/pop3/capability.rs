//! The capability list (RFC 2449 §5), as a client may see it through us.

use crate::protocol::Offer;

/// One line of a backend's list as this client may see it; `None` where it may not.
pub(super) fn edit(capability: &str, offer: Offer) -> Option<String> {
    let mut words = capability.split_ascii_whitespace();
    match words.next()?.to_ascii_uppercase().as_str() {
        "STLS" | "XCLIENT" => None,
        "USER" if !offer.login => None,
        "SASL" => {
            // Channel binding (RFC 5802 §6) cannot survive a front that ends TLS.
            let mechanisms: Vec<&str> =
                words.filter(|m| !m.to_ascii_uppercase().ends_with("-PLUS")).collect();
            (offer.login && !mechanisms.is_empty())
                .then(|| format!("SASL {}", mechanisms.join(" ")))
        }
        _ => Some(capability.to_owned()),
    }
}

/// What we add to the list ourselves. RFC 2595 §4: STLS is listed where it is permitted.
pub(super) fn own(offer: Offer) -> Option<&'static str> {
    offer.starttls.then_some("STLS")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE_TLS: Offer = Offer { starttls: true, proceed: false, login: false };

    #[test]
    fn p7_no_login_is_shown_where_none_is_taken() {
        assert_eq!(edit("USER", BEFORE_TLS), None);
        assert_eq!(edit("SASL PLAIN LOGIN", BEFORE_TLS), None);
        assert_eq!(edit("UIDL", BEFORE_TLS).as_deref(), Some("UIDL"));
        assert_eq!(own(BEFORE_TLS), Some("STLS"));
    }

    #[test]
    fn p4_p12_t29_what_ends_at_the_front_is_not_shown() {
        assert_eq!(edit("STLS", Offer::TLS), None);
        assert_eq!(edit("xclient ADDR", Offer::TLS), None);
        assert_eq!(
            edit("SASL SCRAM-SHA-256-PLUS PLAIN", Offer::TLS).as_deref(),
            Some("SASL PLAIN")
        );
        assert_eq!(edit("SASL SCRAM-SHA-256-PLUS", Offer::TLS), None);
        assert_eq!(own(Offer::TLS), None);
    }
}
