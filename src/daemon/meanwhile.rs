//! What is served while a certificate is on its way: what has served its names before.

use std::sync::Arc;

use super::{first_start::is_provided, snapshot::Purpose};
use crate::{
    acme,
    certs::{Certificate, Store},
    config::Config,
};

/// Adds to a store what the one before it has served for names of certificates that are wanted, and not
/// there yet; and all of it where nothing else is left.
pub(super) fn keep(config: &Config, store: &mut Store, purpose: Purpose<'_>) {
    let (Purpose::Reload(former, before) | Purpose::Renewal(former, before)) = purpose else {
        return;
    };
    let Some(settings) = config.acme.as_ref().filter(|_| !is_provided(former, before)) else {
        return;
    };
    let awaited = acme::awaited(settings, &store.certificates);
    let is_nothing = store.certificates.is_empty() && !awaited.is_empty();
    let bare: Vec<String> =
        awaited.into_iter().filter(|name| !is_covered(name, &store.certificates)).collect();
    let is_needed = |old: &&Arc<Certificate>| {
        let serves = |name| bare.iter().any(|bare| covers(bare, name) || covers(name, bare));
        let is_there = store.certificates.iter().any(|c| Arc::ptr_eq(c, old));
        !is_there && (is_nothing || old.names().iter().any(|name| serves(name)))
    };
    let old: Vec<Arc<Certificate>> =
        before.certificates.iter().filter(is_needed).cloned().collect();
    store.serve_on(&old, "it is served until the certificate has come that is to take its place");
}

fn is_covered(name: &str, certificates: &[Arc<Certificate>]) -> bool {
    certificates.iter().flat_map(|c| c.names()).any(|known| covers(known, name))
}

/// Whether a name is this one, or what a wildcard stands for: RFC 9525 §6.3.
fn covers(known: &str, name: &str) -> bool {
    let is_below = |parent: &str| name.find('.').is_some_and(|dot| name[dot..] == *parent);
    known == name || known.strip_prefix('*').is_some_and(is_below)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("a.example", "a.example") && covers("*.example", "a.example"));
        assert!(!covers("*.example", "b.a.example") && !covers("a.example", "*.example"));
        assert!(!covers("*.example", "example"));
    }
}
