//! A session's view of the mailbox it has selected: sequence numbers, and what it was told.

use super::set::Set;
use super::{Refusal, put};
use crate::demo::store::{Mailbox, State};

/// The selected mailbox as the client knows it.
pub(super) struct View {
    pub(super) name: String,
    validity: u32,
    pub(super) read_only: bool,
    /// In the order of their sequence numbers.
    pub(super) entries: Vec<Entry>,
}

/// A message as the client knows it.
pub(super) struct Entry {
    pub(super) uid: u32,
    pub(super) recent: bool,
    /// The version of its flags that the client was told.
    pub(super) version: u64,
}

impl View {
    pub(super) fn open(name: String, mailbox: &mut Mailbox, read_only: bool) -> Self {
        let validity = mailbox.validity;
        let mut view = Self { name, validity, read_only, entries: Vec::new() };
        view.admit(mailbox);
        view
    }

    /// The mailbox, unless it was deleted meanwhile (another of the same name is not it).
    pub(super) fn mailbox<'a>(&self, state: &'a State) -> Option<&'a Mailbox> {
        state.mailboxes.get(&self.name).filter(|mailbox| mailbox.validity == self.validity)
    }

    /// Sequence numbers and UIDs of the messages in a set.
    pub(super) fn pick(&self, set: &Set, by_uid: bool) -> Result<Vec<(usize, u32)>, Refusal> {
        let count = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        // RFC 3501 §9, on seq-number: BAD for one beyond the mailbox; UIDs may be any.
        if !by_uid && !set.fits(count) {
            return Err(Refusal::Bad("There is no message of that number"));
        }
        let last = self.entries.last().map_or(0, |entry| entry.uid);
        let inside = |number: u32, uid| match by_uid {
            true => set.contains(uid, last),
            false => set.contains(number, count),
        };
        let numbered = (1..).zip(&self.entries).enumerate();
        let picked = numbered.filter(|(_, (number, entry))| inside(*number, entry.uid));
        Ok(picked.map(|(index, (_, entry))| (index + 1, entry.uid)).collect())
    }

    /// Tells the client what it does not know yet (RFC 3501 §5.2), and takes note.
    pub(super) fn sync(&mut self, state: &mut State, expunge: bool, out: &mut Vec<u8>) {
        let current = self.mailbox(state);
        let mut number = 0;
        self.entries.retain_mut(|entry| {
            number += 1;
            match current.and_then(|mailbox| mailbox.message(entry.uid)) {
                None if expunge => {
                    put(out, format!("* {number} EXPUNGE\r\n"));
                    number -= 1;
                    return false;
                }
                Some(message) if message.version != entry.version => {
                    entry.version = message.version;
                    let flags = flag_list(&message.flags, entry.recent);
                    let uid = entry.uid;
                    put(out, format!("* {number} FETCH (UID {uid} FLAGS {flags})\r\n"));
                }
                _ => {}
            }
            true
        });
        let known = self.entries.len();
        let (name, validity) = (&self.name, self.validity);
        let mailbox = state.mailboxes.get_mut(name).filter(|m| m.validity == validity);
        if let Some(mailbox) = mailbox {
            self.admit(mailbox);
        }
        if self.entries.len() > known {
            self.put_counts(out);
        }
    }

    pub(super) fn put_counts(&self, out: &mut Vec<u8>) {
        let recent = self.entries.iter().filter(|entry| entry.recent).count();
        put(out, format!("* {} EXISTS\r\n* {recent} RECENT\r\n", self.entries.len()));
    }

    /// Takes in the messages that came since the last look.
    fn admit(&mut self, mailbox: &mut Mailbox) {
        let last = self.entries.last().map_or(0, |entry| entry.uid);
        let first_recent = mailbox.first_recent;
        let new = mailbox.messages.iter().filter(|message| message.uid > last);
        self.entries.extend(new.map(|message| Entry {
            uid: message.uid,
            recent: message.uid >= first_recent,
            version: message.version,
        }));
        if !self.read_only {
            mailbox.first_recent = mailbox.uid_next;
        }
    }
}

/// `(\Seen \Recent)`
pub(super) fn flag_list(flags: &[String], recent: bool) -> String {
    let recent = recent.then_some("\\Recent");
    let flags = flags.iter().map(String::as_str).chain(recent);
    format!("({})", flags.collect::<Vec<_>>().join(" "))
}
