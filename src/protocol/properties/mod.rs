//! What holds for every client, however hostile, in front of a backend that is easily confused.
//!
//! The backends here are models of the worst that is met with: they take blanks for spaces and ignore
//! them in front, end lines at a bare LF, stop reading the arguments of a command that they refuse,
//! and then take what follows for commands. Each writes down what it took for a command.

use proptest::{collection::vec, prelude::*};

use super::{
    Offer, Side,
    transcript::{After, Wire},
};
use crate::values::BareNewline;

mod imap;
mod pop3;
mod sieve;
mod smtp;
mod words;

/// How many octets a backend took, and what it said.
struct Said(usize, String);

/// A backend that hears octets, answers, and writes down what it took for commands.
struct Model {
    speak: fn(&mut Self, &[u8]) -> Option<Said>,
    /// Its moods: whether it consents, one for each question.
    moods: Vec<bool>,
    asked: usize,
    mode: Mode,
    /// SMTP only.
    chunking: smtp::Chunking,
    /// SMTP only: it has taken one.
    recipient: bool,
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
    /// A message up to its dot.
    Message,
    /// So many octets of a message.
    Chunk {
        left: usize,
        last: bool,
    },
    /// It has hung up.
    Over,
}

impl Model {
    fn new(speak: fn(&mut Self, &[u8]) -> Option<Said>, moods: &[bool]) -> Self {
        let chunking = smtp::Chunking::default();
        let (inbox, commands) = (Vec::new(), Vec::new());
        Self {
            speak,
            moods: moods.to_vec(),
            asked: 0,
            mode: Mode::Command,
            chunking,
            recipient: false,
            inbox,
            commands,
        }
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

macro_rules! holds {
    ($room:ident, $client:expr, $filter:expr, $backend:expr, $forbidden:expr) => {
        mod $room {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn no_client_speaks_as_the_front(octets in $client, moods in vec(any::<bool>(), 20)) {
                    let run = session($filter, Model::new($backend, &moods), &octets, &[]);
                    are_harmless(&run.commands, $forbidden, &octets)?;
                }

                #[test]
                fn the_same_octets_cut_anywhere_give_the_same_session(
                    octets in $client,
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

/// What no client of SMTP may say to a backend, inside TLS or not.
const NEVER: [&str; 9] = [
    "ATRN",
    "STARTTLS",
    "TURN",
    "X-ANONYMOUSTLS",
    "X-EXPS",
    "XCLIENT",
    "XEXCH50",
    "XFORWARD",
    "XPROXY",
];

/// The filter of an SMTP session whose backend lists nothing yet.
fn smtp_filter(offer: Offer) -> super::smtp::Filter {
    super::smtp::Filter::new(offer, BareNewline::StrictEod, &[])
}

const CLEAR: Offer = Offer { starttls: true, proceed: true, login: false };

holds!(
    of_imap,
    words::client(),
    crate::protocol::imap::Filter::new(Offer::TLS),
    imap::backend,
    &["COMPRESS", "ID", "STARTTLS", "XCLIENT"]
);
holds!(
    of_pop3,
    words::client(),
    crate::protocol::pop3::Filter::new(Offer::TLS),
    pop3::backend,
    &["STLS", "XCLIENT"]
);
holds!(
    of_sieve,
    words::client(),
    crate::protocol::sieve::Filter::new(Offer::TLS),
    sieve::backend,
    &["STARTTLS", "XCLIENT"]
);
holds!(of_smtp, smtp::client(), smtp_filter(Offer::TLS), smtp::backend, &NEVER);
holds!(
    of_smtp_in_clear,
    smtp::client(),
    smtp_filter(CLEAR),
    smtp::backend,
    &[&NEVER[..], &["AUTH"]].concat()
);
