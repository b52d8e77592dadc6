//! SEARCH (RFC 3501 §6.4.4).

use super::set::Set;
use super::{Done, Imap, Refusal, flags, ok, put};
use crate::demo::lexer::{Lexer, Malformed};
use crate::demo::message::{self, field, fields, unfold};
use crate::demo::store::Message;
use crate::demo::time;

/// How deep keys may nest, so that a line of NOTs cannot use up the stack.
const MAX_DEPTH: usize = 32;

enum Key {
    And(Vec<Key>),
    Body(Vec<u8>),
    Flag(String),
    /// A text in the field of that name.
    Header(String, Vec<u8>),
    /// Internal date, as the first day and the day after the last.
    Internal(i64, i64),
    Larger(usize),
    Not(Box<Key>),
    Numbers(Set),
    Or(Box<Key>, Box<Key>),
    Recent,
    Sent(i64, i64),
    Smaller(usize),
    Text(Vec<u8>),
    Uids(Set),
}

/// A message and what its view adds to it.
struct Candidate<'a> {
    message: &'a Message,
    recent: bool,
    number: u32,
    last_number: u32,
    last_uid: u32,
}

impl Imap {
    pub(super) fn search(
        &mut self,
        line: &mut Lexer<'_>,
        by_uid: bool,
        out: &mut Vec<u8>,
    ) -> Result<Done, Refusal> {
        line.space()?;
        let mut rest = *line;
        if rest.atom().is_ok_and(|word| word.eq_ignore_ascii_case("CHARSET")) {
            rest.space()?;
            let charset = rest.astring()?.to_ascii_uppercase();
            if !matches!(&*charset, b"US-ASCII" | b"UTF-8") {
                return Err(Refusal::No("[BADCHARSET (US-ASCII UTF-8)] Not in that charset"));
            }
            rest.space()?;
            *line = rest;
        }
        let mut keys = vec![key(line, 0)?];
        while line.eat(b' ') {
            keys.push(key(line, 0)?);
        }
        line.end()?;
        let keys = Key::And(keys);
        let view = self.selected.as_ref().ok_or(flags::NOT_SELECTED)?;
        let last_number = u32::try_from(view.entries.len()).unwrap_or(u32::MAX);
        let last_uid = view.entries.last().map_or(0, |entry| entry.uid);
        put(out, "* SEARCH");
        self.store.with(|state| {
            let mailbox = view.mailbox(state);
            for (number, entry) in (1..).zip(&view.entries) {
                let Some(message) = mailbox.and_then(|m| m.message(entry.uid)) else { continue };
                let recent = entry.recent;
                let candidate = Candidate { message, recent, number, last_number, last_uid };
                if keys.holds(&candidate) {
                    put(out, format!(" {}", if by_uid { entry.uid } else { number }));
                }
            }
        });
        put(out, "\r\n");
        ok("Searched")
    }
}

impl Key {
    fn holds(&self, of: &Candidate<'_>) -> bool {
        let bytes = &*of.message.bytes;
        match self {
            Self::And(keys) => keys.iter().all(|key| key.holds(of)),
            Self::Or(a, b) => a.holds(of) || b.holds(of),
            Self::Not(key) => !key.holds(of),
            Self::Flag(flag) => of.message.has(flag),
            Self::Recent => of.recent,
            Self::Numbers(set) => set.contains(of.number, of.last_number),
            Self::Uids(set) => set.contains(of.message.uid, of.last_uid),
            Self::Larger(size) => bytes.len() > *size,
            Self::Smaller(size) => bytes.len() < *size,
            Self::Internal(from, to) => (*from..*to).contains(&time::day_of(of.message.date)),
            Self::Sent(from, to) => {
                let date = field(message::split(bytes).0, "Date");
                let day = date.and_then(|date| time::header_day(&date));
                day.is_some_and(|day| (*from..*to).contains(&day))
            }
            Self::Header(name, text) => {
                let named = |own: &[u8]| own.eq_ignore_ascii_case(name.as_bytes());
                fields(message::split(bytes).0)
                    .iter()
                    .any(|(own, raw)| named(own) && holds_text(unfold(raw).as_bytes(), text))
            }
            Self::Body(text) => holds_text(message::split(bytes).1, text),
            Self::Text(text) => holds_text(bytes, text),
        }
    }
}

fn key(line: &mut Lexer<'_>, depth: usize) -> Result<Key, Refusal> {
    if depth > MAX_DEPTH {
        return Err(Refusal::No("[LIMIT] Too deep"));
    }
    if line.eat(b'(') {
        let mut keys = vec![key(line, depth + 1)?];
        while line.eat(b' ') {
            keys.push(key(line, depth + 1)?);
        }
        line.need(b')')?;
        return Ok(Key::And(keys));
    }
    if line.peek().is_some_and(|b| b.is_ascii_digit() || b == b'*') {
        return Ok(Key::Numbers(Set::parse(line)?));
    }
    let word = line.atom()?.to_ascii_uppercase();
    let not = |key| Key::Not(Box::new(key));
    let flag = |name: &str| {
        let system = flags::SYSTEM.iter().find(|own| own[1..].eq_ignore_ascii_case(name));
        system.map(|own| Key::Flag((*own).to_owned()))
    };
    Ok(match &*word {
        "ALL" => Key::And(Vec::new()),
        "NEW" => Key::And(vec![Key::Recent, not(Key::Flag("\\Seen".to_owned()))]),
        "OLD" => not(Key::Recent),
        "RECENT" => Key::Recent,
        "BCC" | "CC" | "FROM" | "SUBJECT" | "TO" => Key::Header(word, text(line)?),
        "BODY" => Key::Body(text(line)?),
        "TEXT" => Key::Text(text(line)?),
        "HEADER" => {
            let name = String::from_utf8(text(line)?).map_err(|_| Malformed)?;
            Key::Header(name, text(line)?)
        }
        "KEYWORD" => Key::Flag(spaced_atom(line)?.to_owned()),
        "UNKEYWORD" => not(Key::Flag(spaced_atom(line)?.to_owned())),
        "LARGER" => Key::Larger(size(line)?),
        "SMALLER" => Key::Smaller(size(line)?),
        "BEFORE" => Key::Internal(i64::MIN, day(line)?),
        "ON" => day(line).map(|day| Key::Internal(day, day + 1))?,
        "SINCE" => Key::Internal(day(line)?, i64::MAX),
        "SENTBEFORE" => Key::Sent(i64::MIN, day(line)?),
        "SENTON" => day(line).map(|day| Key::Sent(day, day + 1))?,
        "SENTSINCE" => Key::Sent(day(line)?, i64::MAX),
        "NOT" => {
            line.space()?;
            not(key(line, depth + 1)?)
        }
        "OR" => {
            line.space()?;
            let first = key(line, depth + 1)?;
            line.space()?;
            Key::Or(Box::new(first), Box::new(key(line, depth + 1)?))
        }
        "UID" => {
            line.space()?;
            Key::Uids(Set::parse(line)?)
        }
        _ => match word.strip_prefix("UN").and_then(flag) {
            Some(key) => not(key),
            None => flag(&word).ok_or(Refusal::Bad("No such search key"))?,
        },
    })
}

fn text(line: &mut Lexer<'_>) -> Result<Vec<u8>, Malformed> {
    line.space()?;
    Ok(line.astring()?.to_ascii_lowercase())
}

fn spaced_atom<'a>(line: &mut Lexer<'a>) -> Result<&'a str, Malformed> {
    line.space()?;
    // In a group the closing parenthesis is not of the atom, which `atom` knows.
    line.atom()
}

fn size(line: &mut Lexer<'_>) -> Result<usize, Malformed> {
    line.space()?;
    usize::try_from(line.number()?).map_err(|_| Malformed)
}

fn day(line: &mut Lexer<'_>) -> Result<i64, Malformed> {
    let text = String::from_utf8(text(line)?).map_err(|_| Malformed)?;
    time::parse_day(&text).ok_or(Malformed)
}

/// Whether a text holds another that is in lower case already.
fn holds_text(text: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(&text.to_ascii_lowercase(), wanted).is_some()
}
