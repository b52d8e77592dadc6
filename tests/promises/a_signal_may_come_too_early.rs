//! Who renews certificates sends SIGHUP when it likes, also to a front that has only just been started.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::{Pid, Signal, kill_process},
};

use crate::{
    common::{
        folder::Folder,
        mailhost::{Host, Talk},
    },
    stage::Stage,
};

/// The configuration is a pipe, so that the front is in the middle of loading for as long as we like.
#[test]
fn it_counts_once_something_is_served() {
    let stage = Stage::set();
    let (folder, host) = (Folder::new(), Host::polite(Talk::Imap));
    let config = stage.config(&[("imap", "implicit", host.backend.address)], "");
    let pipe = folder.path().join("vestibule.yaml");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("a pipe");
    let mut child = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["serve", "--config"])
        .arg(&pipe)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // Opened once the front opens it, too.
    let open = || std::fs::OpenOptions::new().write(true).open(&pipe).expect("the front reads it");
    let text = format!("{config}\nlog: json\nstate_dir: {}\n", folder.path().display());
    let pid = Pid::from_child(&child);

    let mut first = open();
    kill_process(pid, Signal::HUP).expect("it is there");
    first.write_all(text.as_bytes()).expect("it still reads");
    drop(first);
    let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut log = stderr.lines().map_while(Result::ok);
    assert!(log.any(|line| line.contains("\"ready\"")), "it is served");
    // It is read once more: the signal was not lost.
    open().write_all(text.as_bytes()).expect("it reads again");
    assert!(log.any(|line| line.contains("\"reloaded\"")), "and reloaded");
    kill_process(pid, Signal::TERM).expect("it is there");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
