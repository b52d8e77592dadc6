//! The fields of IMAP's ID (RFC 2971) that a Dovecot believes from those whom it trusts
//! (`login_trusted_networks`).

use super::{
    Facts,
    xclient::{destination, ttl},
};

/// The arguments of the ID command. All values are numbers, addresses and checked names, so that
/// nothing in them needs escaping; an old Dovecot skips the fields that it does not know.
#[must_use]
pub fn arguments(facts: &Facts) -> String {
    let Facts { peer, local, id, tls, .. } = facts;
    let mut fields = vec![
        ("x-originating-ip", peer.ip().to_canonical().to_string()),
        ("x-originating-port", peer.port().to_string()),
        ("x-connected-ip", local.ip().to_canonical().to_string()),
        ("x-connected-port", local.port().to_string()),
        ("x-session-id", id.to_string()),
        ("x-proxy-ttl", ttl(facts).to_string()),
        ("x-client-transport", if tls.is_some() { "TLS" } else { "insecure" }.to_owned()),
    ];
    fields.extend(destination(facts).map(|name| ("x-connected-name", name.to_owned())));
    let words: Vec<String> =
        fields.iter().map(|(name, value)| format!("\"{name}\" \"{value}\"")).collect();
    format!("({})", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{facts, tls};

    #[test]
    fn what_is_known_to_the_octet() {
        let v6 = facts(
            "[2001:db8::1]:4660",
            "[::ffff:192.0.2.2]:993",
            Some(tls(Some("a.example"), None)),
        );
        assert_eq!(
            arguments(&v6),
            "(\"x-originating-ip\" \"2001:db8::1\" \"x-originating-port\" \"4660\" \
             \"x-connected-ip\" \"192.0.2.2\" \"x-connected-port\" \"993\" \
             \"x-session-id\" \"0000000000000000000000ab\" \"x-proxy-ttl\" \"4\" \
             \"x-client-transport\" \"TLS\" \"x-connected-name\" \"a.example\")"
        );
        let clear = arguments(&facts("192.0.2.1:1", "192.0.2.2:2", None));
        assert!(clear.ends_with("\"x-client-transport\" \"insecure\")"), "{clear}");
        let odd = facts("192.0.2.1:1", "192.0.2.2:2", Some(tls(Some("a\" \"x-b"), None)));
        assert!(!arguments(&odd).contains("x-connected-name"));
    }
}
