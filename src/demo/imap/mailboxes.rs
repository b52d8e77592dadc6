//! What is about mailboxes as a whole: SELECT, LIST, CREATE and their kin, STATUS, APPEND.

use super::view::View;
use super::{Done, Imap, Refusal, flags, ok, put};
use crate::demo::lexer::{Lexer, Malformed, quote};
use crate::demo::store::{DELIMITER, Mailbox, Refused, State, Store};
use crate::demo::time;

impl Imap {
    pub(super) fn select(
        &mut self,
        line: &mut Lexer<'_>,
        read_only: bool,
        out: &mut Vec<u8>,
    ) -> Result<Done, Refusal> {
        let name = name(line)?;
        line.end()?;
        // RFC 3501 §6.3.1: the old mailbox is left even if the new one cannot be opened.
        self.selected = None;
        let view = self.store.with(|state| {
            let mailbox = state.mailboxes.get_mut(&name).ok_or(Refused::Missing)?;
            let view = View::open(name, mailbox, read_only);
            let system = flags::SYSTEM.join(" ");
            put(out, format!("* FLAGS ({system})\r\n"));
            let settable = if read_only { String::new() } else { format!("{system} \\*") };
            put(out, format!("* OK [PERMANENTFLAGS ({settable})] Kept\r\n"));
            view.put_counts(out);
            if let Some(first) = mailbox.messages.iter().position(|m| !m.has("\\Seen")) {
                put(out, format!("* OK [UNSEEN {}] First unseen\r\n", first + 1));
            }
            let Mailbox { validity, uid_next, .. } = mailbox;
            put(out, format!("* OK [UIDVALIDITY {validity}] Valid\r\n"));
            put(out, format!("* OK [UIDNEXT {uid_next}] Next\r\n"));
            Ok::<_, Refusal>(view)
        })?;
        self.selected = Some(view);
        ok(if read_only { "[READ-ONLY] Examined" } else { "[READ-WRITE] Selected" })
    }
}

/// The commands that need nothing but the store.
pub(super) fn run(
    state: &mut State,
    verb: &str,
    line: &mut Lexer<'_>,
    out: &mut Vec<u8>,
) -> Result<Done, Refusal> {
    match verb {
        "NAMESPACE" => {
            line.end()?;
            put(out, format!("* NAMESPACE ((\"\" \"{DELIMITER}\")) NIL NIL\r\n"));
        }
        "LIST" | "LSUB" => list(state, verb, line, out)?,
        "STATUS" => status(state, line, out)?,
        "CREATE" => {
            let name = name(line)?;
            line.end()?;
            // RFC 3501 §6.3.3: a trailing delimiter announces children, and is not of the name.
            state.create(name.strip_suffix(DELIMITER).unwrap_or(&name))?;
        }
        "DELETE" => {
            let name = name(line)?;
            line.end()?;
            state.delete(&name)?;
        }
        "RENAME" => {
            let (from, to) = (name(line)?, name(line)?);
            line.end()?;
            state.rename(&from, &to)?;
        }
        "SUBSCRIBE" => {
            let name = name(line)?;
            line.end()?;
            if !state.mailboxes.contains_key(&name) {
                return Err(Refused::Missing.into());
            }
            // Bounded by the number of mailboxes: those that are gone make way.
            let State { subscribed, mailboxes, .. } = state;
            subscribed.retain(|name| mailboxes.contains_key(name));
            subscribed.insert(name);
        }
        "UNSUBSCRIBE" => {
            let name = name(line)?;
            line.end()?;
            state.subscribed.remove(&name);
        }
        _ => return Err(Refusal::Bad("Unknown command")),
    }
    ok("Done")
}

/// A space and a mailbox name. RFC 3501 §5.1: INBOX in any case is INBOX.
pub(super) fn name(line: &mut Lexer<'_>) -> Result<String, Refusal> {
    line.space()?;
    let name = line.astring()?;
    let name = str::from_utf8(&name).map_err(|_| Malformed)?;
    let end = name.find(DELIMITER).unwrap_or(name.len());
    let inbox = name[..end].eq_ignore_ascii_case("INBOX");
    Ok(if inbox { format!("INBOX{}", &name[end..]) } else { name.to_owned() })
}

pub(super) fn append(store: &Store, line: &mut Lexer<'_>) -> Result<Done, Refusal> {
    let name = name(line)?;
    line.space()?;
    let mut flags = Vec::new();
    if line.peek() == Some(b'(') {
        flags = flags::list(line)?;
        line.space()?;
    }
    let mut date = time::now();
    if line.peek() == Some(b'"') {
        let written = line.string()?;
        let written = str::from_utf8(&written).map_err(|_| Malformed)?;
        date = time::parse_internal(written).ok_or(Malformed)?;
        line.space()?;
    }
    let message = line.literal()?;
    line.end()?;
    if message.is_empty() {
        // RFC 3502 §6.3.11 gives an empty literal this meaning.
        return Err(Refusal::No("Nothing to append"));
    }
    match store.with(|state| state.append(&name, flags, date, message.into())) {
        Ok((validity, uid)) => ok(format!("[APPENDUID {validity} {uid}] Appended")),
        Err(Refused::Missing) => Err(Refusal::No("[TRYCREATE] There is no such mailbox")),
        Err(refused) => Err(refused.into()),
    }
}

fn list(state: &State, verb: &str, line: &mut Lexer<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    line.space()?;
    let reference = line.astring()?.into_owned();
    line.space()?;
    let pattern = [reference.as_slice(), &line.astring()?].concat();
    line.end()?;
    let mut tell = |flags: &str, name: &str| {
        put(out, format!("* {verb} ({flags}) \"{DELIMITER}\" {}\r\n", quote(name)));
    };
    if verb == "LIST" && pattern.is_empty() {
        // RFC 3501 §6.3.8: an empty name asks for the delimiter.
        tell("\\Noselect", "");
        return Ok(());
    }
    if verb == "LIST" {
        for name in state.mailboxes.keys().filter(|name| matches(&pattern, name)) {
            let parent = state.has_children(name);
            tell(if parent { "\\HasChildren" } else { "\\HasNoChildren" }, name);
        }
        return Ok(());
    }
    for name in state.subscribed.iter().filter(|name| matches(&pattern, name)) {
        tell("", name);
    }
    if pattern.ends_with(b"%") {
        // RFC 3501 §6.3.9: a level above something subscribed shows as \Noselect.
        let mut levels: Vec<_> = state
            .subscribed
            .iter()
            .flat_map(|name| name.match_indices(DELIMITER).map(|(at, _)| &name[..at]))
            .filter(|level| !state.subscribed.contains(*level) && matches(&pattern, level))
            .collect();
        levels.dedup();
        for level in levels {
            tell("\\Noselect", level);
        }
    }
    Ok(())
}

/// Whether a LIST pattern covers a name. All ways to spread the wildcards are walked at once, so
/// that a pattern of many stars takes no longer.
fn matches(pattern: &[u8], name: &str) -> bool {
    let name = name.as_bytes();
    let inbox = name == b"INBOX";
    // reached[n]: the pattern so far can cover the first n octets.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for token in pattern {
        match token {
            b'*' | b'%' => {
                for n in 1..=name.len() {
                    let passes = *token == b'*' || char::from(name[n - 1]) != DELIMITER;
                    reached[n] |= passes && reached[n - 1];
                }
            }
            byte => {
                for n in (1..=name.len()).rev() {
                    let own = name[n - 1];
                    let same = own == *byte || inbox && own.eq_ignore_ascii_case(byte);
                    reached[n] = same && reached[n - 1];
                }
                reached[0] = false;
            }
        }
    }
    reached[name.len()]
}

fn status(state: &State, line: &mut Lexer<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let name = name(line)?;
    line.space()?;
    line.need(b'(')?;
    let mailbox = state.mailboxes.get(&name);
    let mut told = Vec::new();
    loop {
        let item = line.atom()?.to_ascii_uppercase();
        let Mailbox { validity, uid_next, first_recent, messages } =
            mailbox.ok_or(Refused::Missing)?;
        let value = match &*item {
            "MESSAGES" => messages.len(),
            "RECENT" => messages.iter().filter(|m| m.uid >= *first_recent).count(),
            "SIZE" => messages.iter().map(|m| m.bytes.len()).sum(),
            "UIDNEXT" => usize::try_from(*uid_next).unwrap_or(usize::MAX),
            "UIDVALIDITY" => usize::try_from(*validity).unwrap_or(usize::MAX),
            "UNSEEN" => messages.iter().filter(|m| !m.has("\\Seen")).count(),
            _ => return Err(Refusal::Bad("No such status item")),
        };
        told.push(format!("{item} {value}"));
        if line.eat(b')') {
            break;
        }
        line.space()?;
    }
    line.end()?;
    put(out, format!("* STATUS {} ({})\r\n", quote(&name), told.join(" ")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards_stop_where_they_should() {
        assert!(matches(b"*", "a/b") && matches(b"a/%", "a/b") && matches(b"%/b", "a/b"));
        assert!(!matches(b"%", "a/b") && !matches(b"a", "a/b") && !matches(b"a/b/%", "a/b"));
        assert!(matches(b"inb%", "INBOX") && !matches(b"A", "a") && matches(b"", ""));
        assert!(!matches(&b"*a".repeat(4000), &"a".repeat(255)));
    }
}
