//! The name that a client asks for → where its session goes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Pool;

/// Names with backends of their own. Ten thousand names cost each listener nothing: the names are
/// shared by all that have the same.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    names: Arc<HashMap<Box<str>, usize>>,
    pools: BTreeMap<usize, Arc<Pool>>,
}

impl Routes {
    /// `names`: in lower case, exact or `*.` and a name → the key of its pool.
    #[must_use]
    pub fn new(names: Arc<HashMap<Box<str>, usize>>, pools: BTreeMap<usize, Arc<Pool>>) -> Self {
        Self { names, pools }
    }

    /// Where a client goes that asks for this name: the exact name, else the wildcard for its first
    /// label; `None`: nowhere in particular.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&Arc<Pool>> {
        if self.names.is_empty() {
            return None;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wildcard = || self.names.get(format!("*.{}", name.split_once('.')?.1).as_str());
        self.pools.get(self.names.get(name.as_str()).or_else(wildcard)?)
    }

    /// All the places that they lead to.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.pools.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{protocol::Protocol, values::Balance};

    fn routes(names: &[(&str, usize)]) -> Routes {
        let pool = |n: usize| Arc::new(Pool::new(n.to_string(), Protocol::Imap, Balance::First));
        let names: HashMap<Box<str>, usize> =
            names.iter().map(|(n, to)| ((*n).into(), *to)).collect();
        let pools = names.values().map(|n| (*n, pool(*n))).collect();
        Routes::new(Arc::new(names), pools)
    }

    #[test]
    fn the_exact_name_then_the_wildcard_for_one_label() {
        let routes =
            routes(&[("mail.example.org", 1), ("*.example.org", 2), ("*.a.example.org", 3)]);
        let to = |name: &str| routes.pool(name).map(ToString::to_string);
        for (name, pool) in [
            ("mail.example.org", Some("1")),
            ("MAIL.Example.ORG.", Some("1")),
            ("imap.example.org", Some("2")),
            ("x.a.example.org", Some("3")),
            ("a.example.org", Some("2")),
            ("x.y.example.org", None),
            ("example.org", None),
            ("org", None),
            ("", None),
            ("*.example.org", Some("2")),
        ] {
            assert_eq!(to(name).as_deref(), pool, "{name}");
        }
        assert!(Routes::default().pool("mail.example.org").is_none());
    }
}
