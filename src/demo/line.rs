//! Where one command ends: a line, or for IMAP and ManageSieve lines with literals between them.

/// Octets of text in one command, its literals not counted.
pub(super) const MAX_LINE: usize = 16 * 1024;
/// Octets in the literals of one command, once the user is known.
pub(super) const MAX_LITERAL: usize = 8 * 1024 * 1024;

/// How a protocol writes literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literals {
    /// None: a line is a command.
    None,
    /// `{n}` waits for our word, `{n+}` does not (RFC 3501 §4.3, RFC 7888).
    Prompted,
    /// Neither waits (RFC 5804 §4: clients send `{n+}` only).
    Sent,
}

/// What the bytes received so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Beyond the limits, and the rest is on its way: only closing helps.
    Overrun,
    /// Not yet a whole command.
    Partial,
    /// The client waits for our word to send the literal announced just before this offset.
    Prompt(usize),
    /// It asks for our word to send too much; up to here it may be forgotten.
    Refuse(usize),
    /// A command of this length.
    Whole(usize),
}

/// Looks for one whole command at the start of `input`. `prompted` is the last offset that was
/// answered for this command, `limit` what its literals may hold.
pub(super) fn frame(input: &[u8], kind: Literals, limit: usize, prompted: usize) -> Frame {
    let (mut start, mut text, mut literals) = (0, 0, 0_usize);
    loop {
        let rest = input.get(start..).unwrap_or_default();
        let Some(feed) = memchr::memchr(b'\n', rest) else {
            return if text + rest.len() > MAX_LINE { Frame::Overrun } else { Frame::Partial };
        };
        text += feed + 1;
        if text > MAX_LINE {
            return Frame::Overrun;
        }
        let end = start + feed + 1;
        let Some((size, waits)) = announced(&rest[..feed], kind) else { return Frame::Whole(end) };
        literals = literals.saturating_add(size);
        if literals > limit {
            return if waits { Frame::Refuse(end) } else { Frame::Overrun };
        }
        if waits && end > prompted {
            return Frame::Prompt(end);
        }
        start = end + size;
        if start > input.len() {
            return Frame::Partial;
        }
    }
}

/// The literal that a line announces at its end: its size, and whether the client waits.
fn announced(line: &[u8], kind: Literals) -> Option<(usize, bool)> {
    if kind == Literals::None {
        return None;
    }
    let inner = line.strip_suffix(b"\r").unwrap_or(line).strip_suffix(b"}")?;
    let inner = &inner[memchr::memrchr(b'{', inner)? + 1..];
    let (digits, plus) = match inner.strip_suffix(b"+") {
        Some(digits) => (digits, true),
        None => (inner, false),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number too large to hold is too large to take.
    let size = str::from_utf8(digits).ok()?.parse::<u32>().unwrap_or(u32::MAX);
    Some((usize::try_from(size).unwrap_or(usize::MAX), !plus && kind == Literals::Prompted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_where_its_last_line_ends() {
        let look = |input: &[u8], prompted| frame(input, Literals::Prompted, 100, prompted);
        assert_eq!(look(b"a NOOP", 0), Frame::Partial);
        assert_eq!(look(b"a NOOP\r\nb", 0), Frame::Whole(8));
        assert_eq!(look(b"a LOGIN {4}\r\n", 0), Frame::Prompt(13));
        assert_eq!(look(b"a LOGIN {4}\r\ndemo x", 13), Frame::Partial);
        assert_eq!(look(b"a LOGIN {4}\r\nd\r\nm x\r\n", 13), Frame::Whole(21));
        assert_eq!(look(b"a LOGIN {0}\r\n", 0), Frame::Prompt(13));
        assert_eq!(look(b"a LOGIN {4+}\r\ndemo {2}\r\n", 0), Frame::Prompt(24));
        assert_eq!(look(b"a LOGIN {101}\r\n", 0), Frame::Refuse(15));
        assert_eq!(look(b"a LOGIN {99999999999+}\r\n", 0), Frame::Overrun);
        assert_eq!(frame(b"PUT {3}\r\na\nb\r\n", Literals::Sent, 9, 0), Frame::Whole(14));
        assert_eq!(frame(b"PASS {3}\r\n", Literals::None, 0, 0), Frame::Whole(10));
        assert_eq!(look(&[b'x'; MAX_LINE + 1], 0), Frame::Overrun);
    }
}
