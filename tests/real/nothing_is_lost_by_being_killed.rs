//! Whoever is killed while it orders has lost neither account nor key, and gets its certificate in
//! the end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    common::front::Front,
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

#[test]
fn at_any_moment() {
    let town = Town::new(Manner { sleeps: None, ..Manner::default() });
    let config = town.config("tls-alpn-01", "  domains: mail.example.org\n");
    let mut known: Vec<(PathBuf, String)> = Vec::new();
    // Where it is killed is left to chance; a seed that can be told from the log.
    let mut random = std::process::id();
    eprintln!("seed {random}");
    let mut came = 0;
    for n in 0..TIMES {
        let mut front = Front::launch(&config);
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // It is there after some milliseconds, and has its certificate within a second or two.
        let moment = Duration::from_millis(u64::from(random >> 16) % 1200);
        std::thread::park_timeout(moment);
        front.signal(Signal::KILL);
        front.exit();
        let mut now = Vec::new();
        keys(&town.kept(""), &mut now);
        for (path, key) in &known {
            let is_there = now.iter().any(|(_, text)| text == key);
            assert!(is_there, "{}, after it was killed {n} times", path.display());
        }
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
    for (path, key) in &known {
        let mut now = Vec::new();
        keys(&town.kept(""), &mut now);
        assert!(now.iter().any(|(_, text)| text == key), "{}", path.display());
    }
    let accounts = town.pebble.said();
    assert!(accounts.contains("There are now 1 accounts in memory"), "{accounts}");
    assert!(!accounts.contains("There are now 2 accounts in memory"), "{accounts}");
    // Nothing half-written stays: there may be a key in it.
    let left: Vec<PathBuf> =
        fs::read_dir(town.kept("certificates")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [town.certificate("mail.example.org")]);
}
