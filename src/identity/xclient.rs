//! The attributes of XCLIENT: Postfix' `XCLIENT_README`, and what Dovecot has made of it.
//!
//! Never HELO, PROTO or LOGIN: what the client says of itself comes from the client.

use std::{fmt::Write as _, net::IpAddr};

use super::Facts;

/// RFC 5321 §4.5.3.1.4: the longest command, with its CRLF.
const LONGEST_COMMAND: usize = 512;

/// How many more proxies a session may go through, as Dovecot counts them: a loop ends.
const TTL: u8 = 4;

/// What is left of it for a client that has passed other fronts.
pub(super) fn ttl(facts: &Facts) -> u8 {
    TTL.saturating_sub(facts.hops).max(1)
}

/// What an MTA says of an address that has no name for now. Of one that never has a name
/// (`[UNAVAILABLE]`) some take no mail; and without the attribute the front's own name stays.
const NO_NAME: &str = "[TEMPUNAVAIL]";

/// For POP3 and ManageSieve: what Dovecot reads there, in one command without its line end. An
/// attribute that an old one does not know it skips.
#[must_use]
pub fn command(facts: &Facts) -> String {
    let mut text = String::from("XCLIENT");
    let Facts { peer, id, tls, .. } = facts;
    let transport = if tls.is_some() { "TLS" } else { "insecure" };
    let address = peer.ip().to_canonical();
    // Writing to a String does not fail.
    let _ = write!(text, " ADDR={address} PORT={} SESSION={id} TTL={}", peer.port(), ttl(facts));
    let _ = write!(text, " CLIENT-TRANSPORT={transport}");
    // Behind `DESTNAME=` stands text, not a string of the protocol.
    if let Some(name) = destination(facts) {
        let _ = write!(text, " DESTNAME={name}");
    }
    text
}

/// For SMTP: with the attributes that the server's EHLO lists, in as many commands as they need.
/// ADDR comes last, because who has told it is no longer the front. `None`: a server that does not
/// want to hear the address.
#[must_use]
pub fn commands(listed: &str, facts: &Facts) -> Option<Vec<String>> {
    let is_listed =
        |name: &str| listed.split_ascii_whitespace().any(|l| l.eq_ignore_ascii_case(name));
    if !is_listed("ADDR") {
        return None;
    }
    let Facts { peer, local, name, id, tls, .. } = facts;
    let name = name.as_deref().unwrap_or(NO_NAME);
    let transport = if tls.is_some() { "TLS" } else { "insecure" };
    let mut commands = vec![String::from("XCLIENT")];
    for (attribute, value) in [
        ("NAME", name.to_owned()),
        ("REVERSE_NAME", name.to_owned()),
        ("SESSION", id.to_string()),
        ("TTL", ttl(facts).to_string()),
        ("CLIENT-TRANSPORT", transport.to_owned()),
        ("DESTNAME", destination(facts).unwrap_or_default().to_owned()),
        ("DESTADDR", address(local.ip())),
        ("DESTPORT", local.port().to_string()),
        ("PORT", peer.port().to_string()),
        ("ADDR", address(peer.ip())),
    ] {
        if value.is_empty() || !is_listed(attribute) {
            continue;
        }
        let word = format!(" {attribute}={}", xtext(&value));
        match commands.last_mut() {
            Some(last) if last.len() + word.len() + 2 <= LONGEST_COMMAND => last.push_str(&word),
            _ => commands.push(format!("XCLIENT{word}")),
        }
    }
    Some(commands)
}

/// As Postfix writes it. Dovecot's SMTP takes both forms.
fn address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("IPV6:{v6}"),
    }
}

/// The name that the client asked for, where it can stand in a command.
pub(super) fn destination(facts: &Facts) -> Option<&str> {
    let name = facts.tls.as_ref()?.sni.as_deref()?;
    let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    ((1..=255).contains(&name.len()) && name.bytes().all(fit)).then_some(name)
}

/// RFC 3461 §4: what is not plain stands as its number.
fn xtext(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'=' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "+{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{facts, tls};

    const POSTFIX: &str = "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT";
    const DOVECOT: &str = "ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT";

    #[test]
    fn only_what_is_listed_is_told_and_the_address_last() {
        let v4 = facts("192.0.2.1:4660", "198.51.100.2:25", None);
        assert_eq!(
            commands(POSTFIX, &v4).unwrap(),
            [
                "XCLIENT NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL] DESTADDR=198.51.100.2 DESTPORT=25 PORT=4660 ADDR=192.0.2.1"
            ]
        );
        assert_eq!(
            commands(DOVECOT, &v4).unwrap(),
            ["XCLIENT SESSION=0000000000000000000000ab TTL=4 PORT=4660 ADDR=192.0.2.1"]
        );
        assert_eq!(commands("addr", &v4).unwrap(), ["XCLIENT ADDR=192.0.2.1"]);
        assert_eq!(commands("NAME PORT ADDRESS", &v4), None);
        let all = format!("{DOVECOT} CLIENT-TRANSPORT DESTNAME");
        let secured = facts("192.0.2.1:1", "192.0.2.2:2", Some(tls(Some("a.example"), None)));
        let told = commands(&all, &secured).unwrap().concat();
        assert!(told.contains(" CLIENT-TRANSPORT=TLS DESTNAME=a.example PORT="), "{told}");
    }

    #[test]
    fn names_and_ipv6_as_postfix_writes_them() {
        let mut v6 = facts("[2001:db8::1]:1", "[::ffff:192.0.2.2]:25", None);
        v6.name = Some("mail.example.org".into());
        assert_eq!(
            commands(POSTFIX, &v6).unwrap(),
            [
                "XCLIENT NAME=mail.example.org REVERSE_NAME=mail.example.org DESTADDR=192.0.2.2 DESTPORT=25 PORT=1 ADDR=IPV6:2001:db8::1"
            ]
        );
    }

    #[test]
    fn no_command_is_longer_than_512_octets() {
        let mut long = facts("[2001:db8::1]:65535", "[2001:db8::2]:65535", None);
        long.name = Some(format!("{}+", "a".repeat(250)));
        let said = commands(POSTFIX, &long).unwrap();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said.iter().all(|c| c.len() + 2 <= 512), "{said:?}");
        assert!(said[0].starts_with("XCLIENT NAME=") && said[0].contains("+2B"), "{said:?}");
        assert!(said[1].ends_with(" ADDR=IPV6:2001:db8::1"), "{said:?}");
    }

    #[test]
    fn p12_m13_dovecots_own_way() {
        let v6 = facts("[2001:db8::1]:4660", "[2001:db8::2]:110", None);
        assert_eq!(
            command(&v6),
            "XCLIENT ADDR=2001:db8::1 PORT=4660 SESSION=0000000000000000000000ab TTL=4 CLIENT-TRANSPORT=insecure"
        );
        let named = facts("192.0.2.1:1", "192.0.2.2:2", Some(tls(Some("a.example"), None)));
        assert!(command(&named).ends_with(" CLIENT-TRANSPORT=TLS DESTNAME=a.example"));
        let odd = facts("192.0.2.1:1", "192.0.2.2:2", Some(tls(Some("a b\r\nQUIT"), None)));
        assert!(command(&odd).ends_with(" CLIENT-TRANSPORT=TLS"));
    }
}
