//! TLSA records in a zone file (RFC 1035 §5). Whatever else is in it is passed over.

use std::collections::HashMap;

use super::{Record, Service};

/// What a zone file says of TLSA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// The records, with the lines on which they begin, from 1.
    pub records: Vec<(usize, Record)>,
    /// What looks like a record and is none, with its line.
    pub mistakes: Vec<(usize, String)>,
}

/// Reads a zone file. Names that do not end in a dot belong below `$ORIGIN`; where there was none
/// they are taken for whole. Where a service's name is an alias (RFC 7671 §7), the records of its
/// target are the service's.
#[must_use]
pub fn parse(text: &str) -> Zone {
    let mut zone = Zone::default();
    let (mut origin, mut owner) = (None::<String>, String::new());
    let mut aliases: HashMap<String, Vec<Service>> = HashMap::new();
    let mut records = Vec::new();
    for entry in entries(text, &mut zone.mistakes) {
        let mut words = entry.words.iter().map(String::as_str);
        match entry.words.first().map(String::as_str) {
            Some(word) if word.eq_ignore_ascii_case("$ORIGIN") => {
                origin = words.nth(1).map(|name| absolute(name, origin.as_deref()));
                continue;
            }
            Some(word) if word.eq_ignore_ascii_case("$INCLUDE") => {
                let text = "$INCLUDE is not followed: put its records into this file";
                zone.mistakes.push((entry.line, text.to_owned()));
                continue;
            }
            Some(word) if word.starts_with('$') => continue,
            _ => {}
        }
        if !entry.is_indented {
            owner = absolute(words.next().unwrap_or_default(), origin.as_deref());
        }
        // TTL and class come in any order, or not at all.
        let mut words = words.skip_while(|word| is_ttl(word) || is_class(word));
        let kind = words.next().unwrap_or_default().to_ascii_uppercase();
        let content: Vec<String> = words.map(str::to_owned).collect();
        match (kind.as_str(), owner.parse::<Service>(), content.first()) {
            ("CNAME", Ok(service), Some(target)) => {
                let target = absolute(target, origin.as_deref()).to_ascii_lowercase();
                aliases.entry(target).or_default().push(service);
            }
            ("TLSA" | "TYPE52", service, _) => {
                records.push((entry.line, owner.clone(), service, kind, content));
            }
            _ => {}
        }
    }
    for (line, owner, service, kind, content) in records {
        let services = match service {
            Ok(service) => vec![service],
            Err(why) => aliases.get(&owner.to_ascii_lowercase()).cloned().unwrap_or_else(|| {
                zone.mistakes.push((line, why));
                Vec::new()
            }),
        };
        let content: Vec<&str> = content.iter().map(String::as_str).collect();
        let read = if kind == "TLSA" { Record::parse } else { Record::parse_generic };
        for service in services {
            match read(service, &content) {
                Ok(record) => zone.records.push((line, record)),
                Err(why) => zone.mistakes.push((line, why)),
            }
        }
    }
    zone
}

/// A name with its origin, and a dot at the end if the file has an origin.
fn absolute(name: &str, origin: Option<&str>) -> String {
    match origin {
        Some(origin) if name == "@" => origin.to_owned(),
        Some(origin) if !name.ends_with('.') => format!("{name}.{origin}"),
        _ => name.to_owned(),
    }
}

/// `3600`, `1h30m`.
fn is_ttl(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || "smhdwSMHDW".contains(c))
}

fn is_class(word: &str) -> bool {
    ["IN", "CH", "HS"].iter().any(|class| word.eq_ignore_ascii_case(class))
}

/// A line, or several in parentheses, without comments.
#[derive(Default)]
struct Entry {
    line: usize,
    /// It begins with a blank: the owner is that of the one before.
    is_indented: bool,
    words: Vec<String>,
}

fn entries(text: &str, mistakes: &mut Vec<(usize, String)>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // The line of a parenthesis that is open.
    let mut open = None::<usize>;
    for (n, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if open.is_none() {
            let is_indented = line.starts_with([' ', '\t']);
            entries.push(Entry { line: n + 1, is_indented, words: Vec::new() });
        }
        let Some(entry) = entries.last_mut() else { continue };
        let (mut word, mut is_quoted, mut is_word) = (String::new(), false, false);
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => (is_quoted, is_word) = (!is_quoted, true),
                '\\' => {
                    word.push(letter);
                    word.extend(letters.next());
                    is_word = true;
                }
                ';' if !is_quoted => break,
                '(' | ')' | ' ' | '\t' | '\r' if !is_quoted => {
                    match letter {
                        '(' => open = open.or(Some(n + 1)),
                        ')' => open = None,
                        _ => {}
                    }
                    if std::mem::take(&mut is_word) {
                        entry.words.push(std::mem::take(&mut word));
                    }
                }
                _ => {
                    word.push(letter);
                    is_word = true;
                }
            }
        }
        if is_word {
            entry.words.push(word);
        }
    }
    if let Some(line) = open {
        mistakes.push((line, "a parenthesis is not closed".to_owned()));
    }
    entries.retain(|entry| !entry.words.is_empty());
    entries
}
