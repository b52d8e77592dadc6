//! What the demo server keeps, all of it in memory: mailboxes, their messages, Sieve scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::time;

/// Octets of all messages together, each counted with its overhead.
const MAX_TOTAL: usize = 64 * 1024 * 1024;
/// A message's cost beside its text, so that many tiny ones are bounded as well.
const OVERHEAD: usize = 1024;
const MAX_MAILBOXES: usize = 256;
const MAX_NAME: usize = 255;
const MAX_KEYWORDS: usize = 32;
const MAX_KEYWORD: usize = 64;

/// Separates the levels of a mailbox name.
pub(super) const DELIMITER: char = '/';

/// All that the demo server keeps. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

/// The demo server has no room for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// A store with nothing but the welcome message in its inbox.
    #[must_use]
    pub fn new() -> Self {
        let now = time::now();
        let mut state = State {
            mailboxes: BTreeMap::new(),
            subscribed: BTreeSet::from(["INBOX".to_owned()]),
            scripts: BTreeMap::new(),
            active: None,
            version: 0,
            // RFC 3501 §2.3.1.1: larger than in any earlier life; the clock sees to that.
            next_validity: u32::try_from(now).unwrap_or(1),
        };
        state.add_mailbox("INBOX");
        let welcome = welcome(now);
        let added = state.append("INBOX", Vec::new(), now, welcome.into_bytes().into());
        debug_assert!(added.is_ok());
        let changes = watch::Sender::new(state.version);
        Self(Arc::new(Shared { state: Mutex::new(state), changes }))
    }

    /// Puts a message into the inbox.
    ///
    /// # Errors
    /// [`Full`] when the store cannot take that much; nothing has changed then.
    pub fn deliver(&self, message: Vec<u8>) -> Result<(), Full> {
        let now = time::now();
        let added = self.with(|state| state.append("INBOX", Vec::new(), now, message.into()));
        added.map(drop).map_err(|_| Full)
    }

    /// Reads or changes the state; whoever waits hears of changes afterwards.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        // A panic elsewhere leaves at worst half a command done, which is fine for a demo.
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut state);
        let version = state.version;
        drop(state);
        self.0.changes.send_if_modified(|seen| {
            let newer = version > *seen;
            *seen = version.max(*seen);
            newer
        });
        result
    }

    /// Becomes ready when messages have come, gone or changed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }
}

/// Why the store did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Exists,
    Full,
    HasChildren,
    Invalid,
    Missing,
}

/// What the lock guards.
pub(super) struct State {
    pub(super) mailboxes: BTreeMap<String, Mailbox>,
    pub(super) subscribed: BTreeSet<String>,
    pub(super) scripts: BTreeMap<String, Vec<u8>>,
    /// The name of the active script.
    pub(super) active: Option<String>,
    /// Grows with every change of a mailbox or its messages.
    version: u64,
    next_validity: u32,
}

/// One mailbox.
pub(super) struct Mailbox {
    pub(super) validity: u32,
    pub(super) uid_next: u32,
    /// The first UID that no session has been told about (`\Recent`, RFC 3501 §2.3.2).
    pub(super) first_recent: u32,
    /// In the order of their UIDs.
    pub(super) messages: Vec<Message>,
}

/// One message.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) uid: u32,
    pub(super) flags: Vec<String>,
    /// The internal date, in seconds since 1970.
    pub(super) date: i64,
    pub(super) bytes: Arc<[u8]>,
    /// The state's version when the flags last changed.
    pub(super) version: u64,
}

impl Message {
    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own.eq_ignore_ascii_case(flag))
    }
}

impl Mailbox {
    pub(super) fn message(&self, uid: u32) -> Option<&Message> {
        let index = self.messages.binary_search_by_key(&uid, |m| m.uid).ok()?;
        self.messages.get(index)
    }
}

impl State {
    /// Adds a message and gives its mailbox's UIDVALIDITY and its UID.
    pub(super) fn append(
        &mut self,
        name: &str,
        mut flags: Vec<String>,
        date: i64,
        bytes: Arc<[u8]>,
    ) -> Result<(u32, u32), Refused> {
        let stored = self.mailboxes.values().flat_map(|mailbox| &mailbox.messages);
        let used: usize = stored.map(|m| m.bytes.len() + OVERHEAD).sum();
        if used + bytes.len() + OVERHEAD > MAX_TOTAL {
            return Err(Refused::Full);
        }
        limit_keywords(&mut flags);
        let mailbox = self.mailboxes.get_mut(name).ok_or(Refused::Missing)?;
        let uid = mailbox.uid_next;
        mailbox.uid_next = uid.checked_add(1).ok_or(Refused::Full)?;
        self.version += 1;
        mailbox.messages.push(Message { uid, flags, date, bytes, version: self.version });
        Ok((mailbox.validity, uid))
    }

    /// Changes a message's flags, and says whether that made a difference.
    pub(super) fn change(
        &mut self,
        name: &str,
        uid: u32,
        edit: impl FnOnce(&mut Vec<String>),
    ) -> bool {
        let Some(mailbox) = self.mailboxes.get_mut(name) else { return false };
        let Ok(index) = mailbox.messages.binary_search_by_key(&uid, |m| m.uid) else {
            return false;
        };
        let message = &mut mailbox.messages[index];
        let before = message.flags.clone();
        edit(&mut message.flags);
        limit_keywords(&mut message.flags);
        let changed = before != message.flags;
        if changed {
            self.version += 1;
            message.version = self.version;
        }
        changed
    }

    /// Removes the messages of which `doomed` is true.
    pub(super) fn remove(&mut self, name: &str, doomed: impl Fn(&Message) -> bool) {
        if let Some(mailbox) = self.mailboxes.get_mut(name) {
            mailbox.messages.retain(|message| !doomed(message));
            self.version += 1;
        }
    }

    /// Makes a mailbox, and those above it (RFC 3501 §6.3.3).
    pub(super) fn create(&mut self, name: &str) -> Result<(), Refused> {
        let well_formed = name.bytes().all(|b| matches!(b, b' '..=b'~') && !b"*%".contains(&b))
            && name.split(DELIMITER).all(|level| !level.is_empty());
        if !well_formed || name.len() > MAX_NAME {
            return Err(Refused::Invalid);
        }
        if self.mailboxes.contains_key(name) {
            return Err(Refused::Exists);
        }
        let ends = name.match_indices(DELIMITER).map(|(at, _)| at).chain([name.len()]);
        for level in ends.map(|end| &name[..end]) {
            if self.mailboxes.len() >= MAX_MAILBOXES {
                return Err(Refused::Full);
            }
            if !self.mailboxes.contains_key(level) {
                self.add_mailbox(level);
            }
        }
        Ok(())
    }

    /// Removes a mailbox and its messages. RFC 9051 §6.3.5: one with children may be refused.
    pub(super) fn delete(&mut self, name: &str) -> Result<(), Refused> {
        if name == "INBOX" {
            return Err(Refused::Invalid);
        }
        if self.has_children(name) {
            return Err(Refused::HasChildren);
        }
        self.mailboxes.remove(name).ok_or(Refused::Missing)?;
        self.version += 1;
        Ok(())
    }

    /// Moves a mailbox and its children. RFC 3501 §6.3.5: INBOX moves its messages and stays.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), Refused> {
        let below = format!("{from}{DELIMITER}");
        if !self.mailboxes.contains_key(from) {
            return Err(Refused::Missing);
        }
        if to.starts_with(&below) && from != "INBOX" {
            return Err(Refused::Invalid);
        }
        self.create(to)?;
        let moves = |name: &&String| *name == from || from != "INBOX" && name.starts_with(&below);
        let names: Vec<_> = self.mailboxes.keys().filter(moves).cloned().collect();
        for name in names {
            if let Some(mailbox) = self.mailboxes.remove(&name) {
                // `to` is new, so nothing below it can be in the way.
                self.mailboxes.insert(format!("{to}{}", &name[from.len()..]), mailbox);
            }
        }
        if from == "INBOX" {
            self.add_mailbox(from);
        }
        self.version += 1;
        Ok(())
    }

    pub(super) fn has_children(&self, name: &str) -> bool {
        let below = format!("{name}{DELIMITER}");
        self.mailboxes.keys().any(|other| other.starts_with(&below))
    }

    fn add_mailbox(&mut self, name: &str) {
        let validity = self.next_validity;
        self.next_validity = validity.wrapping_add(1).max(1);
        let mailbox = Mailbox { validity, uid_next: 1, first_recent: 1, messages: Vec::new() };
        self.mailboxes.insert(name.to_owned(), mailbox);
    }
}

fn limit_keywords(flags: &mut Vec<String>) {
    flags.retain(|flag| flag.len() <= MAX_KEYWORD);
    flags.truncate(MAX_KEYWORDS);
}

fn welcome(now: i64) -> String {
    let text = "\
From: Vestibule <vestibule@localhost>
To: Demo <demo@localhost>
Subject: Welcome to the vestibule
Message-ID: <welcome@localhost>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

Hello,

if you can read this, then Vestibule works on your machine. The small mail
server that holds this message speaks no TLS at all. In front of it, Vestibule

  * took your connection on a port that mail programs know,
  * picked the certificate for the name that your program asked for,
  * did the TLS, either from the first byte or after STARTTLS,
  * told the server your address and your TLS version in a PROXY v2 header
    (the answer to your IMAP or POP3 login repeats them),
  * and passed your login on without keeping any of it.

Your own mail server can stand where this one does. Two lines are enough:

    certificates: [/etc/letsencrypt/live]
    backend: 10.0.0.5

Nothing here touches the disk: when the demo ends, this mailbox is gone.
Until then it is yours. File mail, delete this message, upload a Sieve script.

Vestibule
";
    // RFC 5322 §2.1: lines end with CRLF.
    format!("Date: {}\n{text}", time::rfc5322(now)).replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_bounded_and_says_so() {
        let store = Store::new();
        let mut waiting = store.changes();
        assert_eq!(store.deliver(vec![b'x'; MAX_TOTAL]), Err(Full));
        assert!(!waiting.has_changed().unwrap());
        assert_eq!(store.deliver(vec![b'x'; MAX_TOTAL / 2]), Ok(()));
        assert!(waiting.has_changed().unwrap());
        waiting.mark_unchanged();
        assert_eq!(store.deliver(vec![b'x'; MAX_TOTAL / 2]), Err(Full));
        store.with(|state| state.remove("INBOX", |message| message.uid == 2));
        assert_eq!(store.deliver(vec![b'x'; MAX_TOTAL / 2]), Ok(()));
        store.with(|state| assert_eq!(state.mailboxes["INBOX"].uid_next, 4));
    }

    #[test]
    fn mailboxes_keep_their_tree() {
        Store::new().with(|state| {
            assert_eq!(state.create("a/b/c"), Ok(()));
            assert_eq!(state.create("a/b"), Err(Refused::Exists));
            assert_eq!(state.create("a//b"), Err(Refused::Invalid));
            assert_eq!(state.delete("a/b"), Err(Refused::HasChildren));
            assert_eq!(state.rename("a/b", "a/b/d"), Err(Refused::Invalid));
            assert_eq!(state.rename("a/b", "x/y"), Ok(()));
            assert_eq!(state.rename("INBOX", "old"), Ok(()));
            let names: Vec<_> = state.mailboxes.keys().map(String::as_str).collect();
            assert_eq!(names, ["INBOX", "a", "old", "x", "x/y", "x/y/c"]);
            assert_eq!(state.mailboxes["INBOX"].messages.len(), 0);
            assert_eq!(state.mailboxes["old"].messages.len(), 1);
            for n in state.mailboxes.len()..MAX_MAILBOXES {
                assert_eq!(state.create(&n.to_string()), Ok(()));
            }
            assert_eq!(state.create("last"), Err(Refused::Full));
        });
    }
}
