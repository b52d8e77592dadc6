//! Key path → line and column. serde_yaml tells a place for its first error only, so a parser with
//! events reads the text a second time. The only user of `saphyr-parser`.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

/// Where each key of a text stands.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<String, (usize, usize)>);

/// What is open around the current event.
enum Open {
    /// A mapping, and the key whose value comes next.
    Mapping { path: String, key: Option<String> },
    /// A sequence, and how many values it has had.
    Sequence { path: String, values: usize },
}

impl Places {
    /// Places of all keys; of a text that is no YAML, those up to its first error.
    pub(super) fn of(text: &str) -> Self {
        let mut places = HashMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut parser = Parser::new_from_str(text);
        while let Some(Ok((event, span))) = parser.next_event() {
            let place = (span.start.line(), span.start.col() + 1);
            match event {
                Event::Scalar(value, ..) => match open.last_mut() {
                    Some(Open::Mapping { path, key: key @ None }) => {
                        places.entry(join(path, &value)).or_insert(place);
                        *key = Some(value.into_owned());
                    }
                    _ => drop(value_path(&mut open, &mut places, place)),
                },
                Event::Alias(_) => drop(value_path(&mut open, &mut places, place)),
                Event::MappingStart(..) => {
                    let path = value_path(&mut open, &mut places, place);
                    open.push(Open::Mapping { path, key: None });
                }
                Event::SequenceStart(..) => {
                    let path = value_path(&mut open, &mut places, place);
                    open.push(Open::Sequence { path, values: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => drop(open.pop()),
                _ => {}
            }
        }
        Self(places)
    }

    /// The place of a key, or of the closest thing around it that has one.
    pub(super) fn find(&self, path: &str) -> Option<(usize, usize)> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

/// The path of the value that begins now.
fn value_path(
    open: &mut [Open],
    places: &mut HashMap<String, (usize, usize)>,
    place: (usize, usize),
) -> String {
    match open.last_mut() {
        None => String::new(),
        Some(Open::Mapping { path, key }) => join(path, &key.take().unwrap_or_default()),
        Some(Open::Sequence { path, values }) => {
            let path = format!("{path}[{values}]");
            *values += 1;
            places.entry(path.clone()).or_insert(place);
            path
        }
    }
}

/// How paths are written, here and in messages.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_items_have_places() {
        let places = Places::of("a: 1\nb:\n  c: { d: 2 }\n  e:\n    - x\n    - f: 3\n");
        assert_eq!(places.find("a"), Some((1, 1)));
        assert_eq!(places.find("b.c.d"), Some((3, 8)));
        assert_eq!(places.find("b.e[1].f"), Some((6, 7)));
        assert_eq!(places.find("b.e[0]"), Some((5, 7)));
        assert_eq!(places.find("b.e[0].nothing"), Some((5, 7)), "the closest around it");
        assert_eq!(places.find("z"), None);
    }
}
