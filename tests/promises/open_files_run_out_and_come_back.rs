//! With no descriptor left, clients wait; nothing spins, nothing falls over, and when there is one again,
//! they are served.

use std::collections::BTreeSet;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::{
    common::{
        front::Front,
        mailhost::{Host, Talk},
        peer::connect,
    },
    stage::Stage,
};

/// F15: few enough to run out of with a handful of clients.
const OPEN_FILES: u32 = 40;

/// F15: with the soft and the hard limit at that.
fn poor(config: &str) -> Front {
    let limit = format!("--nofile={OPEN_FILES}:{OPEN_FILES}");
    let front = Front::launch_under(&["prlimit", &limit], config);
    front.wait("it is ready", 0, |line| line["message"] == "ready");
    front
}

fn cpu_ticks(front: &Front) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", front.pid())).expect("it runs");
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// F15: accepting fails, is said once, rests, and goes on.
#[test]
fn and_clients_that_waited_are_served() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = poor(&stage.config(&[("imap", "implicit", host.backend.address)], ""));
    let mark = front.mark();
    // More than there are descriptors: the last ones wait in the kernel's queue.
    let mut crowd: Vec<_> = (0..OPEN_FILES + 20).map(|_| connect(front.address(0))).collect();
    front.wait("it is out of descriptors", mark, |line| {
        line["level"] == "ERROR" && line["message"].as_str().unwrap_or("").contains("open files")
    });
    let before = cpu_ticks(&front);
    let last = crowd.pop().unwrap();
    drop(crowd);
    let mut peer = stage.client().shake(last).expect("the handshake succeeds");
    peer.until("* OK");
    Talk::Imap.log_in(&mut peer);
    // A hundredth of a second is a tick; a loop that spins takes all that there are.
    assert!(cpu_ticks(&front) - before < 200);
    let said = front.log();
    let errors = said.iter().filter(|line| line["level"] == "ERROR").count();
    assert!(errors < 10, "it is not said over and over: {errors} times");
}

/// F15: no descriptor for the backend: the client is told to come back, and can.
#[test]
fn a_backend_that_cannot_be_dialled_is_a_temporary_refusal() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = Front::start(&stage.config(&[("imap", "implicit", host.backend.address)], ""));
    // A probe may be holding one that it gives back while we look: then a client comes through.
    let refused = (0..20).find_map(|_| {
        // The client takes the last one, and there is none for the backend.
        limit(&front, Some(lowest_free(&front) + 1));
        let mut peer = stage.client().enter(front.address(0));
        let greeting = peer.line();
        let came_through = greeting.starts_with("* OK");
        if came_through {
            Talk::Imap.log_out(&mut peer);
        }
        (!came_through).then_some(greeting)
    });
    let refused = refused.expect("descriptors run out");
    assert!(refused.starts_with("* BYE [UNAVAILABLE] "), "{refused:?}");
    limit(&front, None);
    let mut peer = stage.client().enter(front.address(0));
    peer.until("* OK");
    Talk::Imap.log_in(&mut peer);
}

/// Sets how far the descriptors of a running front may count; `None`: as far as they can.
fn limit(front: &Front, current: Option<u64>) {
    let pid = Pid::from_raw(front.pid().try_into().unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let new = Rlimit { current: current.or(maximum), maximum };
    prlimit(pid, Resource::Nofile, new).expect("it is our child");
}

/// The descriptor that comes next.
fn lowest_free(front: &Front) -> u64 {
    let listed = std::fs::read_dir(format!("/proc/{}/fd", front.pid())).expect("it runs");
    let taken: BTreeSet<u64> =
        listed.map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    (0..).find(|fd| !taken.contains(fd)).unwrap()
}
