//! The tokens that IMAP and ManageSieve share: atoms, numbers, quoted strings, literals.

use std::borrow::Cow;

/// The command is not as its grammar wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads one command from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a>(&'a [u8]);

impl<'a> Lexer<'a> {
    /// `frame` is a whole command with its line end.
    pub(super) fn new(frame: &'a [u8]) -> Self {
        Self(trim_line_end(frame))
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.0 = &self.0[usize::from(found)..];
        found
    }

    pub(super) fn need(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    pub(super) fn space(&mut self) -> Result<(), Malformed> {
        self.need(b' ')
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// The longest run of accepted bytes, perhaps none.
    pub(super) fn run(&mut self, accepts: impl Fn(u8) -> bool) -> &'a str {
        let length = self.0.iter().take_while(|b| b.is_ascii() && accepts(**b)).count();
        let (run, rest) = self.0.split_at(length);
        self.0 = rest;
        str::from_utf8(run).unwrap_or_default()
    }

    /// One or more atom characters (RFC 3501 §9 `ATOM-CHAR`; `]` and the wildcards included, which
    /// only widens what we take).
    pub(super) fn atom(&mut self) -> Result<&'a str, Malformed> {
        let atom = self.run(|b| b.is_ascii_graphic() && !b"(){\"\\".contains(&b));
        if atom.is_empty() { Err(Malformed) } else { Ok(atom) }
    }

    pub(super) fn number(&mut self) -> Result<u32, Malformed> {
        self.run(|b| b.is_ascii_digit()).parse().map_err(|_| Malformed)
    }

    /// A quoted string or a literal.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.peek() {
            Some(b'"') => self.quoted().map(Cow::Owned),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(Malformed),
        }
    }

    /// A string, or an atom in its place.
    pub(super) fn astring(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => self.atom().map(|atom| Cow::Borrowed(atom.as_bytes())),
        }
    }

    pub(super) fn literal(&mut self) -> Result<&'a [u8], Malformed> {
        self.need(b'{')?;
        let size = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        self.eat(b'+');
        self.need(b'}')?;
        self.eat(b'\r');
        self.need(b'\n')?;
        let (literal, rest) = self.0.split_at_checked(size).ok_or(Malformed)?;
        self.0 = rest;
        Ok(literal)
    }

    fn quoted(&mut self) -> Result<Vec<u8>, Malformed> {
        self.need(b'"')?;
        let mut text = Vec::new();
        loop {
            let (first, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            match first {
                b'"' => return Ok(text),
                b'\\' => {
                    let (escaped, rest) = rest.split_first().ok_or(Malformed)?;
                    self.0 = rest;
                    text.push(*escaped);
                }
                b'\r' | b'\n' | 0 => return Err(Malformed),
                byte => text.push(*byte),
            }
        }
    }
}

/// A line without its CRLF. A bare LF is forgiven, as people type into such servers by hand.
pub(super) fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Text in double quotes, for text that is known to hold no line end.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_in_three_spellings() {
        let mut lexer = Lexer::new(b"demo \"de\\\"mo\" {4}\r\nd\r\n) 7\r\n");
        assert_eq!(*lexer.astring().unwrap(), *b"demo");
        lexer.space().unwrap();
        assert_eq!(*lexer.astring().unwrap(), *b"de\"mo");
        lexer.space().unwrap();
        assert_eq!(*lexer.astring().unwrap(), *b"d\r\n)");
        lexer.space().unwrap();
        assert_eq!(lexer.number(), Ok(7));
        assert_eq!(lexer.end(), Ok(()));
        assert_eq!(Lexer::new(b"\"open\r\n").astring(), Err(Malformed));
        assert_eq!(Lexer::new(b"{5}\r\nfour\r\n").astring().as_deref(), Err(&Malformed));
    }
}
