//! `BODY[section]<partial>` (RFC 3501 §6.4.5).

use std::borrow::Cow;

use super::{put, put_string};
use crate::demo::lexer::{Lexer, Malformed};
use crate::demo::message::{self, Part};

/// Which octets of a message were asked for.
pub(super) struct Section {
    /// Whether reading leaves `\Seen` alone.
    pub(super) peek: bool,
    path: Vec<usize>,
    what: What,
    /// First octet and how many.
    partial: Option<(usize, usize)>,
}

#[derive(PartialEq, Eq)]
enum What {
    All,
    /// The named fields, or with `not` the others.
    Fields {
        not: bool,
        names: Vec<Vec<u8>>,
    },
    Header,
    Mime,
    Text,
}

impl Section {
    pub(super) fn parse(line: &mut Lexer<'_>, peek: bool) -> Result<Self, Malformed> {
        line.need(b'[')?;
        let mut path = Vec::new();
        while line.peek().is_some_and(|b| b.is_ascii_digit()) {
            path.push(usize::try_from(line.number()?).map_err(|_| Malformed)?);
            if !line.eat(b'.') {
                break;
            }
        }
        let what = line.run(|b| b.is_ascii_alphabetic() || b == b'.').to_ascii_uppercase();
        let what = match &*what {
            "" => What::All,
            "HEADER" => What::Header,
            "HEADER.FIELDS" => What::Fields { not: false, names: names(line)? },
            "HEADER.FIELDS.NOT" => What::Fields { not: true, names: names(line)? },
            "MIME" if !path.is_empty() => What::Mime,
            "TEXT" => What::Text,
            _ => return Err(Malformed),
        };
        line.need(b']')?;
        let mut partial = None;
        if line.eat(b'<') {
            let first = line.number()?;
            line.need(b'.')?;
            let count = line.number()?;
            line.need(b'>')?;
            let size = |n| usize::try_from(n).map_err(|_| Malformed);
            partial = Some((size(first)?, size(count)?));
        }
        Ok(Self { peek, path, what, partial })
    }

    /// `BODY[1.HEADER]<0>`: the name by which the octets are sent.
    pub(super) fn put_name(&self, out: &mut Vec<u8>) {
        let mut name: Vec<_> = self.path.iter().map(usize::to_string).collect();
        name.extend(match &self.what {
            What::All => None,
            What::Fields { not: false, .. } => Some("HEADER.FIELDS".to_owned()),
            What::Fields { not: true, .. } => Some("HEADER.FIELDS.NOT".to_owned()),
            What::Header => Some("HEADER".to_owned()),
            What::Mime => Some("MIME".to_owned()),
            What::Text => Some("TEXT".to_owned()),
        });
        put(out, format!("BODY[{}", name.join(".")));
        if let What::Fields { names, .. } = &self.what {
            for (n, name) in names.iter().enumerate() {
                put(out, if n == 0 { " (" } else { " " });
                if name.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b)) {
                    put(out, name);
                } else {
                    put_string(out, name);
                }
            }
            put(out, ")");
        }
        put(out, "]");
        if let Some((first, _)) = self.partial {
            put(out, format!("<{first}>"));
        }
    }

    /// The octets, or `None` if the message has no such part.
    pub(super) fn of<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let text = self.whole(bytes)?;
        let Some((first, count)) = self.partial else { return Some(text) };
        let start = first.min(text.len());
        let end = start.saturating_add(count).min(text.len());
        Some(match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[start..end]),
            Cow::Owned(text) => Cow::Owned(text[start..end].to_vec()),
        })
    }

    fn whole<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let (header, body) = if self.path.is_empty() {
            if self.what == What::All {
                return Some(Cow::Borrowed(bytes));
            }
            message::split(bytes)
        } else {
            let root = Part::parse(bytes);
            let part = descend(&root, &self.path)?;
            match self.what {
                What::All => return Some(Cow::Borrowed(part.body)),
                What::Mime => return Some(Cow::Borrowed(part.header)),
                // The others are of the message that the part holds.
                _ => part.message().map(|message| (message.header, message.body))?,
            }
        };
        Some(match &self.what {
            What::Fields { not, names } => Cow::Owned(pick_fields(header, *not, names)),
            What::Text => Cow::Borrowed(body),
            _ => Cow::Borrowed(header),
        })
    }
}

/// The part of that number. A message that is no multipart has one part, itself, and what is in
/// a message/rfc822 part is numbered as if it came alone.
fn descend<'p, 'a>(root: &'p Part<'a>, path: &[usize]) -> Option<&'p Part<'a>> {
    let (mut part, mut numbered) = (root, Some(root));
    for number in path {
        let within = numbered?;
        part = match within.is_multipart() {
            true => within.children.get(number.checked_sub(1)?)?,
            false => Some(within).filter(|_| *number == 1)?,
        };
        numbered = if part.is_multipart() { Some(part) } else { part.message() };
    }
    Some(part)
}

fn names(line: &mut Lexer<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    line.space()?;
    line.need(b'(')?;
    let mut names = Vec::new();
    loop {
        names.push(line.astring()?.into_owned());
        if line.eat(b')') {
            return Ok(names);
        }
        line.space()?;
    }
}

fn pick_fields(header: &[u8], not: bool, names: &[Vec<u8>]) -> Vec<u8> {
    let named = |own: &[u8]| names.iter().any(|name| name.eq_ignore_ascii_case(own));
    let fields = message::fields(header).into_iter().filter(|(own, _)| named(own) != not);
    let mut picked: Vec<u8> = fields.flat_map(|(_, raw)| raw).copied().collect();
    // RFC 3501 §6.4.5: the subset always ends with the delimiting blank line.
    picked.extend_from_slice(b"\r\n");
    picked
}
