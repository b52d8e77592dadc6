//! Commands, as far as a front has to understand them.

use crate::protocol::line::word;

/// A command line's beginning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command<'a> {
    pub tag: &'a [u8],
    /// In upper case.
    pub verb: Vec<u8>,
    pub arguments: &'a [u8],
}

impl<'a> Command<'a> {
    /// `None`: there is no legal tag, or nothing behind it.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (tag, rest) = word(text);
        let (verb, arguments) = word(rest);
        // A tab is no space here, but may be one to a backend.
        let is_legal =
            [tag, verb].iter().all(|w| !w.is_empty() && w.iter().all(|&b| is_tag_char(b)));
        is_legal.then(|| Self { tag, verb: verb.to_ascii_uppercase(), arguments })
    }
}

/// RFC 9051 §9: `tag = 1*<any ASTRING-CHAR except "+">`.
fn is_tag_char(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b'+')
}

/// A literal that a line announces at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    pub octets: u64,
    /// Whether the sender waits to be asked for it. RFC 7888 §4 has the `+` of those who do not.
    pub waits: bool,
}

/// A line ends in what looks like a literal, in the middle of a quoted string or an atom.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// The literal that this line announces, if it does.
pub(super) fn literal(text: &[u8]) -> Result<Option<Literal>, Ambiguous> {
    let Some(inside) = text.strip_suffix(b"}") else { return Ok(None) };
    let Some(open) = memchr::memrchr(b'{', inside) else { return Ok(None) };
    let number = &inside[open + 1..];
    let (digits, waits) = match number {
        [digits @ .., b'+'] => (digits, false),
        digits => (digits, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Ok(None);
    }
    if ends_in_quotes(&text[..open]) || !begins_argument(&text[..open]) {
        return Err(Ambiguous);
    }
    // What does not fit is as good as endless.
    let octets = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).unwrap_or(u64::MAX);
    Ok(Some(Literal { octets, waits }))
}

/// Whether a literal may stand here. Behind an atom, one server would see a literal, and the next
/// a broken command that ends with the line (Dovecot is of the second kind).
fn begins_argument(before: &[u8]) -> bool {
    let before = before.strip_suffix(b"~").unwrap_or(before);
    matches!(before.last(), Some(b' ' | b'(') | None)
}

/// How many astrings (RFC 9051 §9) these are; `None`: something else is among them.
pub(super) fn astrings(text: &[u8]) -> Option<usize> {
    let (mut rest, mut count) = (text, 0);
    while let Some(next) = rest.strip_prefix(b" ") {
        rest = match next.strip_prefix(b"\"") {
            None => &next[next.iter().take_while(|b| is_astring_char(**b)).count()..],
            Some(quoted) => &quoted[quoted_end(quoted)?..],
        };
        if rest.len() == next.len() {
            // The space before a literal.
            break;
        }
        count += 1;
    }
    (rest.is_empty()).then_some(count)
}

fn is_astring_char(byte: u8) -> bool {
    byte == b'+' || is_tag_char(byte)
}

/// Where a quoted string ends, behind its last quote.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn ends_in_quotes(text: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_any_legal_tag_and_any_case() {
        let parsed = Command::parse(b"a]b.1~ starttls").unwrap();
        assert_eq!(
            (parsed.tag, parsed.verb.as_slice(), parsed.arguments),
            (b"a]b.1~".as_slice(), b"STARTTLS".as_slice(), b"".as_slice())
        );
        for wrong in ["* NOOP", "+ NOOP", "a+ NOOP", "a", "", " NOOP", "a{ NOOP", "\u{e9} NOOP"] {
            assert_eq!(Command::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn literals_are_seen_at_the_end_of_a_line_only() {
        assert_eq!(literal(b"a LOGIN {5}"), Ok(Some(Literal { octets: 5, waits: true })));
        assert_eq!(literal(b"a LOGIN {5+}"), Ok(Some(Literal { octets: 5, waits: false })));
        assert_eq!(literal(b"a APPEND x ~{7+}"), Ok(Some(Literal { octets: 7, waits: false })));
        assert_eq!(
            literal(b"a LOGIN {99999999999999999999+}"),
            Ok(Some(Literal { octets: u64::MAX, waits: false }))
        );
        assert_eq!(literal(b"a LOGIN {5} x"), Ok(None));
        assert_eq!(literal(b"a LOGIN {}"), Ok(None));
        assert_eq!(literal(b"a LOGIN \"x\\\"{5+}"), Err(Ambiguous));
        assert_eq!(literal(b"a LOGIN \"x\" {5+}"), Ok(Some(Literal { octets: 5, waits: false })));
        assert_eq!(literal(b"a LOGIN x{5+}"), Err(Ambiguous));
        assert_eq!(literal(b"a LOGIN \"x\"{5+}"), Err(Ambiguous));
    }

    #[test]
    fn arguments_of_a_login_are_counted() {
        for (text, count) in [
            ("", Some(0)),
            (" ", Some(0)),
            (" alice", Some(1)),
            (" alice ", Some(1)),
            (" \"a \\\" b\" c]+", Some(2)),
            (" a  b", None),
            (" a b ", Some(2)),
            (" a%", None),
            (" \"a\"b", None),
            (" \"a", None),
            ("a", None),
        ] {
            assert_eq!(astrings(text.as_bytes()), count, "{text:?}");
        }
    }
}
