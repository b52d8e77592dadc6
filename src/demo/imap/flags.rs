//! What changes messages: STORE, COPY, MOVE, EXPUNGE, CLOSE.

use super::set::{Set, compact};
use super::view::{View, flag_list};
use super::{Done, Imap, Refusal, mailboxes, ok, put};
use crate::demo::lexer::{Lexer, Malformed};
use crate::demo::store::{Refused, State};

pub(super) const SYSTEM: [&str; 5] = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];

impl Imap {
    pub(super) fn store_flags(
        &mut self,
        line: &mut Lexer<'_>,
        by_uid: bool,
        out: &mut Vec<u8>,
    ) -> Result<Done, Refusal> {
        line.space()?;
        let set = Set::parse(line)?;
        line.space()?;
        let add = line.eat(b'+');
        let remove = !add && line.eat(b'-');
        let item = line.atom()?.to_ascii_uppercase();
        let silent = item == "FLAGS.SILENT";
        if !silent && item != "FLAGS" {
            return Err(Malformed.into());
        }
        line.space()?;
        let flags = if line.peek() == Some(b'(') { list(line)? } else { bare(line)? };
        line.end()?;
        let view = writable(&mut self.selected)?;
        let picked = view.pick(&set, by_uid)?;
        self.store.with(|state| {
            for (number, uid) in picked {
                state.change(&view.name, uid, |own| {
                    if !add && !remove {
                        own.clear();
                    }
                    own.retain(|flag| !flags.iter().any(|f| f.eq_ignore_ascii_case(flag)));
                    if !remove {
                        own.extend_from_slice(&flags);
                    }
                    // So that setting what is set is no change.
                    own.sort_unstable();
                });
                let Some(message) = view.mailbox(state).and_then(|m| m.message(uid)) else {
                    continue;
                };
                let version = message.version;
                let entry = &mut view.entries[number - 1];
                entry.version = version;
                if !silent {
                    let flags = flag_list(&message.flags, entry.recent);
                    let uid = if by_uid { format!("UID {uid} ") } else { String::new() };
                    put(out, format!("* {number} FETCH ({uid}FLAGS {flags})\r\n"));
                }
            }
        });
        ok("Stored")
    }

    pub(super) fn copy(&mut self, line: &mut Lexer<'_>, by_uid: bool) -> Result<Done, Refusal> {
        let (set, target) = set_and_target(line)?;
        let view = self.selected.as_ref().ok_or(NOT_SELECTED)?;
        let uids = uids(view, &set, by_uid)?;
        let code = self.store.with(|state| copy(state, view, &uids, &target))?;
        ok(format!("{code}Copied"))
    }

    /// RFC 6851.
    pub(super) fn move_away(
        &mut self,
        line: &mut Lexer<'_>,
        by_uid: bool,
        out: &mut Vec<u8>,
    ) -> Result<Done, Refusal> {
        let (set, target) = set_and_target(line)?;
        let view = writable(&mut self.selected)?;
        let uids = uids(view, &set, by_uid)?;
        let code = self.store.with(|state| {
            let code = copy(state, view, &uids, &target)?;
            state.remove(&view.name, |message| uids.binary_search(&message.uid).is_ok());
            Ok::<_, Refusal>(code)
        })?;
        // RFC 6851 §4.3: COPYUID goes before the EXPUNGEs, in an untagged OK.
        if !code.is_empty() {
            put(out, format!("* OK {code}Moved\r\n"));
        }
        ok("Done")
    }

    pub(super) fn expunge(&mut self, line: &mut Lexer<'_>, by_uid: bool) -> Result<Done, Refusal> {
        // RFC 4315 §2.1: UID EXPUNGE takes a set.
        let set = if by_uid {
            line.space()?;
            Some(Set::parse(line)?)
        } else {
            None
        };
        line.end()?;
        let view = writable(&mut self.selected)?;
        let chosen = match set {
            Some(set) => Some(uids(view, &set, true)?),
            None => None,
        };
        self.store.with(|state| remove_deleted(state, view, chosen.as_deref()));
        ok("Expunged")
    }

    /// RFC 3501 §6.4.2 and RFC 3691: both leave the mailbox, CLOSE expunges first and silently.
    pub(super) fn close(&mut self, line: &mut Lexer<'_>, expunge: bool) -> Result<Done, Refusal> {
        line.end()?;
        let view = self.selected.take().ok_or(NOT_SELECTED)?;
        if expunge && !view.read_only {
            self.store.with(|state| remove_deleted(state, &view, None));
        }
        ok("Closed")
    }
}

pub(super) const NOT_SELECTED: Refusal = Refusal::Bad("Select a mailbox first");

/// A parenthesized list of flags (RFC 3501 §9 `flag-list`).
pub(super) fn list(line: &mut Lexer<'_>) -> Result<Vec<String>, Refusal> {
    line.need(b'(')?;
    let flags = if line.peek() == Some(b')') { Vec::new() } else { bare(line)? };
    line.need(b')')?;
    Ok(flags)
}

fn bare(line: &mut Lexer<'_>) -> Result<Vec<String>, Refusal> {
    let mut flags: Vec<String> = Vec::new();
    loop {
        let system = line.eat(b'\\');
        let name = line.run(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b));
        let flag = if system { format!("\\{name}") } else { name.to_owned() };
        let flag = match SYSTEM.iter().find(|own| own.eq_ignore_ascii_case(&flag)) {
            Some(own) => (*own).to_owned(),
            None if system || flag.is_empty() => return Err(Refusal::Bad("No such flag")),
            None => flag,
        };
        if !flags.iter().any(|own| own.eq_ignore_ascii_case(&flag)) {
            flags.push(flag);
        }
        if !line.eat(b' ') {
            flags.sort_unstable();
            return Ok(flags);
        }
    }
}

fn set_and_target(line: &mut Lexer<'_>) -> Result<(Set, String), Refusal> {
    line.space()?;
    let set = Set::parse(line)?;
    let target = mailboxes::name(line)?;
    line.end()?;
    Ok((set, target))
}

fn writable(selected: &mut Option<View>) -> Result<&mut View, Refusal> {
    let view = selected.as_mut().ok_or(NOT_SELECTED)?;
    if view.read_only { Err(Refusal::No("[READ-ONLY] Opened with EXAMINE")) } else { Ok(view) }
}

fn uids(view: &View, set: &Set, by_uid: bool) -> Result<Vec<u32>, Refusal> {
    Ok(view.pick(set, by_uid)?.into_iter().map(|(_, uid)| uid).collect())
}

/// Copies all or nothing (RFC 3501 §6.4.7) and gives the response code COPYUID.
fn copy(state: &mut State, view: &View, uids: &[u32], target: &str) -> Result<String, Refusal> {
    if !state.mailboxes.contains_key(target) {
        return Err(Refusal::No("[TRYCREATE] There is no such mailbox"));
    }
    let source = view.mailbox(state).ok_or(Refused::Missing)?;
    let messages: Vec<_> = uids.iter().filter_map(|uid| source.message(*uid)).cloned().collect();
    let (mut from, mut to, mut validity) = (Vec::new(), Vec::new(), 0);
    for message in messages {
        match state.append(target, message.flags, message.date, message.bytes) {
            Ok((mailbox, uid)) => {
                validity = mailbox;
                from.push(message.uid);
                to.push(uid);
            }
            Err(refused) => {
                state.remove(target, |message| to.contains(&message.uid));
                return Err(refused.into());
            }
        }
    }
    if to.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("[COPYUID {validity} {} {}] ", compact(&from), compact(&to)))
}

fn remove_deleted(state: &mut State, view: &View, chosen: Option<&[u32]>) {
    if view.mailbox(state).is_some() {
        let chosen = |uid| chosen.is_none_or(|uids| uids.binary_search(&uid).is_ok());
        state.remove(&view.name, |message| message.has("\\Deleted") && chosen(message.uid));
    }
}
