//! RFC 8555 §8.4: what is put into DNS for an authority is taken back, however an order ends.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    common::{
        front::{Front, PATIENCE},
        tls::NAME,
    },
    ordering::{Town, served},
    pebble::Manner,
};

/// A hook that writes down what it is asked for, does it, and then does this.
fn hook(town: &Town, then: &str) -> PathBuf {
    let dns = town.pebble.dns_management();
    let text = format!(
        "#!/bin/sh -e\ncase $1 in\npresent) curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" http://{dns}/set-txt ;;\ncleanup) curl -sf -d \"{{\\\"host\\\":\\\"$2.\\\"}}\" http://{dns}/clear-txt ;;\nesac\necho \"$1 $2 $3\" >>{}\n{then}\n",
        town.folder.path().join("heard").display()
    );
    town.folder.program("hook", text)
}

fn config(town: &Town, then: &str) -> String {
    let hook = hook(town, then);
    town.config("dns-01", &format!("  domains: {NAME}\n  hook: {}\n", hook.display()))
}

/// What the hook was asked for by this word.
fn heard(town: &Town, word: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(town.folder.path().join("heard")).unwrap_or_default();
    text.lines().filter_map(|line| Some(line.strip_prefix(word)?.to_owned())).collect()
}

fn noted(town: &Town) -> PathBuf {
    town.kept("state/mail.example.org.ecdsa.dns.json")
}

fn until(what: &str, has_happened: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !has_happened() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A front in the midst of an order: the record is there, and the authority does not answer.
fn midst(town: &Town, config: &str) -> Front {
    let front = Front::start(config);
    until("it is presented", || !heard(town, "present").is_empty());
    town.pebble.falls_asleep();
    assert!(noted(town).exists());
    front
}

#[test]
fn of_a_front_that_stops() {
    let town = Town::new(Manner { sleeps: Some(15), ..Manner::default() });
    let mut front = midst(&town, &config(&town, ""));
    front.signal(Signal::TERM);
    assert!(front.exit().success());
    assert_eq!(heard(&town, "cleanup"), heard(&town, "present"));
    assert!(!noted(&town).exists());
}

#[test]
fn of_a_front_that_is_killed() {
    let town = Town::new(Manner { sleeps: Some(15), ..Manner::default() });
    let config = config(&town, "");
    let mut front = midst(&town, &config);
    front.signal(Signal::KILL);
    front.exit();
    let presented = heard(&town, "present");
    assert!(heard(&town, "cleanup").is_empty());
    // Although there is nothing to order any more.
    let other = config.replace(NAME, "pop.example.org");
    let _front = Front::start(&other);
    until("it is taken back", || heard(&town, "cleanup") == presented && !noted(&town).exists());
}

#[test]
fn by_a_hook_that_fails_afterwards() {
    let town = Town::new(Manner::default());
    let front = Front::start(&config(&town, "[ $1 != present ] || exit 3"));
    front.wait("it is said", 0, |line| line["level"] == "WARN" && line["names"].is_string());
    assert_eq!(heard(&town, "cleanup"), heard(&town, "present"));
    assert!(!heard(&town, "cleanup").is_empty() && !noted(&town).exists());
    let mark = front.mark();
    hook(&town, "");
    front.reload();
    served(&front, mark);
}

#[test]
fn of_a_command_that_is_interrupted() {
    let town = Town::new(Manner { sleeps: Some(15), ..Manner::default() });
    let file = town.folder.write("command.yaml", config(&town, ""));
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["acme", "order", "--config"])
        .arg(file)
        .spawn()
        .unwrap();
    until("it is presented", || !heard(&town, "present").is_empty());
    town.pebble.falls_asleep();
    let pid = Pid::from_raw(command.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(command.wait().unwrap().code(), Some(2));
    assert_eq!(heard(&town, "cleanup"), heard(&town, "present"));
    assert!(!noted(&town).exists());
}
