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
        Some(at) => {
            (&text[..at], &text[at + text[at..].iter().take_while(|b| **b == b' ').count()..])
        }
        None => (text, &[]),
    }
}

/// Whether a client speaks no mail protocol at all: TLS (RFC 8446 §5.1) on a port that begins in
/// clear, which may have no line end to wait for, or a browser's request (RFC 9112 §3), which was
/// perhaps sent for the commands in its body.
pub(crate) fn is_foreign(input: &[u8]) -> bool {
    const HANDSHAKE: u8 = 22;
    let is_http = |l: Line<'_>| [b" HTTP/1.1", b" HTTP/1.0"].iter().any(|v| l.text.ends_with(*v));
    input.first() == Some(&HANDSHAKE) || line(input).is_some_and(is_http)
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
    // A date has a clock time in it; Sendmail and Exchange put theirs behind a semicolon.
    let is_time = |word: &str| {
        word.len() >= 5
            && word.contains(':')
            && word.bytes().all(|b| b.is_ascii_digit() || b == b':')
    };
    if text.split_whitespace().any(is_time)
        && let Some(cut) = text.find(';').or_else(|| text.find(" at "))
    {
        text.truncate(cut);
    }
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if let Some(time) = words.iter().position(|word| is_time(word)) {
        // Exim has nothing before its date: `Sat, 21 Nov 2026` goes with the time.
        let before = words[..time].iter().rev().take_while(|word| is_of_a_date(word)).count();
        words.truncate(time - before);
    }
    words.join(" ")
}

/// `Sat,`, `21`, `Nov`, `2026`.
fn is_of_a_date(word: &str) -> bool {
    const NAMES: [&str; 19] = [
        "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun",
        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let word = word.trim_end_matches(',');
    NAMES.contains(&word) || (word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit()))
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
    fn t22_tls_and_http_are_no_mail() {
        for foreign in ["\x16\x03\x01", "GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\na NOOP\r\n"] {
            assert!(is_foreign(foreign.as_bytes()), "{foreign:?}");
        }
        for mail in ["a NOOP\r\n", "GET / HTTP/1.1", "a LOGIN x HTTP/1.1x\r\n", ""] {
            assert!(!is_foreign(mail.as_bytes()), "{mail:?}");
        }
    }

    #[test]
    fn what_changes_is_taken_out_of_a_banner() {
        assert_eq!(timeless("Dovecot ready. <1f7a.1.5e@host>"), "Dovecot ready.");
        assert_eq!(
            timeless("mail.example.org ESMTP Sendmail 8.17; Sat, 21 Nov 2026 04:45:00 GMT"),
            "mail.example.org ESMTP Sendmail 8.17"
        );
        assert_eq!(
            timeless("mail.example.org ESMTP Exim 4.96 Sat, 21 Nov 2026 04:45:00 +0000"),
            "mail.example.org ESMTP Exim 4.96"
        );
        assert_eq!(timeless("Dovecot (Debian) ready."), "Dovecot (Debian) ready.");
    }
}
