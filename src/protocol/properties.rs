//! What holds for every client, however hostile, in front of a backend that is easily confused.
//!
//! The backends here are models of the worst that is met with: they take blanks for spaces and ignore
//! them in front, end lines at a bare LF, stop reading the arguments of a command that they refuse,
//! and then take what follows for commands. Each writes down what it took for a command.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    Offer, Side, imap, pop3, sieve,
    transcript::{After, Wire},
};

/// What a client's octets are put together from: all that has a meaning to somebody.
const PIECES: &[&str] = &[
    "a ",
    "b ",
    "A\t",
    "* ",
    "+ ",
    "LOGIN ",
    "login ",
    "AUTHENTICATE ",
    "AUTHENTICATE PLAIN",
    "AUTH PLAIN",
    "AUTH",
    "AUTHENTICATE \"PLAIN\"",
    "CAPABILITY",
    "CAPA",
    "NOOP",
    "NOOP ",
    "FOO ",
    "USER ",
    "PASS ",
    "alice ",
    "secret",
    "ID ",
    "ID\t",
    "(",
    ")",
    "\"name\" ",
    "\"x-originating-ip\" ",
    "\"X-Session-ID\" ",
    "NIL",
    "STARTTLS",
    "STLS",
    "XCLIENT ADDR=1",
    "XCLIENT\tADDR=1",
    "xclient addr=1",
    "COMPRESS DEFLATE",
    "\"",
    "\\",
    " ",
    "  ",
    "\t",
    "*",
    "=",
    "QUJD",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\u{e9}",
    "~",
    "x",
    "LOGOUT",
    "QUIT",
    "{",
    "}",
    "{+}",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    // A literal with a command in it, of the length that was announced, or almost.
    let inside = select(
        &["x ID (\"x-originating-ip\" \"1\")", "XCLIENT ADDR=1", "STARTTLS", "alice", ""][..],
    );
    let literal =
        (inside, any::<bool>(), any::<bool>(), 0..3_usize).prop_map(|(text, waits, ends, more)| {
            let end = if ends { "\r\n" } else { "" };
            let (text, plus) = (format!("{text}{end}"), if waits { "" } else { "+" });
            format!("{{{}{plus}}}\r\n{text}", text.len() + more).into_bytes()
        });
    prop_oneof![4 => select(PIECES).prop_map(|p| p.as_bytes().to_vec()), 1 => literal]
}

fn client() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..30).prop_map(|pieces| pieces.concat())
}

/// How many octets a backend took, and what it said.
struct Said(usize, String);

/// A backend that hears octets, answers, and writes down what it took for commands.
struct Model {
    speak: fn(&mut Self, &[u8]) -> Option<Said>,
    /// Its moods: whether it consents, one for each question.
    moods: Vec<bool>,
    asked: usize,
    mode: Mode,
    inbox: Vec<u8>,
    commands: Vec<Vec<u8>>,
}

#[derive(Clone)]
enum Mode {
    Command,
    /// A line of a SASL exchange, of the command with this tag.
    Credential(String),
    /// So many octets, and then the rest of the command, which has had so many arguments.
    Literal {
        left: usize,
        tag: String,
        had: usize,
    },
    Rest {
        tag: String,
        had: usize,
    },
}

impl Model {
    fn new(speak: fn(&mut Self, &[u8]) -> Option<Said>, moods: &[bool]) -> Self {
        let (inbox, commands) = (Vec::new(), Vec::new());
        Self { speak, moods: moods.to_vec(), asked: 0, mode: Mode::Command, inbox, commands }
    }

    fn consents(&mut self) -> bool {
        self.asked += 1;
        self.moods.get(self.asked - 1).copied().unwrap_or_default()
    }

    fn hears(&mut self, octets: &[u8]) -> Vec<u8> {
        self.inbox.extend_from_slice(octets);
        let mut said = Vec::new();
        loop {
            let input = std::mem::take(&mut self.inbox);
            let Some(Said(taken, answer)) = (self.speak)(self, &input) else {
                self.inbox = input;
                return said;
            };
            self.inbox = input[taken..].to_vec();
            said.extend_from_slice(answer.as_bytes());
        }
    }

    /// Takes a literal's octets, if that is what it is waiting for.
    fn literal(&mut self, input: &[u8]) -> Option<Option<Said>> {
        let Mode::Literal { left, tag, had } = self.mode.clone() else { return None };
        if input.len() < left {
            return Some(None);
        }
        self.mode = Mode::Rest { tag, had };
        Some(Some(Said(left, String::new())))
    }
}

/// A line without its end, and its octets with it.
fn line(input: &[u8]) -> Option<(String, usize)> {
    let end = input.iter().position(|b| *b == b'\n')?;
    let text = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    // Octets stay octets.
    Some((text.iter().map(|b| char::from(*b)).collect(), end + 1))
}

/// The arguments of a LOGIN or AUTHENTICATE one by one, up to `most`: how many there were, and the
/// literal that stands where one is wanted. `None`: a broken one, where reading stops.
fn arguments(text: &str, most: usize) -> Option<(usize, Option<(usize, bool)>)> {
    let (mut rest, mut count) = (text.trim_start(), 0);
    while !rest.is_empty() && count < most {
        if let Some(number) = rest.strip_prefix('{') {
            let number = number.strip_suffix('}')?;
            let waits = !number.ends_with('+');
            return Some((count, Some((number.trim_end_matches('+').parse().ok()?, waits))));
        }
        let end = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut escaped = false;
                let is_end = |c: char| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                };
                quoted.find(is_end)? + 2
            }
            None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        if !rest.starts_with('"') && rest[..end].contains(['{', '"', '(', '%']) {
            return None;
        }
        count += 1;
        rest = rest[end..].trim_start();
    }
    Some((count, None))
}

fn imap_backend(model: &mut Model, input: &[u8]) -> Option<Said> {
    if let Some(literal) = model.literal(input) {
        return literal;
    }
    let (text, taken) = line(input)?;
    let (tag, had, text) = match std::mem::replace(&mut model.mode, Mode::Command) {
        Mode::Credential(tag) => {
            let again = model.consents();
            if again {
                model.mode = Mode::Credential(tag.clone());
            }
            return Some(Said(
                taken,
                if again { "+ \r\n".to_owned() } else { format!("{tag} NO no\r\n") },
            ));
        }
        Mode::Rest { tag, had } => (tag, had, text),
        _ => {
            model.commands.push(text.bytes().collect());
            let mut words = text.split_whitespace();
            let (tag, verb) =
                (words.next().unwrap_or("*").to_owned(), words.next().unwrap_or_default());
            let rest = words.collect::<Vec<_>>().join(" ");
            match verb.to_ascii_uppercase().as_str() {
                "LOGIN" => (tag, 0, rest),
                "AUTHENTICATE" if !rest.contains(' ') && model.consents() => {
                    model.mode = Mode::Credential(tag);
                    return Some(Said(taken, "+ \r\n".to_owned()));
                }
                "CAPABILITY" => {
                    return Some(Said(
                        taken,
                        format!("* CAPABILITY IMAP4rev1 LITERAL+\r\n{tag} OK\r\n"),
                    ));
                }
                _ => return Some(Said(taken, format!("{tag} BAD no\r\n"))),
            }
        }
    };
    match arguments(&text, 2 - had) {
        Some((more, Some((left, waits)))) if !waits || model.consents() => {
            model.mode = Mode::Literal { left, tag, had: had + more + 1 };
            Some(Said(taken, if waits { "+ go\r\n" } else { "" }.to_owned()))
        }
        _ => Some(Said(taken, format!("{tag} NO no\r\n"))),
    }
}

fn pop3_backend(model: &mut Model, input: &[u8]) -> Option<Said> {
    let (text, taken) = line(input)?;
    let is_credential = matches!(model.mode, Mode::Credential(_));
    model.mode = Mode::Command;
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
    if !is_credential {
        model.commands.push(text.bytes().collect());
    }
    let answer = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["AUTH"] if !is_credential && model.consents() => "+OK\r\nPLAIN\r\n.\r\n",
        ["CAPA"] if !is_credential => "+OK\r\nUSER\r\n..\r\n.\r\n",
        ["AUTH", _] if is_credential || model.consents() => {
            model.mode = Mode::Credential(String::new());
            "+ \r\n"
        }
        _ if is_credential && model.consents() => {
            model.mode = Mode::Credential(String::new());
            "+ \r\n"
        }
        ["USER", ..] => "+OK\r\n",
        _ => "-ERR no\r\n",
    };
    Some(Said(taken, answer.to_owned()))
}

fn sieve_backend(model: &mut Model, input: &[u8]) -> Option<Said> {
    if let Some(literal) = model.literal(input) {
        return literal;
    }
    let (text, taken) = line(input)?;
    let no = Some(Said(taken, "NO \"no\"\r\n".to_owned()));
    let (had, text, is_credential) = match std::mem::replace(&mut model.mode, Mode::Command) {
        Mode::Rest { had, .. } => (had, text, had == 2),
        Mode::Credential(_) => (1, text, true),
        _ => {
            model.commands.push(text.bytes().collect());
            let text = text.trim_start();
            let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            match verb.to_ascii_uppercase().as_str() {
                "CAPABILITY" => {
                    return Some(Said(taken, "\"SASL\" \"PLAIN\"\r\nOK\r\n".to_owned()));
                }
                "AUTHENTICATE" => (0, rest.to_owned(), false),
                _ => return no,
            }
        }
    };
    match arguments(&text, 2 - had) {
        Some((more, Some((left, _)))) => {
            model.mode = Mode::Literal { left, tag: String::new(), had: had + more + 1 };
            Some(Said(taken, String::new()))
        }
        Some((1, None)) if (had == 0 || is_credential) && model.consents() => {
            model.mode = Mode::Credential(String::new());
            Some(Said(taken, "\"\"\r\n".to_owned()))
        }
        _ => no,
    }
}

/// A session: what each side has received in the end, and what the backend took for commands.
struct Session {
    to_client: Vec<u8>,
    to_backend: Vec<u8>,
    after: After,
    commands: Vec<Vec<u8>>,
}

fn session<F: super::Filter>(
    filter: F,
    mut backend: Model,
    octets: &[u8],
    cuts: &[usize],
) -> Session {
    let mut wire = Wire::new(filter);
    let (mut to_client, mut to_backend) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < octets.len() {
        let size = cuts.get(at % cuts.len().max(1)).copied().unwrap_or(octets.len());
        let part = &octets[at..(at + size).min(octets.len())];
        at += part.len();
        wire.arrives(Side::Client, part);
        loop {
            to_client.append(&mut wire.out.to_client);
            let heard = std::mem::take(&mut wire.out.to_backend);
            if heard.is_empty() || wire.after != After::Filtered {
                to_backend.extend_from_slice(&heard);
                break;
            }
            to_backend.extend_from_slice(&heard);
            wire.arrives(Side::Backend, &backend.hears(&heard));
        }
    }
    Session { to_client, to_backend, after: wire.after, commands: backend.commands }
}

/// Nobody but the front speaks as the front, and every server reads the same line.
fn are_harmless(
    commands: &[Vec<u8>],
    forbidden: &[&str],
    octets: &[u8],
) -> Result<(), TestCaseError> {
    let is_tagged = forbidden.contains(&"ID");
    for command in commands {
        let text = String::from_utf8_lossy(command).to_ascii_uppercase();
        let verb = text.split_whitespace().nth(usize::from(is_tagged)).unwrap_or_default();
        let is_bad = forbidden.contains(&verb) && (verb != "ID" || text.contains("\"X-"));
        let client = octets.escape_ascii();
        prop_assert!(!is_bad, "the backend was told {text:?} after {client}");
        prop_assert!(!text.contains(['\r', '\0']), "it reads {text:?} in two ways after {client}");
    }
    Ok(())
}

fn imap_filter() -> imap::Filter {
    imap::Filter::new(Offer::TLS)
}

macro_rules! holds {
    ($room:ident, $filter:expr, $backend:ident, $forbidden:expr) => {
        mod $room {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn no_client_speaks_as_the_front(octets in client(), moods in vec(any::<bool>(), 20)) {
                    let run = session($filter, Model::new($backend, &moods), &octets, &[]);
                    are_harmless(&run.commands, $forbidden, &octets)?;
                }

                #[test]
                fn the_same_octets_cut_anywhere_give_the_same_session(
                    octets in client(),
                    moods in vec(any::<bool>(), 20),
                    cuts in vec(1..9_usize, 1..9),
                ) {
                    let whole = session($filter, Model::new($backend, &moods), &octets, &[]);
                    let cut = session($filter, Model::new($backend, &moods), &octets, &cuts);
                    let text = |octets: &[u8]| octets.escape_ascii().to_string();
                    let client = octets.escape_ascii();
                    prop_assert_eq!(text(&whole.to_backend), text(&cut.to_backend), "{}", client);
                    prop_assert_eq!(text(&whole.to_client), text(&cut.to_client), "{}", client);
                    prop_assert_eq!(whole.after, cut.after);
                }
            }
        }
    };
}

holds!(of_imap, imap_filter(), imap_backend, &["COMPRESS", "ID", "STARTTLS", "XCLIENT"]);
holds!(of_pop3, pop3::Filter::new(Offer::TLS), pop3_backend, &["STLS", "XCLIENT"]);
holds!(of_sieve, sieve::Filter::new(Offer::TLS), sieve_backend, &["STARTTLS", "XCLIENT"]);
