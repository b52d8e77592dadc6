//! Frames and tokens (RFC 5804 §4), the same both ways: a frame is a line, with the literals that
//! it announces and the lines behind them.

use std::borrow::Cow;

use crate::protocol::line::line;

/// What stands at the front of some input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// More has to be read.
    Incomplete,
    /// So many octets, and what they say.
    Whole { taken: usize, tokens: Vec<Token<'a>> },
    /// So many octets that are no tokens. No literal is in them.
    Malformed { taken: usize },
    /// A literal is announced where none can be: where the frame ends cannot be told.
    Ambiguous,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A bare word, number or parenthesis.
    Word(&'a [u8]),
    /// A quoted string, unescaped.
    Quoted(Cow<'a, [u8]>),
    /// A literal. `waits`: it had no `+`, as a server's.
    Literal { text: &'a [u8], waits: bool },
}

impl Token<'_> {
    /// A string's content; `None` for a word.
    pub(super) fn string(&self) -> Option<&[u8]> {
        match self {
            Self::Word(_) => None,
            Self::Quoted(text) => Some(text),
            Self::Literal { text, .. } => Some(text),
        }
    }

    /// A word in upper case; `None` for a string.
    pub(super) fn word(&self) -> Option<Vec<u8>> {
        match self {
            Self::Word(word) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }
}

/// The frame at the front of `input`.
pub(super) fn frame(input: &[u8]) -> Frame<'_> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line(&input[at..]) else { return Frame::Incomplete };
        let end = at + line.taken;
        match announced(line.text) {
            None => {
                let whole = line.strict && tokenize(line.text, &mut tokens).is_some();
                return if whole {
                    Frame::Whole { taken: end, tokens }
                } else {
                    broken(end, &tokens)
                };
            }
            Some((before, octets, waits)) => {
                // Behind a word or a string, one server would see a literal, and the next a broken
                // command that ends with the line.
                let stands_alone = before.is_empty() || before.ends_with(b" ");
                if !line.strict || !stands_alone || tokenize(before, &mut tokens).is_none() {
                    return Frame::Ambiguous;
                }
                let Some(text) =
                    usize::try_from(octets).ok().and_then(|n| input.get(end..end.checked_add(n)?))
                else {
                    return Frame::Incomplete;
                };
                tokens.push(Token::Literal { text, waits });
                at = end + text.len();
            }
        }
    }
}

fn broken<'a>(taken: usize, tokens: &[Token<'_>]) -> Frame<'a> {
    let has_literal = tokens.iter().any(|t| matches!(t, Token::Literal { .. }));
    if has_literal { Frame::Ambiguous } else { Frame::Malformed { taken } }
}

/// The literal at the end of a line: what stands before it, its length, whether it has no `+`.
fn announced(text: &[u8]) -> Option<(&[u8], u64, bool)> {
    let inside = text.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inside)?;
    let (digits, waits) = match &inside[open + 1..] {
        [digits @ .., b'+'] => (digits, false),
        digits => (digits, true),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let octets = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).unwrap_or(u64::MAX);
    Some((&text[..open], octets, waits))
}

fn tokenize<'a>(mut text: &'a [u8], tokens: &mut Vec<Token<'a>>) -> Option<()> {
    loop {
        text = &text[text.iter().take_while(|b| **b == b' ').count()..];
        match text.first() {
            None => return Some(()),
            Some(b'"') => {
                let (string, rest) = quoted(&text[1..])?;
                tokens.push(Token::Quoted(string));
                text = rest;
            }
            Some(b'(' | b')') => {
                tokens.push(Token::Word(&text[..1]));
                text = &text[1..];
            }
            Some(_) => {
                let end = text
                    .iter()
                    .position(|b| matches!(b, b' ' | b'(' | b')' | b'"'))
                    .unwrap_or(text.len());
                let (word, rest) = text.split_at(end);
                // A tab is no space here, but may be one to a backend.
                if !word.iter().all(u8::is_ascii_graphic) {
                    return None;
                }
                tokens.push(Token::Word(word));
                text = rest;
            }
        }
    }
}

fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut string = Vec::new();
    let mut bytes = text.iter().enumerate();
    loop {
        match bytes.next()? {
            (at, b'"') if string.len() == at => {
                return Some((Cow::Borrowed(&text[..at]), &text[at + 1..]));
            }
            (at, b'"') => return Some((Cow::Owned(string), &text[at + 1..])),
            (_, b'\\') => string.push(*bytes.next()?.1),
            (_, &byte) => string.push(byte),
        }
    }
}

/// A string in the form that every reader takes: quoted, or a literal where it cannot be.
pub(super) fn push_string(text: &[u8], out: &mut Vec<u8>) {
    if text.len() > 1024 || text.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        out.extend_from_slice(text);
        return;
    }
    push_quoted(text, out);
}

/// A quoted string.
pub(super) fn push_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m8_strings_are_data() {
        let input = b"AUTHENTICATE \"PL\\\"AIN\" {10+}\r\nSTARTTLS\r\n x\r\nNOOP\r\n";
        let tokens = vec![
            Token::Word(b"AUTHENTICATE"),
            Token::Quoted(Cow::Owned(b"PL\"AIN".to_vec())),
            Token::Literal { text: b"STARTTLS\r\n", waits: false },
            Token::Word(b"x"),
        ];
        assert_eq!(frame(input), Frame::Whole { taken: input.len() - 6, tokens });
    }

    #[test]
    fn a_frame_is_whole_or_it_is_not() {
        assert_eq!(frame(b"NOOP {3+}\r\nab"), Frame::Incomplete);
        assert_eq!(frame(b"NOOP {3+}\r\nabc"), Frame::Incomplete);
        assert_eq!(frame(b"NOOP {99999999999999999999+}\r\n"), Frame::Incomplete);
        assert_eq!(frame(b"NOOP \"abc\r\n"), Frame::Malformed { taken: 11 });
        assert_eq!(frame(b"NOOP \"abc {3+}\r\n"), Frame::Ambiguous);
        assert_eq!(frame(b"NOOP {0+}\r\n\"x\r\n"), Frame::Ambiguous);
        assert_eq!(frame(b"NOOP\n"), Frame::Malformed { taken: 5 });
        assert_eq!(frame(b"XCLIENT\tA\r\n"), Frame::Malformed { taken: 11 });
        assert_eq!(frame(b"NOOP{0+}\r\n\r\n"), Frame::Ambiguous);
        assert_eq!(frame(b"NOOP \"\"{0+}\r\n\r\n"), Frame::Ambiguous);
    }
}
