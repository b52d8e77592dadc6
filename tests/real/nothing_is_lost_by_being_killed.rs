//! Whoever is killed while it orders has lost neither account nor key, and gets its certificate in
//! the end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    common::front::{Front, PATIENCE},
    ordering::{Town, served},
    pebble::Manner,
};

/// So often it is killed.
const TIMES: u64 = 20;

/// All keys below this folder, and all that a key was in.
fn keys(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            // Half-written: nobody has been told of it yet.
        } else if path.is_dir() {
            keys(&path, found);
        } else if path.extension().is_some_and(|e| e == "key" || e == "pem") {
            let text = fs::read_to_string(&path).expect("text");
            let end = text.find("-----END PRIVATE KEY-----").expect("a whole key");
            found.push((path, text[..end].to_owned()));
        }
    }
}

/// All keys that there are now, those that were known among them.
fn is_kept(town: &Town, known: &[(PathBuf, String)]) -> Vec<(PathBuf, String)> {
    let mut now = Vec::new();
    keys(&town.kept(""), &mut now);
    for (path, key) in known {
        assert!(now.iter().any(|(_, text)| text == key), "{} is gone", path.display());
    }
    now
}

fn has_one_account(town: &Town) {
    let said = town.pebble.said();
    assert!(said.contains("There are now 1 accounts in memory"), "{said}");
    assert!(!said.contains("There are now 2 accounts in memory"), "{said}");
}

/// As soon as something has happened, and before anything else has.
#[test]
fn at_the_worst_moments() {
    let town = Town::new(Manner { sleeps: None, ..Manner::default() });
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n");
    let account = || {
        let accounts = fs::read_dir(town.kept("accounts")).into_iter().flatten().flatten();
        accounts.map(|entry| entry.path().join("account.key")).any(|file| file.exists())
    };
    let next = town.kept("certificates/mail.example.org.ecdsa.next.key");
    let certificate = town.certificate("mail.example.org");
    let said = |words: &str| town.pebble.said().contains(words);
    let moments: [(&str, &dyn Fn() -> bool); 6] = [
        ("the account's key is there", &account),
        ("there is an account", &|| said("There are now 1 accounts in memory")),
        ("there is an order", &|| said("Added order")),
        ("the certificate's key is there", &|| next.exists()),
        ("it is issued", &|| said("Issued certificate")),
        ("it is there", &|| certificate.exists()),
    ];
    let mut known = Vec::new();
    for (what, has_happened) in moments {
        let mut front = Front::launch(&config);
        let deadline = Instant::now() + PATIENCE;
        while !has_happened() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            std::thread::yield_now();
        }
        front.signal(Signal::KILL);
        front.exit();
        known = is_kept(&town, &known);
    }
    let _front = Front::start(&config);
    town.shown();
    has_one_account(&town);
    // The key that was made for it, and no other.
    let key = known.iter().find(|(path, _)| path.ends_with("mail.example.org.ecdsa.next.key"));
    let text = fs::read_to_string(&certificate).unwrap();
    assert!(key.is_none_or(|(_, key)| text.starts_with(key)), "another key");
}

#[test]
fn at_any_moment() {
    let town = Town::new(Manner { sleeps: None, ..Manner::default() });
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n");
    let mut known: Vec<(PathBuf, String)> = Vec::new();
    // Where it is killed is left to chance; a seed that can be told from the log.
    let mut random = std::process::id();
    eprintln!("seed {random}");
    let mut came = 0;
    for _ in 0..TIMES {
        let mut front = Front::launch(&config);
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // It is there after some milliseconds, and has its certificate within a second or two.
        let moment = Duration::from_millis(u64::from(random >> 16) % 1200);
        std::thread::park_timeout(moment);
        front.signal(Signal::KILL);
        front.exit();
        let now = is_kept(&town, &known);
        known = now;
        if town.certificate("mail.example.org").exists() {
            // Once more from the beginning, with the same account.
            came += 1;
            fs::remove_file(town.certificate("mail.example.org")).unwrap();
            known.retain(|(path, _)| path.ends_with("account.key"));
        }
    }
    eprintln!("it had come {came} times before it was killed");
    let front = Front::start(&config);
    served(&front, 0);
    town.shown();
    is_kept(&town, &known);
    has_one_account(&town);
    // Nothing half-written stays: there may be a key in it.
    let left: Vec<PathBuf> =
        fs::read_dir(town.kept("certificates")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [town.certificate("mail.example.org")]);
}
