//! FETCH (RFC 3501 §6.4.5).

use super::section::Section;
use super::set::Set;
use super::view::flag_list;
use super::{Done, Imap, Refusal, flags, ok, put, structure};
use crate::demo::lexer::{Lexer, Malformed};
use crate::demo::message::Part;
use crate::demo::store::Message;
use crate::demo::time;

/// Octets that one FETCH may answer: the whole store once, and some.
const MAX_REPLY: usize = 96 * 1024 * 1024;

enum Item {
    Envelope,
    Flags,
    InternalDate,
    /// A section under the name by which it was asked for.
    Section(Section, &'static str),
    Size,
    /// Extended (BODYSTRUCTURE) or not (BODY).
    Structure(bool),
    Uid,
}

impl Imap {
    pub(super) fn fetch(
        &mut self,
        line: &mut Lexer<'_>,
        by_uid: bool,
        out: &mut Vec<u8>,
    ) -> Result<Done, Refusal> {
        line.space()?;
        let set = Set::parse(line)?;
        line.space()?;
        let mut items = items(line)?;
        line.end()?;
        let view = self.selected.as_mut().ok_or(flags::NOT_SELECTED)?;
        let picked = view.pick(&set, by_uid)?;
        // RFC 3501 §6.4.8: UID FETCH tells the UID, asked or not.
        if by_uid && !items.iter().any(|item| matches!(item, Item::Uid)) {
            items.insert(0, Item::Uid);
        }
        let reads = |item: &Item| matches!(item, Item::Section(section, _) if !section.peek);
        let marks_seen = items.iter().any(reads) && !view.read_only;
        let start = out.len();
        self.store.with(|state| {
            for (number, uid) in picked {
                let unseen = |m: &&Message| marks_seen && !m.has("\\Seen");
                let newly = view.mailbox(state).and_then(|m| m.message(uid)).filter(unseen);
                let newly = newly.is_some()
                    && state.change(&view.name, uid, |flags| flags.push("\\Seen".to_owned()));
                let message = view.mailbox(state).and_then(|m| m.message(uid));
                // Expunged by another session: passed over (RFC 2180 §4.1.2).
                let Some(message) = message else { continue };
                let entry = &mut view.entries[number - 1];
                let begin = out.len();
                put(out, format!("* {number} FETCH ("));
                let tells_flags = items.iter().any(|item| matches!(item, Item::Flags));
                let extra = (newly && !tells_flags).then_some(&Item::Flags);
                for (n, item) in items.iter().chain(extra).enumerate() {
                    put(out, if n > 0 { " " } else { "" });
                    item.put(message, entry.recent, out);
                    if out.len() - start > MAX_REPLY {
                        out.truncate(begin);
                        return Err(Refusal::No("[LIMIT] Ask for less at a time"));
                    }
                }
                put(out, ")\r\n");
                if tells_flags || newly {
                    entry.version = message.version;
                }
            }
            ok("Fetched")
        })
    }
}

impl Item {
    fn put(&self, message: &Message, recent: bool, out: &mut Vec<u8>) {
        let bytes = &*message.bytes;
        match self {
            Self::Uid => put(out, format!("UID {}", message.uid)),
            Self::Flags => put(out, format!("FLAGS {}", flag_list(&message.flags, recent))),
            Self::Size => put(out, format!("RFC822.SIZE {}", bytes.len())),
            Self::InternalDate => {
                put(out, format!("INTERNALDATE \"{}\"", time::internal(message.date)));
            }
            Self::Envelope => {
                put(out, "ENVELOPE ");
                structure::envelope(&Part::parse(bytes), out);
            }
            Self::Structure(extended) => {
                put(out, if *extended { "BODYSTRUCTURE " } else { "BODY " });
                structure::body(&Part::parse(bytes), *extended, out);
            }
            Self::Section(section, name) => {
                if *name == "BODY" {
                    section.put_name(out);
                } else {
                    put(out, name);
                }
                put(out, " ");
                match section.of(bytes) {
                    // A literal even where quotes would do: clients (curl) look for its size.
                    Some(text) => {
                        put(out, format!("{{{}}}\r\n", text.len()));
                        put(out, text);
                    }
                    None => put(out, "NIL"),
                }
            }
        }
    }
}

fn items(line: &mut Lexer<'_>) -> Result<Vec<Item>, Refusal> {
    let mut items = Vec::new();
    if !line.eat(b'(') {
        let mut macro_or_item = *line;
        let name = macro_or_item.run(|b| b.is_ascii_alphanumeric() || b == b'.');
        let mut macros = vec![Item::Flags, Item::InternalDate, Item::Size];
        match &*name.to_ascii_uppercase() {
            "FAST" => {}
            "ALL" => macros.push(Item::Envelope),
            "FULL" => macros.extend([Item::Envelope, Item::Structure(false)]),
            _ => return Ok(vec![item(line)?]),
        }
        *line = macro_or_item;
        return Ok(macros);
    }
    loop {
        items.push(item(line)?);
        if line.eat(b')') {
            return Ok(items);
        }
        line.space()?;
    }
}

fn item(line: &mut Lexer<'_>) -> Result<Item, Refusal> {
    let name = line.run(|b| b.is_ascii_alphanumeric() || b == b'.').to_ascii_uppercase();
    Ok(match &*name {
        "BODY" if line.peek() == Some(b'[') => Item::Section(Section::parse(line, false)?, "BODY"),
        "BODY.PEEK" => Item::Section(Section::parse(line, true)?, "BODY"),
        "BODY" => Item::Structure(false),
        "BODYSTRUCTURE" => Item::Structure(true),
        "ENVELOPE" => Item::Envelope,
        "FLAGS" => Item::Flags,
        "INTERNALDATE" => Item::InternalDate,
        "RFC822" => Item::Section(Section::parse(&mut Lexer::new(b"[]"), false)?, "RFC822"),
        "RFC822.HEADER" => {
            Item::Section(Section::parse(&mut Lexer::new(b"[HEADER]"), true)?, "RFC822.HEADER")
        }
        "RFC822.SIZE" => Item::Size,
        "RFC822.TEXT" => {
            Item::Section(Section::parse(&mut Lexer::new(b"[TEXT]"), false)?, "RFC822.TEXT")
        }
        "UID" => Item::Uid,
        _ => return Err(Malformed.into()),
    })
}
