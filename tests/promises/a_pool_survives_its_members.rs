//! A mail server with several addresses: one of them may die, be taken out, come back or be another than the rest,
//! and no new session fails for it.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Instant,
};

use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::{
    common::{
        front::{Front, PATIENCE},
        mailhost::{TALKS, Talk},
        peer::{Peer, connect},
    },
    pool::{Member, Tongue, config},
    stage::{Stage, call},
};

/// Members are probed at the start, when something goes wrong, and on SIGHUP.
const SELDOM: &str = "timeouts: { probe: 1h }";
const IMAP: Tongue = Tongue::Mail(Talk::Imap);
const IMPLICIT: &[&str] = &["protocol: imap, tls: implicit"];

type Inside = Peer<StreamOwned<ClientConnection, TcpStream>>;

fn all(members: &[Member]) -> Vec<&Member> {
    members.iter().collect()
}

fn front(stage: &Stage, members: &[&Member], keys: &str, more: &str) -> Front {
    Front::start(&config(stage, &[("pool", members, keys)], IMPLICIT, more))
}

/// Comes in, and says who serves it.
fn enter(stage: &Stage, front: &Front) -> (Inside, String) {
    let mut peer = stage.client().enter(front.address(0));
    let greeting = peer.until("* OK");
    (peer, who(&greeting))
}

/// `* OK [CAPABILITY …] two ready.`
fn who(greeting: &str) -> String {
    let words: Vec<&str> = greeting.split_whitespace().collect();
    words[words.len() - 2].to_owned()
}

/// Whoever serves a session that does nothing, and is over then.
fn visit(stage: &Stage, front: &Front) -> String {
    let (mut peer, name) = enter(stage, front);
    Talk::Imap.log_out(&mut peer);
    assert_eq!(peer.rest(), "");
    name
}

/// The summary of the next session that does nothing.
fn summary(stage: &Stage, front: &Front) -> Value {
    let mut peer = stage.client().enter(front.address(0));
    let own = peer.0.sock.local_addr().unwrap().to_string();
    peer.until("* OK");
    Talk::Imap.log_out(&mut peer);
    drop(peer);
    front.wait("it is over", 0, |line| line["message"] == "session" && line["peer"] == own.as_str())
}

/// Until it is so; the test's own patience is the end of it.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// One of three is killed while sessions come and go: none that comes notices, those that were with it are cut off in
/// words, and it is used again by itself once it is back.
#[test]
fn one_of_three_is_killed_under_load() {
    let stage = Stage::set();
    let members = Member::three(IMAP);
    let front = front(&stage, &all(&members), "", "limits: { pre_login_per_address: 1000 }");
    let victim = &members[1];
    let (killed, enough) = (AtomicBool::new(false), AtomicBool::new(false));
    let (done, cut_off) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let one = |client: &crate::common::tls::Client| {
        let is_after = killed.load(Ordering::SeqCst);
        let mut peer = client.enter(front.address(0));
        // The greeting is the backend's: whoever has none has been failed.
        let greeting = peer.line();
        assert!(greeting.starts_with("* OK"), "after the kill: {is_after}: {greeting:?}");
        let at_victim = who(&greeting) == victim.name;
        assert!(!(is_after && at_victim && !enough.load(Ordering::SeqCst)), "it is dead");
        let mut heard = String::new();
        for (command, answer) in Talk::Imap.login().iter().chain([&Talk::Imap.logout()]) {
            // It may be cut off at any time.
            if std::io::Write::write_all(&mut peer.0, command.as_bytes()).is_err() {
                break;
            }
            while let Some(line) = peer.try_line() {
                heard.push_str(&line);
                if line.starts_with(answer) {
                    break;
                }
            }
        }
        if heard.contains("o OK") {
            done.fetch_add(1, Ordering::SeqCst);
        } else {
            assert!(at_victim && !is_after, "only sessions of the dead end: {heard:?}");
            cut_off.fetch_add(1, Ordering::SeqCst);
        }
    };
    let running: Vec<Inside> = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = stage.client();
                while !enough.load(Ordering::SeqCst) {
                    one(&client);
                }
            });
        }
        let stop = StopAtEnd(&enough);
        let mut running = Vec::new();
        while running.len() < 5 {
            let (peer, name) = enter(&stage, &front);
            if name == victim.name {
                running.push(peer);
            }
        }
        until("all are used", || done.load(Ordering::SeqCst) > 30);
        victim.die();
        killed.store(true, Ordering::SeqCst);
        let before = done.load(Ordering::SeqCst);
        until("life goes on", || done.load(Ordering::SeqCst) > before + 60);
        drop(stop);
        running
    });
    for mut peer in running {
        let said = peer.rest();
        assert!(said.starts_with(Talk::Imap.come_back_later()), "{said:?}");
        assert_eq!(said.lines().count(), 1, "{said:?}");
    }
    let count = victim.sessions();
    let mark = front.mark();
    victim.live();
    until("it is used again", || {
        visit(&stage, &front);
        victim.sessions() > count
    });
    // Nobody was told to come back.
    let refused = front.log()[mark..]
        .iter()
        .filter(|line| {
            line["message"] == "session" && line["end"].as_str().unwrap().contains("try again")
        })
        .count();
    assert_eq!(refused, 0);
}

/// Ends the load also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The dial error of a member is seen by nobody; the summary says who served in the end, and the next session does not
/// even try.
#[test]
fn a_dial_error_is_retried_elsewhere() {
    let stage = Stage::set();
    let members = Member::three(IMAP);
    let front = front(&stage, &all(&members), ", balance: first", SELDOM);
    assert_eq!(visit(&stage, &front), "one");
    members[0].die();
    let said = summary(&stage, &front);
    assert_eq!(said["backend"], members[1].address.to_string());
    assert_eq!(said["tries"], 2, "{said}");
    let said = summary(&stage, &front);
    assert_eq!(said["backend"], members[1].address.to_string());
    assert!(said["tries"].is_null(), "it rests: {said}");
    // It is accepted and then cut off, before a word: the same.
    members[0].live();
    until("it is back", || visit(&stage, &front) == "one");
    members[1].die();
    members[0].say("", "");
    let deaf = members[0].sessions();
    let served = std::thread::scope(|scope| {
        let served = scope.spawn(|| visit(&stage, &front));
        until("it has the session", || members[0].sessions() > deaf);
        members[0].die();
        served.join().unwrap()
    });
    assert_eq!(served, "three");
}

/// Before the login the front knows where it may speak, in SMTP all the time; after it, it adds no word.
#[test]
fn running_sessions_hear_of_the_end() {
    let stage = Stage::set();
    for talk in TALKS {
        let member = Member::new(Tongue::Mail(talk), "one");
        let listener = format!("protocol: {}, tls: implicit", talk.name());
        let front =
            Front::start(&config(&stage, &[("pool", &[&member], "")], &[&listener], SELDOM));
        let [mut before, mut after] = [(); 2].map(|()| {
            let mut peer = stage.client().enter(front.address(0));
            peer.until(talk.greeted());
            peer
        });
        talk.log_in(&mut after);
        member.die();
        let said = before.rest();
        assert!(said.starts_with(talk.come_back_later()), "{talk:?}: {said:?}");
        assert_eq!(said.lines().count(), 1, "{said:?}");
        assert_eq!(after.rest(), "", "{talk:?}");
    }
    let member = Member::new(Tongue::Smtp, "one");
    let listeners = ["protocol: submission, tls: implicit"];
    let front = Front::start(&config(&stage, &[("pool", &[&member], "")], &listeners, SELDOM));
    let mut idle = stage.client().enter(front.address(0));
    idle.until("220");
    let mut sending = stage.client().enter(front.address(0));
    sending.until("220");
    sending.send("EHLO me\r\n");
    sending.until("250 ");
    sending.send("MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
    sending.until("354");
    member.die();
    for mut peer in [idle, sending] {
        let said = peer.rest();
        assert!(said.starts_with("421 4.3.2 "), "{said:?}");
        assert_eq!(said.lines().count(), 1, "{said:?}");
    }
}

/// Nobody is there: each protocol says so, in clear and inside TLS; and the first that comes back is found.
#[test]
fn all_are_down() {
    let stage = Stage::set();
    for talk in TALKS {
        let tongue = Tongue::Mail(talk);
        let members = ["one", "two", "three"].map(|name| Member::dead(tongue, name));
        let doors =
            ["starttls", "implicit"].map(|tls| format!("protocol: {}, tls: {tls}", talk.name()));
        let doors: Vec<&str> = doors.iter().map(String::as_str).collect();
        let front = Front::start(&config(&stage, &[("pool", &all(&members), "")], &doors, SELDOM));
        let told =
            [connect(front.address(0)).rest(), stage.client().enter(front.address(1)).rest()];
        for said in told {
            assert!(said.starts_with(talk.come_back_later()), "{talk:?}: {said:?}");
            assert_eq!(said.lines().count(), 1, "{said:?}");
        }
        members[2].live();
        until("it is found", || {
            stage
                .client()
                .enter(front.address(1))
                .line()
                .starts_with(talk.greeting().split(' ').next().unwrap())
        });
    }
}

/// Members that swallow connections keep clients waiting only until that is known.
#[test]
fn all_are_black_holes() {
    let stage = Stage::set();
    let holes: Vec<(TcpListener, Vec<TcpStream>)> = (0..2)
        .map(|_| {
            let hole = TcpListener::bind("127.0.0.1:0").unwrap();
            socket2::SockRef::from(&hole).listen(0).unwrap();
            let full = vec![TcpStream::connect(hole.local_addr().unwrap()).unwrap()];
            (hole, full)
        })
        .collect();
    let addresses: Vec<String> =
        holes.iter().map(|(hole, _)| format!("\"{}\"", hole.local_addr().unwrap())).collect();
    let text = config(&stage, &[], IMPLICIT, "timeouts: { connect: 1500ms, probe: 1h }").replace(
        "backends:\n",
        &format!("backends:\n  pool: {{ addresses: [{}] }}\n", addresses.join(", ")),
    );
    let front = Front::start(&text);
    for (hole, _) in &holes {
        let address = format!("imap {}", hole.local_addr().unwrap());
        front.wait("it is known", 0, |line| {
            line["message"] == "backend is down" && line["backend"] == address.as_str()
        });
    }
    let mark = front.mark();
    let said = stage.client().enter(front.address(0)).rest();
    assert!(said.starts_with("* BYE [UNAVAILABLE] "), "{said:?}");
    // At once: none was dialled.
    let summary = front.summary(mark);
    assert!(summary["end"].as_str().unwrap().contains("are down"), "{summary}");
    assert!(summary["backend"].is_null(), "{summary}");
}

/// One that accepts and then says nothing, as a stopped process does, keeps a client waiting, and no more than that.
#[test]
fn one_is_struck_dumb() {
    let stage = Stage::set();
    let members = Member::three(IMAP);
    let impatient = "timeouts: { connect: 1s, greeting: 3s, probe: 1h }";
    let front = front(&stage, &all(&members), ", balance: first", impatient);
    members[0].say("", "");
    let tries = || {
        let mark = front.mark();
        assert_eq!(visit(&stage, &front), "two");
        front.summary(mark)["tries"].clone()
    };
    assert_eq!(tries(), 2);
    assert!(tries().is_null(), "now it is known");
}

/// A client stays with its member; another's trouble does not move it.
#[test]
fn hash_client_is_stable() {
    /// So many that none of three is left out but once in millions of runs: its ports, and so its hash, are the
    /// kernel's choice.
    const CLIENTS: u8 = 40;
    let stage = Stage::set();
    let members = Member::three(IMAP);
    let front = front(&stage, &all(&members), ", balance: hash-client", SELDOM);
    let serves = |n: u8| {
        let mut peer =
            stage.client().shake(call(front.address(0), Ipv4Addr::new(127, 0, 1, n))).unwrap();
        let name = who(&peer.until("* OK"));
        Talk::Imap.log_out(&mut peer);
        name
    };
    let homes: Vec<String> = (1..=CLIENTS).map(serves).collect();
    assert_eq!((1..=CLIENTS).map(serves).collect::<Vec<_>>(), homes);
    assert!(members.iter().all(|m| homes.contains(&m.name)), "all have some: {homes:?}");
    members[1].die();
    for (n, home) in (1..=CLIENTS).zip(&homes) {
        let now = serves(n);
        assert!(now == *home || *home == "two" && now != "two", "{home} -> {now}");
    }
    members[1].live();
    until("all are back", || (1..=CLIENTS).map(serves).collect::<Vec<_>>() == homes);
}

/// The one with the fewest sessions, and nobody forgets to count one less.
#[test]
fn least_sessions_counts_those_that_are_there() {
    let stage = Stage::set();
    let members = Member::three(IMAP);
    let front = front(&stage, &all(&members), ", balance: least-sessions", SELDOM);
    let mut there: Vec<(Inside, String)> = (0..6).map(|_| enter(&stage, &front)).collect();
    for member in &members {
        assert_eq!(there.iter().filter(|(_, name)| *name == member.name).count(), 2);
    }
    // Those of one leave: it has room for two.
    let mark = front.mark();
    there.retain_mut(|(peer, name)| {
        let leaves = name == "three";
        if leaves {
            Talk::Imap.log_out(peer);
        }
        !leaves
    });
    front.summary(mark);
    until("both have ended", || {
        front.log()[mark..].iter().filter(|l| l["message"] == "session").count() == 2
    });
    let (_first, name) = enter(&stage, &front);
    assert_eq!(name, "three");
    let (_second, name) = enter(&stage, &front);
    assert_eq!(name, "three");
}

/// `drain: true`: those that are there stay, nobody new comes; and back again.
#[test]
fn a_member_is_taken_out_without_cutting_a_session() {
    let stage = Stage::set();
    let members = Member::three(IMAP);
    let lines = |drained: &str| {
        config(&stage, &[("pool", &all(&members), "")], IMPLICIT, SELDOM).replace(
            &format!("\"{}\"", members[1].address),
            &format!("{{ address: \"{}\"{drained} }}", members[1].address),
        )
    };
    let front = Front::start(&lines(""));
    let mut inside = loop {
        let (mut peer, name) = enter(&stage, &front);
        Talk::Imap.log_in(&mut peer);
        if name == "two" {
            break peer;
        }
    };
    front.configure(&lines(", drain: true"));
    front.reload();
    let count = members[1].sessions();
    let served: Vec<String> = (0..9).map(|_| visit(&stage, &front)).collect();
    assert!(!served.contains(&"two".to_owned()), "{served:?}");
    assert_eq!(members[1].sessions(), count);
    let (noop, ok) = Talk::Imap.noop();
    inside.send(noop);
    inside.until(ok);
    front.configure(&lines(""));
    front.reload();
    let served: Vec<String> = (0..9).map(|_| visit(&stage, &front)).collect();
    assert!(served.contains(&"two".to_owned()), "{served:?}");
    inside.send(noop);
    inside.until(ok);
}

/// A reload that adds a member, or takes one away, leaves the others as they were: their health, what was learned of
/// them, and how many sessions they have.
#[test]
fn a_reload_changes_only_what_it_changes() {
    let stage = Stage::set();
    let [one, two, three] = Member::three(IMAP);
    two.die();
    let lines = |members: &[&Member]| {
        config(
            &stage,
            &[("pool", members, ", balance: least-sessions")],
            IMPLICIT,
            "timeouts: { probe: 1h }",
        )
    };
    let front = Front::start(&lines(&[&one, &two]));
    let down = |line: &Value| line["message"] == "backend is down";
    front.wait("one of them is down", 0, down);
    let (mut inside, name) = enter(&stage, &front);
    assert_eq!(name, "one");
    front.configure(&lines(&[&one, &two, &three]));
    let mark = front.mark();
    front.reload();
    // One has a session, three has none: the count has been kept.
    let (_peer, name) = enter(&stage, &front);
    assert_eq!(name, "three");
    let (_other, name) = enter(&stage, &front);
    assert_ne!(name, "two", "it is still known to be down");
    front.configure(&lines(&[&one, &two]));
    front.reload();
    assert!(visit(&stage, &front) == "one");
    let again = front.log()[mark..].iter().filter(|line| down(line)).count();
    assert_eq!(again, 0, "nothing new was learned of it");
    let (noop, ok) = Talk::Imap.noop();
    inside.send(noop);
    inside.until(ok);
}

/// What clients are offered is what all members can; the log says once that they differ, and SIGHUP has all of it
/// learned again.
#[test]
fn members_that_differ_offer_what_all_have() {
    let stage = Stage::set();
    let members = Member::three(IMAP);
    let list = |member: &Member, capabilities: &str| {
        member.say("CAPABILITY", &format!("* CAPABILITY {capabilities}\r\n1 OK done\r\n"));
    };
    list(&members[0], "IMAP4rev1 ID AUTH=PLAIN IDLE SASL-IR");
    list(&members[1], "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=LOGIN ID");
    list(&members[2], "IMAP4rev1 ID IDLE AUTH=PLAIN SASL-IR QUOTA");
    let doors = ["protocol: imap, tls: starttls"];
    let front = Front::start(&config(&stage, &[("pool", &all(&members), "")], &doors, SELDOM));
    let offered = || {
        let mut peer = connect(front.address(0));
        let line = peer.line();
        line[line.find('[').unwrap()..=line.find(']').unwrap()].to_owned()
    };
    for _ in 0..5 {
        assert_eq!(offered(), "[CAPABILITY IMAP4rev1 ID SASL-IR STARTTLS LOGINDISABLED]");
    }
    let said: Vec<String> = front
        .log()
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|m| m.contains("members differ")))
        .map(|line| line["said"].as_str().unwrap().to_owned())
        .collect();
    let [said] = &said[..] else { panic!("once: {said:?}") };
    assert!(said.contains(&format!("{} alone has AUTH=LOGIN", members[1].address)), "{said}");
    // What was learned is kept for the next start, where the configuration says.
    let kept = std::fs::read_dir(front.folder.path().join("state/learned")).unwrap();
    assert_eq!(kept.count(), 3);
    let probes: Vec<usize> = members.iter().map(Member::probes).collect();
    for member in &members {
        list(member, "IMAP4rev1 ID IDLE");
    }
    front.reload();
    until("they are asked again", || members.iter().zip(&probes).all(|(m, n)| m.probes() > *n));
    until("it is offered", || offered() == "[CAPABILITY IMAP4rev1 ID IDLE STARTTLS LOGINDISABLED]");
}

/// A name stands for all its addresses, and those at which nobody is are no hindrance.
#[test]
fn a_name_is_looked_up() {
    let stage = Stage::set();
    let member = Member::new(IMAP, "one");
    let text = config(&stage, &[("pool", &[&member], "")], IMPLICIT, SELDOM)
        .replace(&member.address.to_string(), &format!("localhost:{}", member.address.port()));
    let front = Front::start(&text);
    let found = front.wait("it is found", 0, |line| line["message"] == "backend's name looked up");
    assert!(found["addresses"].as_str().unwrap().contains("127.0.0.1"), "{found}");
    for _ in 0..5 {
        assert_eq!(summary(&stage, &front)["backend"], member.address.to_string());
    }
}

/// A name that nobody knows is a warning, and a temporary refusal: it may be known soon.
#[test]
fn a_name_that_nobody_knows() {
    let stage = Stage::set();
    let text = config(
        &stage,
        &[],
        &["protocol: imap, tls: implicit", "protocol: imap, tls: starttls"],
        SELDOM,
    )
    .replace("backends:\n", "backends:\n  pool: { addresses: [\"nobody.invalid:143\"] }\n");
    let front = Front::start(&text);
    front.wait("it is said", 0, |line| {
        line["level"] == "WARN" && line["name"] == "nobody.invalid" && line["why"].is_string()
    });
    for said in [stage.client().enter(front.address(0)).rest(), connect(front.address(1)).rest()] {
        assert!(said.starts_with("* BYE [UNAVAILABLE] "), "{said:?}");
    }
}

/// A Unix socket is an address like any other.
#[test]
fn a_member_is_a_unix_socket() {
    let stage = Stage::set();
    let path = stage.folder.path().join("imap.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut peer = Peer(stream.unwrap());
            std::thread::spawn(move || {
                peer.send("* OK socket ready.\r\n");
                Talk::Imap.answer_all(&mut peer, |_| {});
            });
        }
    });
    let dead = Member::dead(IMAP, "two");
    let text = config(&stage, &[("pool", &[&dead], ", identity: none")], IMPLICIT, SELDOM)
        .replace("addresses: [", &format!("addresses: [\"unix:{}\", ", path.display()));
    let front = Front::start(&text);
    for _ in 0..4 {
        assert_eq!(visit(&stage, &front), "socket");
    }
    assert_eq!(summary(&stage, &front)["backend"], format!("unix:{}", path.display()));
}
