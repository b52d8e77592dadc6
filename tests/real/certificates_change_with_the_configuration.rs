//! A reload that wants other certificates orders them at once; until they are there, what served their
//! names before goes on serving.

use crate::{
    common::{
        ca::{Ca, Kind},
        front::Front,
        tls::{NAME, der},
    },
    ordering::{Town, served},
    pebble::Manner,
};

const ALONE: &str = "  domains: mail.example.org\n";

/// Reloads with this while the authority sleeps; it is woken up once all others are served on.
fn changes(town: &Town, front: &Front, config: &str, before: &[(&str, &[u8])]) {
    town.pebble.falls_asleep();
    front.configure(config);
    let mark = front.mark();
    assert_eq!(front.reload()["message"], "reloaded");
    for (name, leaf) in before {
        assert!(town.seen(name) == *leaf, "{name} is served on");
    }
    let after = front.mark();
    town.pebble.wakes_up();
    front.wait("it has come", mark, |line| line["message"] == "a certificate has come");
    served(front, after);
}

#[test]
fn other_names_and_other_keys() {
    let town = Town::new(Manner::default());
    let config = |domains: &str| town.config("tls-alpn-01", &format!("  domains: {domains}\n"));
    let front = Front::start(&config("[mail.example.org]"));
    served(&front, 0);
    let first = town.shown();
    changes(&town, &front, &config("[[new.example.org, mail.example.org]]"), &[(NAME, &first)]);
    let second = town.shown();
    assert!(second != first);
    let rsa = config("[[new.example.org, mail.example.org]]\n  key: rsa2048");
    changes(&town, &front, &rsa, &[(NAME, &second)]);
    let third = town.shown();
    assert!(third != second);
    // What has a certificate of its own does not keep another.
    let other = config("[[new.example.org, mail.example.org], pop.example.org]\n  key: rsa2048");
    changes(&town, &front, &other, &[(NAME, &third), ("pop.example.org", &third)]);
    // Of two, the one that is wanted no more goes on serving its names beside the other.
    let pop = town.seen("pop.example.org");
    let more = config(
        "[[new.example.org, mail.example.org], [imap.example.org, pop.example.org]]\n  key: rsa2048",
    );
    changes(&town, &front, &more, &[(NAME, &third), ("pop.example.org", &pop)]);
    assert!(town.seen("pop.example.org") != pop);
}

#[test]
fn from_files_to_an_authority() {
    let town = Town::new(Manner::default());
    let leaf = Ca::new("Ours").leaf(&[NAME], Kind::Ecdsa);
    let folder = town.folder.path().join("live");
    leaf.certbot(&folder);
    let config = town.config("tls-alpn-01", ALONE);
    let (rest, _) = config.split_once("acme:").unwrap();
    let front = Front::start(&format!("{rest}certificates: [{}]\n", folder.display()));
    let before = town.seen(NAME);
    assert!(before == der(&leaf.cert)[..]);
    changes(&town, &front, &config, &[(NAME, &before)]);
    town.shown();
}
