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

/// The literal that this line announces, if it does. Whether one may stand there is for the server
/// to say, which is asked before any of its octets go on.
pub(super) fn literal(text: &[u8]) -> Option<Literal> {
    let inside = text.strip_suffix(b"}")?;
    let number = &inside[memchr::memrchr(b'{', inside)? + 1..];
    let (digits, waits) = match number {
        [digits @ .., b'+'] => (digits, false),
        digits => (digits, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // What does not fit is as good as endless.
    let octets = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).unwrap_or(u64::MAX);
    Some(Literal { octets, waits })
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
        assert_eq!(literal(b"a LOGIN {5}"), Some(Literal { octets: 5, waits: true }));
        assert_eq!(literal(b"a LOGIN {5+}"), Some(Literal { octets: 5, waits: false }));
        assert_eq!(literal(b"a APPEND x ~{7+}"), Some(Literal { octets: 7, waits: false }));
        assert_eq!(
            literal(b"a LOGIN {99999999999999999999+}"),
            Some(Literal { octets: u64::MAX, waits: false })
        );
        for none in ["a LOGIN {5} x", "a LOGIN {}", "a LOGIN {+}", "a LOGIN {-5}", "a LOGIN 5}"] {
            assert_eq!(literal(none.as_bytes()), None, "{none}");
        }
    }
}
