//! Lines: what every mail protocol frames its commands with.

use memchr::memchr;

/// A line, and where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// Without its end.
    pub text: &'a [u8],
    /// With its end, in octets.
    pub taken: usize,
    /// Whether it ended in CRLF, and has no other CR or NUL: every server will see the same line.
    pub strict: bool,
}

/// The first line of `input`, if all of it is there. A bare LF ends a line, as all servers take it.
pub(crate) fn line(input: &[u8]) -> Option<Line<'_>> {
    let end = memchr(b'\n', input)?;
    let (text, crlf) = match input[..end].strip_suffix(b"\r") {
        Some(text) => (text, true),
        None => (&input[..end], false),
    };
    let strict = crlf && memchr::memchr2(b'\r', 0, text).is_none();
    Some(Line { text, taken: end + 1, strict })
}

/// Splits at the first space: the word before, and what follows without leading spaces.
pub(crate) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b' ', text) {
        Some(at) => (&text[..at], text[at..].trim_ascii_start()),
        None => (text, &[]),
    }
}

/// Text of a peer, made fit for a line of our own: no control characters, no invalid UTF-8.
pub(crate) fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect()
}

/// The banner without dates and the like: what is in it must be true for the next client, too.
///
/// RFC 1939 §7 wants an APOP timestamp to be different each time, so `<…>` cannot be repeated.
pub(crate) fn timeless(banner: &str) -> String {
    let mut text = banner.to_owned();
    while let (Some(from), Some(to)) = (text.find('<'), text.find('>')) {
        if from > to {
            break;
        }
        text.replace_range(from..=to, "");
    }
    // A date ends in a clock time; Sendmail and Exchange put theirs behind a semicolon.
    let is_time = |word: &str| {
        word.len() >= 5
            && word.contains(':')
            && word.bytes().all(|b| b.is_ascii_digit() || b == b':')
    };
    if text.split_whitespace().any(is_time) {
        let cut = text.find(';').or_else(|| text.find(" at ")).unwrap_or(0);
        text.truncate(cut);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_its_first_lf() {
        assert_eq!(line(b"NOOP\r\nQUIT"), Some(Line { text: b"NOOP", taken: 6, strict: true }));
        assert_eq!(line(b"NOOP\n"), Some(Line { text: b"NOOP", taken: 5, strict: false }));
        assert_eq!(line(b"NO\rOP\r\n").map(|l| l.strict), Some(false));
        assert_eq!(line(b"NO\0OP\r\n").map(|l| l.strict), Some(false));
        assert_eq!(line(b"NOOP\r"), None);
    }

    #[test]
    fn what_changes_is_taken_out_of_a_banner() {
        assert_eq!(timeless("Dovecot ready. <1f7a.1.5e@host>"), "Dovecot ready.");
        assert_eq!(
            timeless("mail.example.org ESMTP Sendmail 8.17; Sat, 21 Nov 2026 04:45:00 GMT"),
            "mail.example.org ESMTP Sendmail 8.17"
        );
        assert_eq!(timeless("Dovecot (Debian) ready."), "Dovecot (Debian) ready.");
    }
}
