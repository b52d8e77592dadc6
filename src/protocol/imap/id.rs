//! The ID command (RFC 2971): a backend that trusts us believes `x-` fields, so no client's may
//! reach it. The whole list is parsed, literals too, and what is left is written anew.

use super::command::literal;
use crate::protocol::line::line;

/// What has been found out about an ID command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// More has to be read.
    Incomplete,
    /// It is all there, and is no ID command.
    Malformed { taken: usize },
    /// It is all there. These arguments go on in place of the client's.
    Whole { taken: usize, arguments: Vec<u8> },
}

/// Frames an ID command at the front of `input`; its arguments begin at `start`. Says, too, how many
/// of its literals want to be asked for.
pub(super) fn frame(input: &[u8], start: usize) -> (usize, Frame) {
    let mut waiting = 0;
    let frame = read(input, start, &mut waiting);
    (waiting, frame)
}

fn read(input: &[u8], start: usize, waiting: &mut usize) -> Frame {
    let (mut end, mut strict) = (0, true);
    loop {
        let Some(line) = line(&input[end..]) else { return Frame::Incomplete };
        strict &= line.strict;
        end += line.taken;
        let Some(announced) = literal(line.text) else { break };
        *waiting += usize::from(announced.waits);
        let octets = usize::try_from(announced.octets).unwrap_or(usize::MAX);
        match end.checked_add(octets) {
            Some(after) if after <= input.len() => end = after,
            _ => return Frame::Incomplete,
        }
    }
    let arguments = input.get(start..end).unwrap_or_default();
    match parse(arguments) {
        Some(fields) if strict => Frame::Whole { taken: end, arguments: edit(&fields) },
        _ => Frame::Malformed { taken: end },
    }
}

/// A field's name and its value; `None` is NIL.
type Field = (Vec<u8>, Option<Vec<u8>>);

fn edit(fields: &[Field]) -> Vec<u8> {
    let kept = fields.iter().filter(|(name, _)| !name.to_ascii_lowercase().starts_with(b"x-"));
    let words: Vec<Vec<u8>> = kept
        .filter_map(|(name, value)| {
            let value = value.as_deref().map_or(Some(b"NIL".to_vec()), quoted)?;
            Some([quoted(name)?, value].join(&b' '))
        })
        .collect();
    if words.is_empty() {
        return b"NIL".to_vec();
    }
    [b"(", words.join(&b' ').as_slice(), b")"].concat()
}

/// As a quoted string, where that is possible: RFC 9051 §9, `QUOTED-CHAR`.
fn quoted(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return None;
    }
    let mut out = vec![b'"'];
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    Some(out)
}

/// `NIL` or a list of strings, up to the end of the command.
fn parse(arguments: &[u8]) -> Option<Vec<Field>> {
    let mut rest = Rest(arguments.strip_suffix(b"\r\n")?);
    rest.spaces();
    let mut fields = Vec::new();
    if rest.nil() {
        return rest.is_end().then_some(fields);
    }
    rest.eat(b'(')?;
    loop {
        rest.spaces();
        if rest.eat(b')').is_some() {
            return rest.is_end().then_some(fields);
        }
        let name = rest.string()?;
        rest.eat(b' ')?;
        rest.spaces();
        let value = if rest.nil() { None } else { Some(rest.string()?) };
        fields.push((name, value));
    }
}

struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn is_end(&self) -> bool {
        self.0.iter().all(|b| *b == b' ')
    }

    fn spaces(&mut self) {
        self.0 = &self.0[self.0.iter().take_while(|b| **b == b' ').count()..];
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn nil(&mut self) -> bool {
        match self.0.split_at_checked(3) {
            Some((word, rest)) if word.eq_ignore_ascii_case(b"NIL") => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        if self.0.starts_with(b"{") {
            return self.literal();
        }
        self.eat(b'"')?;
        let mut text = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(text),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    text.push(escaped);
                }
                b'\r' | b'\n' => return None,
                _ => text.push(byte),
            }
        }
    }

    fn literal(&mut self) -> Option<Vec<u8>> {
        let line = line(self.0)?;
        let octets = usize::try_from(literal(line.text)?.octets).ok()?;
        // What stands between `{` and the line's end is the literal's head and nothing else.
        if memchr::memrchr(b'{', line.text) != Some(0) {
            return None;
        }
        let (text, rest) = self.0[line.taken..].split_at_checked(octets)?;
        self.0 = rest;
        Some(text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Option<String> {
        let Frame::Whole { taken, arguments } = frame(text.as_bytes(), 5).1 else { return None };
        assert_eq!(taken, text.len());
        Some(String::from_utf8(arguments).unwrap())
    }

    #[test]
    fn i13_no_x_field_of_a_client_survives() {
        for (command, expected) in [
            (
                "a ID (\"name\" \"mutt\" \"X-Originating-IP\" \"192.0.2.1\")\r\n",
                "(\"name\" \"mutt\")",
            ),
            ("a ID (\"x-proxy-ttl\" \"1\")\r\n", "NIL"),
            ("a ID ({16+}\r\nx-originating-ip {9+}\r\n192.0.2.1 \"os\" NIL)\r\n", "(\"os\" NIL)"),
            ("a ID (\"n\" {4}\r\na\\\"b)\r\n", "(\"n\" \"a\\\\\\\"b\")"),
            ("a ID (\"\\x-forward-a\" \"1\" \"n\" \"v\")\r\n", "(\"n\" \"v\")"),
            ("a ID (\"name\" \"mutt\")\r\n", "(\"name\" \"mutt\")"),
            ("a ID NIL\r\n", "NIL"),
            ("a ID nil\r\n", "NIL"),
        ] {
            assert_eq!(arguments(command).as_deref(), Some(expected), "{command}");
        }
    }

    #[test]
    fn what_is_no_list_of_strings_goes_no_further() {
        for command in [
            "a ID (\"name\")\r\n",
            "a ID (name mutt)\r\n",
            "a ID (\"a\" \"b\") x\r\n",
            "a ID\r\n",
            "a ID (\"a\" \"b\"\r\n",
            "a ID (\"a\" \"b\")\n",
        ] {
            assert!(
                matches!(frame(command.as_bytes(), 5).1, Frame::Malformed { taken } if taken == command.len()),
                "{command}"
            );
        }
    }

    #[test]
    fn literals_are_asked_for_one_by_one() {
        assert_eq!(frame(b"a ID ({4}\r\n", 5), (1, Frame::Incomplete));
        assert_eq!(frame(b"a ID ({4}\r\nname {1}\r\n", 5), (2, Frame::Incomplete));
        assert_eq!(frame(b"a ID ({4+}\r\nna", 5), (0, Frame::Incomplete));
    }
}
