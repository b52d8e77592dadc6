//! `routes`: the name that a client asks for → the backend that it goes to.

use std::{collections::HashMap, sync::Arc};

use super::section::{Section, unknown};
use crate::certs::Wish;

/// The key, at the top level and in listeners.
pub(super) const KEY: &str = "routes";

/// Routes as they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// The name in lower case, exact or with one wildcard in front → which of the backends, in the
    /// order of their names. Shared by all listeners that have the same.
    pub names: Arc<HashMap<Box<str>, usize>>,
    /// Names that a certificate has to cover.
    pub wishes: Vec<Wish>,
}

/// The routes of a section, on top of those around it; one name, one route: the section's own.
/// `known`: the backends' names, sorted.
pub(super) fn routes(section: &mut Section<'_>, known: &[&str], around: &Written) -> Written {
    let entries = section.entries(KEY);
    if entries.is_empty() {
        return Written { names: around.names.clone(), wishes: Vec::new() };
    }
    let (mut own, mut wishes) = (HashMap::new(), Vec::new());
    for (written, value) in entries {
        let key = format!("{KEY}.{written}");
        let path = section.path(&key);
        let name = written.trim_end_matches('.').to_ascii_lowercase();
        if !is_name(&name) {
            section.note(&key, format!("`{written}` is not a name that a client could ask for: write mail.example.org, or *.example.org for any one label in its place"));
        }
        let Some(backend) = section.read::<String>(&path, value) else { continue };
        let Ok(index) = known.binary_search(&backend.as_str()) else {
            section.note(&key, unknown("backend", &backend, known));
            continue;
        };
        if !name.starts_with('*') {
            wishes.push(Wish { key: path, name: name.clone() });
        }
        if own.insert(name.into_boxed_str(), index).is_some() {
            section.note(&key, "this name has a route already");
        }
    }
    if !around.names.is_empty() {
        for (name, index) in around.names.iter() {
            own.entry(name.clone()).or_insert(*index);
        }
    }
    Written { names: Arc::new(own), wishes }
}

pub(super) fn is_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253 && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn names(config: &Config, n: usize) -> Vec<(String, String)> {
        let routes = &config.listeners[n].routes;
        let mut all: Vec<_> = routes
            .names
            .iter()
            .map(|(name, to)| (name.to_string(), routes.backends[to].name.clone()))
            .collect();
        all.sort_unstable();
        all
    }

    const BACKENDS: &str = "certificates: [/a]\nbackend: 10.0.0.5\nbackends:\n  a: { address: 10.0.0.6 }\n  b: { address: 10.0.0.7 }\n";

    #[test]
    fn a_listeners_own_routes_come_on_top() {
        let text = format!(
            "{BACKENDS}routes: {{ X.example.: a, \"*.example\": a }}\nlisteners:\n  - bind: \"0.0.0.0:993\"\n  - {{ bind: \"0.0.0.0:995\", routes: {{ x.example: b, y.example: a }} }}\n  - bind: \"0.0.0.0:80\"\n  - {{ bind: \"0.0.0.0:143\", tls: none }}\n"
        );
        let config = Config::parse(&text).unwrap();
        let pair = |name: &str, to: &str| (name.to_owned(), to.to_owned());
        assert_eq!(names(&config, 0), [pair("*.example", "a"), pair("x.example", "a")]);
        assert_eq!(
            names(&config, 1),
            [pair("*.example", "a"), pair("x.example", "b"), pair("y.example", "a")]
        );
        assert_eq!(names(&config, 2), names(&config, 0), "every request of HTTP asks for a name");
        assert_eq!(names(&config, 3), [], "without TLS nobody else does");
        let wishes: Vec<_> =
            config.wishes.iter().map(|w| (w.key.as_str(), w.name.as_str())).collect();
        assert_eq!(
            wishes,
            [
                ("routes.X.example.", "x.example"),
                ("listeners[1].routes.x.example", "x.example"),
                ("listeners[1].routes.y.example", "y.example")
            ]
        );
    }

    #[test]
    fn ten_thousand_routes_are_shared() {
        let mut text = format!("{BACKENDS}routes:\n");
        for n in 0..10_000 {
            text.push_str(&format!(
                "  customer{n}.example.org: {}\n",
                if n % 2 == 0 { "a" } else { "b" }
            ));
        }
        let config = Config::parse(&text).unwrap();
        let with: Vec<_> = config.listeners.iter().filter(|l| !l.routes.names.is_empty()).collect();
        assert_eq!(with.len(), 10, "nine with TLS, and HTTP in clear");
        assert!(
            with.iter().all(|l| std::sync::Arc::ptr_eq(&l.routes.names, &with[0].routes.names))
        );
        assert_eq!(with[0].routes.backends.len(), 2);
    }
}
