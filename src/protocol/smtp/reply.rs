//! Replies: RFC 5321 §4.2.

use memchr::memchr;

/// A whole reply at the front of some input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    /// Its code.
    pub code: u16,
    /// The text of its lines, without codes and line ends.
    pub lines: Vec<&'a [u8]>,
    /// How many octets it is.
    pub taken: usize,
}

/// What stands at the front of some input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Incomplete,
    Garbage,
    Whole(Reply<'a>),
}

/// Reads a reply, all of whose lines have one code: RFC 5321 §4.2.1.
pub(super) fn reply(input: &[u8]) -> Found<'_> {
    let (mut lines, mut taken, mut code) = (Vec::new(), 0, None);
    loop {
        let Some(end) = memchr(b'\n', &input[taken..]) else { return Found::Incomplete };
        let line =
            input[taken..taken + end].strip_suffix(b"\r").unwrap_or(&input[taken..taken + end]);
        let Some((this, is_last, text)) = split(line) else { return Found::Garbage };
        if *code.get_or_insert(this) != this {
            return Found::Garbage;
        }
        taken += end + 1;
        lines.push(text);
        if is_last {
            return Found::Whole(Reply { code: this, lines, taken });
        }
    }
}

/// A line's code, whether it is the reply's last, and its text.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = digits
        .iter()
        .try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + u16::from(d - b'0')))?;
    match rest {
        _ if !(200..600).contains(&code) => None,
        [] => Some((code, true, &[])),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

/// Writes a reply.
pub(super) fn push<T: AsRef<[u8]>>(code: u16, lines: &[T], out: &mut Vec<u8>) {
    for (n, line) in lines.iter().enumerate() {
        let mark = if n + 1 == lines.len() { ' ' } else { '-' };
        out.extend_from_slice(format!("{code}{mark}").as_bytes());
        out.extend_from_slice(line.as_ref());
        out.extend_from_slice(b"\r\n");
    }
}

impl Reply<'_> {
    /// 2yz
    pub(super) fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_all_of_its_lines() {
        let lines = vec![b"host".as_slice(), b"PIPELINING"];
        assert_eq!(
            reply(b"250-host\r\n250 PIPELINING\r\n354"),
            Found::Whole(Reply { code: 250, lines, taken: 26 })
        );
        assert_eq!(
            reply(b"250\r\n"),
            Found::Whole(Reply { code: 250, lines: vec![b""], taken: 5 })
        );
        assert_eq!(reply(b"250-host\r\n250 PIPE"), Found::Incomplete);
        for garbage in
            ["hello\r\n", "250-a\r\n251 b\r\n", "99\r\n", "2500\r\n", "199 x\r\n", "600 x\r\n"]
        {
            assert_eq!(reply(garbage.as_bytes()), Found::Garbage, "{garbage}");
        }
    }
}
