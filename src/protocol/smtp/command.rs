//! Commands, as far as a front has to understand them.

use crate::protocol::line::word;

/// A command's verb in upper case, and its parameters.
pub(super) fn parse(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let (verb, parameters) = word(text);
    (verb.to_ascii_uppercase(), parameters.trim_ascii())
}

/// Whether every server will read the same command here. Postfix skips blanks of any kind before
/// a verb and takes any for the one behind it.
pub(super) fn is_plain(text: &[u8]) -> bool {
    let (verb, _) = word(text);
    !verb.is_empty()
        && verb.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && !text.iter().any(u8::is_ascii_control)
}

/// Whether this verb speaks in the name of somebody that the backend trusts, or turns the session
/// round (RFC 2645, RFC 821): no client's business.
pub(super) fn is_trust(verb: &[u8]) -> bool {
    matches!(verb, b"ATRN" | b"TURN" | b"XCLIENT" | b"XFORWARD") || is_private_exchange(verb)
}

/// Exchange's own dialect between its servers. X-EXPS is AUTH under another name.
fn is_private_exchange(verb: &[u8]) -> bool {
    verb.starts_with(b"X-EXPS")
        || verb.starts_with(b"XEXCH50")
        || verb.starts_with(b"XPROXY")
        || verb.starts_with(b"X-ANONYMOUSTLS")
}

/// The longest name that can be one: RFC 1035 §2.3.4.
const LONGEST_NAME: usize = 255;

/// The name that a client gives with EHLO or HELO, if it is fit to be repeated to a backend.
pub(super) fn name(parameters: &[u8]) -> Option<&[u8]> {
    let name = word(parameters).0;
    let fit =
        !name.is_empty() && name.len() <= LONGEST_NAME && name.iter().all(u8::is_ascii_graphic);
    fit.then_some(name)
}

/// The largest chunk. Exim counts in 32 bits (so that 4294967301 are 5), and others with a sign.
const LARGEST_CHUNK: u64 = i32::MAX as u64;

/// How many octets a BDAT command announces, and whether they are the last: RFC 3030 §2, to the
/// letter.
pub(super) fn chunk(parameters: &[u8]) -> Option<(u64, bool)> {
    let text = std::str::from_utf8(parameters).ok()?;
    let (number, last) = match text.split_once(' ') {
        Some((number, last)) if last.eq_ignore_ascii_case("LAST") => (number, true),
        Some(_) => return None,
        None => (text, false),
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    Some((number.parse().ok().filter(|octets| digits && *octets <= LARGEST_CHUNK)?, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s19_a_chunk_is_exact_or_none() {
        assert_eq!(chunk(b"0 LAST"), Some((0, true)));
        assert_eq!(chunk(b"1000 last"), Some((1000, true)));
        assert_eq!(chunk(b"86"), Some((86, false)));
        for wrong in [
            "",
            "LAST",
            "-1",
            "+1",
            "1 2",
            "1  LAST",
            "1 LAST x",
            "0x10",
            "2147483648",
            "99999999999999999999",
        ] {
            assert_eq!(chunk(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_can_be_repeated_or_it_is_none() {
        assert_eq!(name(b"mail.example.org"), Some(b"mail.example.org".as_slice()));
        assert_eq!(name(b"[IPv6:2001:db8::1] with more"), Some(b"[IPv6:2001:db8::1]".as_slice()));
        assert_eq!(name(b""), None);
        assert_eq!(name(b"a\x07b"), None);
        assert_eq!(name(&[b'a'; 256]), None);
    }
}
