//! ManageSieve (RFC 5804). Scripts are kept, not run.

use super::lexer::{Lexer, Malformed, quote};
use super::line::Literals;
use super::proxy::Peer;
use super::sasl;
use super::session::{Flow, Session};
use super::store::{State, Store};

const MAX_SCRIPT: usize = 64 * 1024;
const MAX_SCRIPTS: usize = 16;
const MAX_NAME: usize = 128;
const EXTENSIONS: &str = "body copy envelope fileinto imap4flags regex reject variables vacation";

/// One ManageSieve session.
pub(super) struct Sieve {
    store: Store,
    peer: Peer,
    logged_in: bool,
    /// The SASL response is awaited.
    responding: bool,
}

impl Sieve {
    pub(super) fn new(store: Store, peer: Peer) -> Self {
        Self { store, peer, logged_in: false, responding: false }
    }

    fn put_capabilities(&self, out: &mut Vec<u8>) {
        // RFC 5804 §1.7.
        let sasl = if self.logged_in { "" } else { "\"SASL\" \"PLAIN\"\r\n" };
        let owner = if self.logged_in { "\"OWNER\" \"demo\"\r\n" } else { "" };
        put(
            out,
            &format!("\"IMPLEMENTATION\" \"Vestibule demo\"\r\n\"SIEVE\" \"{EXTENSIONS}\"\r\n"),
        );
        put(out, &format!("{sasl}{owner}\"VERSION\" \"1.0\"\r\n"));
    }

    fn run(&mut self, line: &mut Lexer<'_>, out: &mut Vec<u8>) -> Result<String, String> {
        if std::mem::take(&mut self.responding) {
            return self.respond(line);
        }
        let verb = line.atom().map_err(bad)?.to_ascii_uppercase();
        match &*verb {
            "CAPABILITY" => {
                line.end().map_err(bad)?;
                self.put_capabilities(out);
                Ok("OK".to_owned())
            }
            "NOOP" => match line.eat(b' ') {
                // RFC 5804 §2.13: the text comes back in TAG.
                true => Ok(format!("OK (TAG {}) \"Done\"", quote(&text(line)?))),
                false => Ok("OK \"Done\"".to_owned()),
            },
            "AUTHENTICATE" if self.logged_in => Err("NO \"Already logged in\"".to_owned()),
            "AUTHENTICATE" => {
                line.space().map_err(bad)?;
                if !text(line)?.eq_ignore_ascii_case("PLAIN") {
                    return Err("NO \"PLAIN is the only mechanism\"".to_owned());
                }
                if line.eat(b' ') {
                    return self.respond(line);
                }
                line.end().map_err(bad)?;
                // An empty challenge; no OK or NO yet.
                self.responding = true;
                Ok("\"\"".to_owned())
            }
            _ if !self.logged_in => Err("NO \"Log in first, as demo\"".to_owned()),
            _ => self.store.with(|state| manage(state, &verb, line, out)),
        }
    }

    fn respond(&mut self, line: &mut Lexer<'_>) -> Result<String, String> {
        let response = line.string().map_err(bad)?;
        line.end().map_err(bad)?;
        self.logged_in = sasl::plain(&response);
        match self.logged_in {
            true => Ok(format!("OK \"Welcome. Vestibule says that you are {}\"", self.peer)),
            false => Err("NO \"User and password are both demo\"".to_owned()),
        }
    }
}

impl Session for Sieve {
    const LITERALS: Literals = Literals::Sent;

    fn greet(&mut self, out: &mut Vec<u8>) {
        self.put_capabilities(out);
        put(out, "OK \"Vestibule demo server ready\"\r\n");
    }

    fn command(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Flow {
        let mut line = Lexer::new(frame);
        if line.rest().eq_ignore_ascii_case(b"LOGOUT") && !self.responding {
            put(out, "OK \"Bye\"\r\n");
            return Flow::End;
        }
        let (Ok(reply) | Err(reply)) = self.run(&mut line, out);
        put(out, &reply);
        put(out, "\r\n");
        Flow::Go
    }

    fn refuse(&mut self, _frame: &[u8], _closing: bool, out: &mut Vec<u8>) {
        put(out, "BYE \"Too much for a demo\"\r\n");
    }

    fn literal_limit(&self) -> usize {
        // A script may be too large by some and still be refused politely.
        if self.logged_in { 4 * MAX_SCRIPT } else { 4096 }
    }
}

/// The commands on scripts (RFC 5804 §2.5 to §2.12).
fn manage(
    state: &mut State,
    verb: &str,
    line: &mut Lexer<'_>,
    out: &mut Vec<u8>,
) -> Result<String, String> {
    if verb == "LISTSCRIPTS" {
        line.end().map_err(bad)?;
        for name in state.scripts.keys() {
            let active = if state.active.as_ref() == Some(name) { " ACTIVE" } else { "" };
            put(out, &format!("{}{active}\r\n", quote(name)));
        }
        return Ok("OK".to_owned());
    }
    line.space().map_err(bad)?;
    let missing = || "NO (NONEXISTENT) \"There is no script of that name\"".to_owned();
    if verb == "CHECKSCRIPT" {
        let script = line.string().map_err(bad)?;
        line.end().map_err(bad)?;
        check(&script).map_err(wrong)?;
        return Ok("OK".to_owned());
    }
    let name = text(line)?;
    let exists = state.scripts.contains_key(&name);
    match verb {
        "PUTSCRIPT" => {
            line.space().map_err(bad)?;
            let script = line.string().map_err(bad)?;
            line.end().map_err(bad)?;
            room(state, &name, script.len())?;
            check(&script).map_err(wrong)?;
            state.scripts.insert(name, script.into_owned());
        }
        "HAVESPACE" => {
            line.space().map_err(bad)?;
            let size = line.number().map_err(bad)?;
            line.end().map_err(bad)?;
            room(state, &name, usize::try_from(size).unwrap_or(usize::MAX))?;
        }
        "SETACTIVE" => {
            line.end().map_err(bad)?;
            // RFC 5804 §2.8: the empty name deactivates.
            if !name.is_empty() && !exists {
                return Err(missing());
            }
            state.active = Some(name).filter(|name| !name.is_empty());
        }
        "GETSCRIPT" => {
            line.end().map_err(bad)?;
            let script = state.scripts.get(&name).ok_or_else(missing)?;
            put(out, &format!("{{{}}}\r\n", script.len()));
            out.extend_from_slice(script);
            put(out, "\r\n");
        }
        "DELETESCRIPT" => {
            line.end().map_err(bad)?;
            if state.active.as_ref() == Some(&name) {
                return Err("NO (ACTIVE) \"The active script stays\"".to_owned());
            }
            state.scripts.remove(&name).ok_or_else(missing)?;
        }
        "RENAMESCRIPT" => {
            line.space().map_err(bad)?;
            let to = text(line)?;
            line.end().map_err(bad)?;
            if state.scripts.contains_key(&to) {
                return Err("NO (ALREADYEXISTS) \"There is one of that name\"".to_owned());
            }
            well_named(&to)?;
            let script = state.scripts.remove(&name).ok_or_else(missing)?;
            if state.active.as_ref() == Some(&name) {
                state.active = Some(to.clone());
            }
            state.scripts.insert(to, script);
        }
        _ => return Err("NO \"Unknown command\"".to_owned()),
    }
    Ok("OK".to_owned())
}

fn room(state: &State, name: &str, size: usize) -> Result<(), String> {
    well_named(name)?;
    if size > MAX_SCRIPT {
        return Err("NO (QUOTA/MAXSIZE) \"Too large for a demo\"".to_owned());
    }
    if !state.scripts.contains_key(name) && state.scripts.len() >= MAX_SCRIPTS {
        return Err("NO (QUOTA/MAXSCRIPTS) \"Too many for a demo\"".to_owned());
    }
    Ok(())
}

/// RFC 5804 §1.6: no control characters, and at least 128 characters are allowed.
fn well_named(name: &str) -> Result<(), String> {
    let fine = !name.is_empty()
        && name.chars().count() <= MAX_NAME
        && !name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
    if fine { Ok(()) } else { Err("NO \"Not with this name\"".to_owned()) }
}

/// A light look at a script: what is opened is closed, and the last command is ended. The error
/// says in which line, and what.
fn check(script: &[u8]) -> Result<(), (usize, &'static str)> {
    let script = str::from_utf8(script).map_err(|_| (1, "the script is not UTF-8"))?;
    let (mut open, mut last) = (Vec::new(), ';');
    let mut rest = script.trim_start();
    while let Some(c) = rest.chars().next() {
        let line = script[..script.len() - rest.len()].matches('\n').count() + 1;
        let comment = c == '#' || rest.starts_with("/*");
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c));
        let length = match c {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '/' if comment => rest.find("*/").ok_or((line, "a comment does not end"))? + 2,
            '"' => quoted(rest).ok_or((line, "a string does not end"))?,
            _ if multiline_starts(rest) => {
                // RFC 5228 §2.4.2: up to a line that is a lone dot.
                let ends = ["\n.\r\n", "\n.\n"].map(|e| rest.find(e).map(|at| at + e.len()));
                let end = ends.into_iter().flatten().min();
                end.ok_or((line, "a text: block does not end"))?
            }
            c => word.unwrap_or(rest.len()).max(c.len_utf8()),
        };
        match (c, open.last()) {
            ('{' | '[' | '(', _) => open.push(c),
            ('}', Some('{')) | (']', Some('[')) | (')', Some('(')) => drop(open.pop()),
            ('}' | ']' | ')', _) => return Err((line, "a bracket closes what is not open")),
            _ => {}
        }
        last = if comment { last } else { c };
        rest = rest[length..].trim_start();
    }
    let lines = script.lines().count().max(1);
    match last {
        _ if !open.is_empty() => Err((lines, "a bracket is not closed")),
        ';' | '}' => Ok(()),
        _ => Err((lines, "the last command has no end")),
    }
}

fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    let mut bytes = text.bytes().enumerate().skip(1);
    let (end, _) = bytes.find(|(_, b)| {
        let ends = *b == b'"' && !escaped;
        escaped = *b == b'\\' && !escaped;
        ends
    })?;
    Some(end + 1)
}

fn multiline_starts(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    let after = line.split_at_checked(5).filter(|(word, _)| word.eq_ignore_ascii_case("text:"));
    after.is_some_and(|(_, after)| after.trim().is_empty() || after.trim().starts_with('#'))
}

fn text(line: &mut Lexer<'_>) -> Result<String, String> {
    let text = line.string().map_err(bad)?.into_owned();
    String::from_utf8(text).ok().filter(|text| !text.contains(['\r', '\n'])).ok_or(bad(Malformed))
}

fn bad(_: Malformed) -> String {
    "NO \"That is not how this command is written\"".to_owned()
}

fn wrong((line, what): (usize, &str)) -> String {
    format!("NO \"Line {line}: {what}\"")
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(sieve: &mut Sieve, command: &str) -> String {
        let mut out = Vec::new();
        let _ = sieve.command(format!("{command}\r\n").as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn scripts_are_kept_after_login() {
        let mut sieve = Sieve::new(Store::new(), Peer { address: None, tls: None });
        for (command, reply) in [
            ("LISTSCRIPTS", "NO "),
            ("AUTHENTICATE \"PLAIN\" \"cm9vdA==\"", "NO "),
            ("AUTHENTICATE \"PLAIN\"", "\"\"\r\n"),
            ("{16+}\r\nAGRlbW8AZGVtbw==", "OK "),
            ("HAVESPACE \"a\" 70000", "NO (QUOTA/MAXSIZE) "),
            ("PUTSCRIPT \"a\" {5+}\r\nkeep;", "OK\r\n"),
            ("PUTSCRIPT \"a\" \"keep\"", "NO \"Line 1: "),
            ("SETACTIVE \"b\"", "NO (NONEXISTENT) "),
            ("SETACTIVE \"a\"", "OK\r\n"),
            ("DELETESCRIPT \"a\"", "NO (ACTIVE) "),
            ("RENAMESCRIPT \"a\" \"b \\\"\"", "OK\r\n"),
            ("LISTSCRIPTS", "\"b \\\"\" ACTIVE\r\nOK\r\n"),
            ("GETSCRIPT \"b \\\"\"", "{5}\r\nkeep;\r\nOK\r\n"),
            ("NOOP \"now\"", "OK (TAG \"now\") "),
        ] {
            let answer = say(&mut sieve, command);
            assert!(answer.starts_with(reply), "{command}: {answer}");
        }
    }

    #[test]
    fn a_light_look_sees_what_is_open() {
        for fine in [
            "",
            "# only }\r\n",
            "if header \"a\" [\"b }\", \"\\\"\"] { stop; /* { */ }",
            "vacation text: # c\r\n } \r\n..\r\n.\r\n;",
        ] {
            assert_eq!(check(fine.as_bytes()), Ok(()), "{fine}");
        }
        for (wrong, line) in [
            ("keep", 1),
            ("keep;\nif true {\n", 2),
            ("keep;\n}", 2),
            ("if (true] {}", 1),
            ("\nredirect \"x;", 2),
            ("/* keep;", 1),
            ("vacation text:\n..\n", 1),
        ] {
            assert_eq!(check(wrong.as_bytes()).unwrap_err().0, line, "{wrong}");
        }
    }
}
