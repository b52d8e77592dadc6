//! `vestibule demo` prints commands that work when pasted, and leaves nothing behind.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// The standard ports, which the demo moves by an offset.
const PORTS: [u16; 10] = [25, 465, 587, 143, 993, 110, 995, 4190, 80, 443];

/// An offset at which all ports are free at this moment.
fn offset() -> u16 {
    let is_free = |offset: &u16| {
        let bound: Vec<_> =
            PORTS.iter().map(|port| TcpListener::bind(("127.0.0.1", port + offset))).collect();
        bound.iter().all(Result::is_ok)
    };
    let start = u16::try_from(std::process::id() % 8_000).expect("small");
    (12_000 + start..28_000).step_by(11).find(is_free).expect("ten free ports")
}

#[test]
fn when_its_commands_are_pasted() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["demo", "--port-offset", &offset().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let said = BufReader::new(demo.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let guide: Vec<String> = said.take_while(|line| !line.starts_with("Ctrl-C")).collect();
    let commands: Vec<&str> = guide.iter().filter_map(|line| line.strip_prefix("  ")).collect();
    assert!(commands.len() >= 10, "{guide:#?}");
    for command in &commands {
        let ran = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let printed = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{command}: {printed}");
        if command.contains("s_client") {
            assert!(printed.contains("Verification: OK"), "{command}: {printed}");
        }
    }
    // What was sent has arrived, from a stranger and twice from the user.
    let read = commands[0].replace("MAILINDEX=1", "MAILINDEX=4");
    let ran = Command::new("sh").args(["-c", &read]).output().expect("a shell");
    assert!(String::from_utf8_lossy(&ran.stdout).contains("Through the vestibule."), "{read}");

    let folder = format!("{}/vestibule-demo-{}", std::env::temp_dir().display(), demo.id());
    assert!(std::path::Path::new(&folder).exists());
    let pid = Pid::from_raw(demo.id().cast_signed()).expect("a process id");
    kill_process(pid, Signal::INT).expect("it runs");
    assert!(demo.wait().expect("our own child").success());
    assert!(!std::path::Path::new(&folder).exists(), "{folder} is left");
}
