//! IMAP4rev1 (RFC 3501) with the extensions that today's clients look for.

use super::lexer::{Lexer, Malformed};
use super::line::{Literals, MAX_LITERAL};
use super::proxy::Peer;
use super::sasl;
use super::session::{Flow, Session};
use super::store::{Refused, Store};
use view::View;

mod fetch;
mod flags;
mod mailboxes;
mod search;
mod section;
mod set;
mod structure;
mod view;

const BEFORE_LOGIN: &str = "IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN";
const AFTER_LOGIN: &str =
    "IMAP4rev1 LITERAL+ ID IDLE NAMESPACE CHILDREN UIDPLUS UNSELECT MOVE STATUS=SIZE";
/// What a stranger may send in literals: a name and a password.
const STRANGERS_LITERAL: usize = 4096;

/// One IMAP session.
pub(super) struct Imap {
    store: Store,
    peer: Peer,
    logged_in: bool,
    selected: Option<View>,
    waiting: Waiting,
}

/// What the next line is, if not a command.
enum Waiting {
    Command,
    /// The end of the IDLE with this tag (RFC 2177).
    Done(String),
    /// The SASL response for the AUTHENTICATE with this tag.
    Response(String),
}

/// How a command went well.
enum Done {
    Bye,
    /// The tagged OK comes later.
    Later,
    Ok(String),
}

/// Why a command did not do it.
enum Refusal {
    Bad(&'static str),
    No(&'static str),
}

impl Imap {
    pub(super) fn new(store: Store, peer: Peer) -> Self {
        Self { store, peer, logged_in: false, selected: None, waiting: Waiting::Command }
    }

    fn run(&mut self, tag: &str, line: &mut Lexer<'_>, out: &mut Vec<u8>) -> Result<Done, Refusal> {
        let mut verb = line.atom()?.to_ascii_uppercase();
        let by_uid = verb == "UID";
        if by_uid {
            line.space()?;
            verb = line.atom()?.to_ascii_uppercase();
            if !["COPY", "EXPUNGE", "FETCH", "MOVE", "SEARCH", "STORE"].contains(&&*verb) {
                return Err(Refusal::Bad("Not a UID command"));
            }
        }
        match &*verb {
            "CAPABILITY" => {
                line.end()?;
                put(out, format!("* CAPABILITY {}\r\n", self.capabilities()));
                ok("Capabilities told")
            }
            "ID" => {
                // RFC 2971 §3.1; what the client says of itself changes nothing here.
                line.space()?;
                put(out, "* ID (\"name\" \"Vestibule demo\")\r\n");
                ok("Pleased to meet you")
            }
            "LOGOUT" => {
                line.end()?;
                put(out, "* BYE The demo server says goodbye\r\n");
                Ok(Done::Bye)
            }
            "NOOP" | "CHECK" => line.end().map_err(Refusal::from).and_then(|()| ok("Done")),
            "LOGIN" | "AUTHENTICATE" if self.logged_in => Err(Refusal::Bad("Already logged in")),
            "LOGIN" => {
                line.space()?;
                let user = line.astring()?;
                line.space()?;
                let password = line.astring()?;
                line.end()?;
                self.log_in(sasl::welcome(&user, &password))
            }
            "AUTHENTICATE" => self.authenticate(tag, line, out),
            _ if !self.logged_in => Err(Refusal::Bad("Log in first, as demo with password demo")),
            "IDLE" => {
                line.end()?;
                put(out, "+ idling\r\n");
                self.waiting = Waiting::Done(tag.to_owned());
                Ok(Done::Later)
            }
            "SELECT" | "EXAMINE" => self.select(line, verb == "EXAMINE", out),
            "FETCH" => self.fetch(line, by_uid, out),
            "SEARCH" => self.search(line, by_uid, out),
            "STORE" => self.store_flags(line, by_uid, out),
            "COPY" => self.copy(line, by_uid),
            "MOVE" => self.move_away(line, by_uid, out),
            "EXPUNGE" => self.expunge(line, by_uid),
            "CLOSE" | "UNSELECT" => self.close(line, verb == "CLOSE"),
            "APPEND" => mailboxes::append(&self.store, line),
            _ => self.store.with(|state| mailboxes::run(state, &verb, line, out)),
        }
    }

    fn authenticate(
        &mut self,
        tag: &str,
        line: &mut Lexer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Done, Refusal> {
        line.space()?;
        if !line.atom()?.eq_ignore_ascii_case("PLAIN") {
            return Err(Refusal::No("[CANNOT] PLAIN is the only mechanism"));
        }
        if line.eat(b' ') {
            // RFC 4959: the initial response.
            return self.log_in(sasl::plain(line.rest()));
        }
        line.end()?;
        put(out, "+ \r\n");
        self.waiting = Waiting::Response(tag.to_owned());
        Ok(Done::Later)
    }

    fn log_in(&mut self, welcome: bool) -> Result<Done, Refusal> {
        if !welcome {
            return Err(Refusal::No("[AUTHENTICATIONFAILED] User and password are both demo"));
        }
        self.logged_in = true;
        let (capabilities, peer) = (self.capabilities(), &self.peer);
        ok(format!("[CAPABILITY {capabilities}] Welcome. Vestibule says that you are {peer}"))
    }

    fn capabilities(&self) -> &'static str {
        if self.logged_in { AFTER_LOGIN } else { BEFORE_LOGIN }
    }

    /// Tells what changed in the selected mailbox.
    fn sync(&mut self, expunge: bool, out: &mut Vec<u8>) {
        if let Some(view) = &mut self.selected {
            self.store.with(|state| view.sync(state, expunge, out));
        }
    }
}

impl Session for Imap {
    const LITERALS: Literals = Literals::Prompted;

    fn greet(&mut self, out: &mut Vec<u8>) {
        put(out, format!("* OK [CAPABILITY {BEFORE_LOGIN}] Vestibule demo server ready\r\n"));
    }

    fn command(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Flow {
        let mut line = Lexer::new(frame);
        let (tag, result, may_expunge) =
            match std::mem::replace(&mut self.waiting, Waiting::Command) {
                Waiting::Command => {
                    let Some(tag) = tag(&mut line) else {
                        put(out, "* BAD A command begins with a tag\r\n");
                        return Flow::Go;
                    };
                    // RFC 3501 §7.4.1: no EXPUNGE while sequence numbers are being talked about.
                    let mut words = line.rest().split(|b| *b == b' ');
                    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
                    let numbers = matches!(&*verb, b"FETCH" | b"STORE" | b"SEARCH");
                    (tag.to_owned(), self.run(tag, &mut line, out), !numbers)
                }
                Waiting::Done(tag) if line.rest().eq_ignore_ascii_case(b"DONE") => {
                    (tag, ok("Idle no more"), true)
                }
                Waiting::Done(tag) => (tag, Err(Refusal::Bad("DONE was expected")), true),
                Waiting::Response(tag) if line.rest() == b"*" => {
                    (tag, Err(Refusal::Bad("Cancelled")), true)
                }
                Waiting::Response(tag) => (tag, self.log_in(sasl::plain(line.rest())), true),
            };
        if !matches!(result, Ok(Done::Bye | Done::Later)) {
            self.sync(may_expunge, out);
        }
        match result {
            Ok(Done::Ok(text)) => put(out, format!("{tag} OK {text}\r\n")),
            Ok(Done::Later) => {}
            Ok(Done::Bye) => {
                put(out, format!("{tag} OK Bye\r\n"));
                return Flow::End;
            }
            Err(Refusal::No(text)) => put(out, format!("{tag} NO {text}\r\n")),
            Err(Refusal::Bad(text)) => put(out, format!("{tag} BAD {text}\r\n")),
        }
        Flow::Go
    }

    fn refuse(&mut self, frame: &[u8], closing: bool, out: &mut Vec<u8>) {
        match tag(&mut Lexer::new(frame)) {
            // RFC 4469 §4.2 and RFC 7889: the reason has a name.
            Some(tag) if !closing => put(out, format!("{tag} NO [TOOBIG] Too much for a demo\r\n")),
            _ => put(out, "* BYE [TOOBIG] Too much for a demo\r\n"),
        }
    }

    fn literal_limit(&self) -> usize {
        if self.logged_in { MAX_LITERAL } else { STRANGERS_LITERAL }
    }

    fn idling(&self) -> bool {
        matches!(self.waiting, Waiting::Done(_))
    }

    fn wake(&mut self, out: &mut Vec<u8>) {
        self.sync(true, out);
    }
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Bad("That is not how this command is written")
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        // RFC 5530 names the reasons.
        Self::No(match refused {
            Refused::Exists => "[ALREADYEXISTS] There is one of that name",
            Refused::Full => "[OVERQUOTA] The demo server is full",
            Refused::HasChildren => "[HASCHILDREN] There are mailboxes below it",
            Refused::Invalid => "[CANNOT] Not with this name",
            Refused::Missing => "[NONEXISTENT] There is no such mailbox",
        })
    }
}

fn tag<'a>(line: &mut Lexer<'a>) -> Option<&'a str> {
    let tag = line.run(|b| b.is_ascii_graphic() && !b"(){%*\"\\+".contains(&b));
    (!tag.is_empty() && line.eat(b' ')).then_some(tag)
}

fn ok(text: impl Into<String>) -> Result<Done, Refusal> {
    Ok(Done::Ok(text.into()))
}

fn put(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    out.extend_from_slice(text.as_ref());
}

/// A string: quoted where the grammar allows it, else as a literal.
fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 1024 && text.iter().all(|b| matches!(b, b' '..=b'~')) {
        let escaped = text.iter().flat_map(|b| match b {
            b'"' | b'\\' => [Some(b'\\'), Some(*b)],
            _ => [None, Some(*b)],
        });
        out.push(b'"');
        out.extend(escaped.flatten());
        out.push(b'"');
    } else {
        put(out, format!("{{{}}}\r\n", text.len()));
        put(out, text);
    }
}

fn put_nstring(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text.as_bytes()),
        None => put(out, "NIL"),
    }
}

#[cfg(test)]
mod tests;
