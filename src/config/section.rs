//! Reads YAML mappings key by key and keeps a list of all that is wrong. The only user of
//! `serde_yaml`.
//!
//! A derived `Deserialize` would stop at its first error, and tell no key but that one. Here each
//! key is asked for by name; those that nobody asked for are unknown.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

use super::{
    Problem,
    locate::{Places, join},
};

/// What is wrong with a text.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    places: Places,
    problems: RefCell<Vec<Problem>>,
}

impl Notebook {
    /// Notes that something about this key is wrong.
    pub(super) fn note(&self, key: &str, text: impl Into<String>) {
        self.problems.borrow_mut().push(self.problem(key, text));
    }

    /// Something about this key, not noted.
    pub(super) fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        Problem { place: self.places.find(key), key: key.to_owned(), text: text.into() }
    }

    /// All that was noted, in the order of the text.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|p| p.place);
        problems
    }
}

/// Parses a text into its mapping. The error is what makes it no YAML, or no mapping.
pub(super) fn parse(text: &str) -> Result<(Mapping, Notebook), Problem> {
    let whole = |place, text: String| Problem { place, key: String::new(), text };
    let value: Value = serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map(|l| (l.line(), l.column()));
        let said = error.to_string();
        // The place is told apart from the text.
        let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
        whole(place, format!("this is not YAML: {said}"))
    })?;
    let notebook = Notebook { places: Places::of(text), ..Notebook::default() };
    match value {
        Value::Mapping(mapping) => Ok((mapping, notebook)),
        Value::Null => Err(whole(
            None,
            "it is empty: at the least, `certificates` and `backend` are wanted".into(),
        )),
        _ => Err(whole(Some((1, 1)), "it is not a mapping of keys to values".into())),
    }
}

/// A mapping, whose keys are asked for one by one.
pub(super) struct Section<'a> {
    path: String,
    mapping: &'a Mapping,
    notebook: &'a Notebook,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn new(path: String, mapping: &'a Mapping, notebook: &'a Notebook) -> Self {
        let section = Self { path, mapping, notebook, known: Vec::new() };
        for key in mapping.keys().filter(|k| !k.is_string()) {
            notebook.note(&section.path, format!("the key {} is not text", shown(key)));
        }
        section
    }

    /// The path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Notes that something about this key is wrong.
    pub(super) fn note(&self, key: &str, text: impl Into<String>) {
        self.notebook.note(&self.path(key), text);
    }

    /// Notes that something at this path is wrong.
    pub(super) fn note_at(&self, path: &str, text: impl Into<String>) {
        self.notebook.note(path, text);
    }

    /// The value of a key; `None` if it is not there, or null.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.mapping.get(key).filter(|v| !v.is_null())
    }

    /// The value of a key as a `T`; a value that is none is noted.
    pub(super) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let value = self.value(key)?;
        self.notebook.read(&self.path(key), value)
    }

    /// The values of a key that takes one or a list of them.
    pub(super) fn list<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let path = self.path(key);
        Some(match value {
            Value::Sequence(values) => {
                let items = values.iter().enumerate();
                items.filter_map(|(n, v)| self.notebook.read(&format!("{path}[{n}]"), v)).collect()
            }
            value => self.notebook.read(&path, value).into_iter().collect(),
        })
    }

    /// The values under a key that takes one or a list of them, each with its path.
    pub(super) fn items(&mut self, key: &'static str) -> Option<Vec<(String, &'a Value)>> {
        let path = self.path(key);
        Some(match self.value(key)? {
            Value::Sequence(values) => {
                values.iter().enumerate().map(|(n, v)| (format!("{path}[{n}]"), v)).collect()
            }
            value => vec![(path, value)],
        })
    }

    /// A value that must be a mapping.
    pub(super) fn mapping(&self, path: String, value: &'a Value) -> Option<Section<'a>> {
        self.notebook.section(path, value)
    }

    /// The mapping under a key.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let value = self.value(key)?;
        self.notebook.section(self.path(key), value)
    }

    /// The mappings under a key that takes a list of them.
    pub(super) fn sections(&mut self, key: &'static str) -> Option<Vec<Section<'a>>> {
        let path = self.path(key);
        match self.value(key)? {
            Value::Sequence(values) => {
                let items = values.iter().enumerate();
                Some(
                    items
                        .filter_map(|(n, v)| self.notebook.section(format!("{path}[{n}]"), v))
                        .collect(),
                )
            }
            other => {
                self.note(key, format!("a list is wanted here, not {}", shown(other)));
                None
            }
        }
    }

    /// The mappings under a key, by their names, which are free.
    pub(super) fn named_sections(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let entries = self.entries(key);
        let path = self.path(key);
        let section = |(name, value): (String, &'a Value)| {
            let section = self.notebook.section(join(&path, &name), value)?;
            Some((name, section))
        };
        entries.into_iter().filter_map(section).collect()
    }

    /// The values under a key, by their names, which are free.
    pub(super) fn entries(&mut self, key: &'static str) -> Vec<(String, &'a Value)> {
        match self.value(key) {
            None => Vec::new(),
            Some(Value::Mapping(mapping)) => mapping
                .iter()
                .map(|(k, v)| (k.as_str().map_or_else(|| shown(k), str::to_owned), v))
                .collect(),
            Some(other) => {
                self.note(key, format!("a mapping is wanted here, not {}", shown(other)));
                Vec::new()
            }
        }
    }

    /// A value as a `T`; one that is none is noted.
    pub(super) fn read<T: DeserializeOwned>(&self, path: &str, value: &Value) -> Option<T> {
        self.notebook.read(path, value)
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn finish(mut self) {
        // Some are looked at before they are taken.
        self.known.dedup();
        for key in self.mapping.keys().filter_map(Value::as_str) {
            if self.known.contains(&key) {
                continue;
            }
            let text = match nearest(key, &self.known) {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known here are {}", self.known.join(", ")),
            };
            self.note(key, text);
        }
    }
}

impl Notebook {
    fn read<T: DeserializeOwned>(&self, path: &str, value: &Value) -> Option<T> {
        match T::deserialize(value.clone()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(path, humane(&error.to_string()));
                None
            }
        }
    }

    fn section<'a>(&'a self, path: String, value: &'a Value) -> Option<Section<'a>> {
        match value {
            Value::Mapping(mapping) => Some(Section::new(path, mapping, self)),
            other => {
                self.note(&path, format!("a mapping is wanted here, not {}", shown(other)));
                None
            }
        }
    }
}

/// serde's words for what was wanted, in the operator's.
fn humane(error: &str) -> String {
    let words = [
        ("invalid type: ", "this is "),
        ("invalid value: ", "this is "),
        (
            "invalid socket address syntax",
            "an address and a port are wanted, such as \"0.0.0.0:993\" or \"[::]:993\"",
        ),
        ("unknown variant ", "unknown: "),
        ("expected socket address", "expected an address and a port, such as \"0.0.0.0:993\""),
        ("expected path string", "expected a path"),
        ("expected a string", "expected text"),
        ("expected a Value::Tagged enum", "expected a word"),
        ("expected u16", "expected a port, up to 65535"),
        ("expected usize", "expected a whole number"),
        ("sequence, ", "a list, "),
        ("map, ", "a mapping, "),
        ("integer ", "the number "),
        ("string \"", "the text \""),
    ];
    words.iter().fold(error.to_owned(), |said, (theirs, ours)| said.replacen(theirs, ours, 1))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => format!("`{s}`"),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged(_) => "a tagged value".to_owned(),
    }
}

/// The one of these that was meant, if it is near enough.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let nearest = known.iter().min_by_key(|known| distance(word, known))?;
    (distance(word, nearest) <= 1 + word.len() / 3).then_some(*nearest)
}

/// So many names are told; of more, nobody finds the right one.
const TOLD: usize = 10;

/// That there is no thing of this name, and which there are.
pub(super) fn unknown(thing: &str, name: &str, known: &[&str]) -> String {
    let there_are = match known {
        _ if nearest(name, known).is_some() => {
            format!("did you mean `{}`?", nearest(name, known).unwrap_or_default())
        }
        [] => format!("there are none: `{thing}s` is empty"),
        [only] => format!("there is `{only}`"),
        names if names.len() > TOLD => {
            format!("there are {} and {} more", names[..TOLD].join(", "), names.len() - TOLD)
        }
        names => format!("there are {}", names.join(", ")),
    };
    format!("there is no {thing} `{name}`; {there_are}")
}

/// How many letters have to be changed to get from one word to the other (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_to_change() {
        assert_eq!(distance("listener", "listeners"), 1);
        assert_eq!(distance("tsl", "tls"), 2);
        assert_eq!(distance("", "abc"), 3);
    }
}
