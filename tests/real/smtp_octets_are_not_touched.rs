//! What is content is not read: not as commands, not as anything but where it ends.

use std::thread;

use crate::{
    dialogue::{PLAIN, read_to},
    harness::MESSAGE,
    mailroom::{Mailroom, Servers, Slot, Way, enter},
    scripted::{Booth, GREETING, OFFER},
    smtp::{CLIENT, ehlo, envelope, expect, log_in, say, to_data},
    stage::call,
};

/// A backend that takes one message and says what it was.
fn taker() -> Booth<Vec<u8>> {
    Booth::set(|mut arrived| {
        arrived.begin(OFFER);
        arrived.envelope();
        let data = arrived.data();
        arrived.peer.send("250 2.0.0 Ok: queued\r\n");
        arrived.end();
        data
    })
}

/// S18, S22, S23: dots, NULs, eight-bit octets, commands; in one piece, in octets, and cut in the worst places.
#[test]
fn in_a_message() {
    let mut text = b"Subject: bytes\r\n\r\n..\r\n...\r\n.x\r\nSTARTTLS\r\nQUIT\r\nXCLIENT ADDR=1\r\nBDAT 10\r\n\0\0\r\n".to_vec();
    text.extend(0..=9_u8);
    text.extend(11..=12_u8);
    text.extend(14..=255_u8);
    text.extend_from_slice(b"\r\n\r\n..\r\n.\r\n");
    let booth = taker();
    for way in [Way::Clear, Way::Starttls, Way::Implicit] {
        for size in [1, 2, 3, 7, 1000] {
            let mut peer = enter(&booth.slot(way), CLIENT);
            to_data(&mut peer);
            for piece in text.chunks(size) {
                peer.send(piece);
            }
            expect(&mut peer, "250", "the message");
            say(&mut peer, "QUIT", "221");
            drop(peer);
            assert!(booth.told() == text, "{way:?} in pieces of {size}");
        }
    }
}

/// S23, F11: a line of 64 MiB without an end passes, octet by octet, and is not kept meanwhile.
#[test]
fn in_a_line_of_64_mib() {
    let booth = taker();
    let line: Vec<u8> = (0..64_usize << 20)
        .map(|n| if n % 251 == 10 { b'.' } else { b'a' + (n % 26) as u8 })
        .collect();
    let mut peer = enter(&booth.slot(Way::Implicit), CLIENT);
    to_data(&mut peer);
    let before = resident(&booth);
    for piece in line.chunks(1 << 20) {
        peer.send(piece);
    }
    let grown = resident(&booth).saturating_sub(before);
    peer.send("\r\n.\r\n");
    expect(&mut peer, "250", "the message");
    say(&mut peer, "QUIT", "221");
    drop(peer);
    let seen = booth.told();
    assert_eq!(seen.len(), line.len() + 5);
    assert!(seen[..line.len()] == line, "it is another line");
    assert!(grown < 16 << 20, "{grown} octets more for one line");
}

/// How much memory the front has.
fn resident(booth: &Booth<Vec<u8>>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", booth.front.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux says");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib * 1024
}

/// S24, S25's kin: MAIL, RCPT, DATA, and the message in one segment with all that comes after.
#[test]
fn when_it_comes_all_at_once() {
    let room = Mailroom::set();
    for slot in room.slots() {
        let mark = room.servers.postfix.mark();
        let mut peer = enter(&slot, CLIENT);
        ehlo(&mut peer);
        if slot.login {
            log_in(&mut peer);
        }
        let envelope = "MAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n";
        let message = MESSAGE.replace("\r\n.", "\r\n..");
        peer.send(format!("{envelope}{message}.\r\n{envelope}{message}.\r\nNOOP\r\nQUIT\r\n"));
        for code in ["250", "250", "354", "250", "250", "250", "354", "250", "250", "221"] {
            expect(&mut peer, code, "a command in the group");
        }
        assert_eq!(peer.rest(), "");
        room.servers.postfix.delivers(mark, 2);
    }
    let mail = room.servers.mail();
    assert_eq!(mail.len(), 8);
    for message in mail {
        crate::harness::holds_the_message(message.as_bytes(), "a client that does not wait");
    }
}

/// S19: chunks of exact size, and an empty last one, with commands in them; several in one segment.
#[test]
fn in_chunks() {
    let room = Mailroom::set();
    let parts =
        ["Subject: chunks\r\n\r\n", "STARTTLS\r\nQUIT\r\n.\r\nBD", "AT 100\r\nXCLIENT ADDR=1\r\n"];
    for slot in room.slots() {
        for size in [1, 5, 1000] {
            let mark = room.servers.postfix.mark();
            let mut peer = enter(&slot, CLIENT);
            ehlo(&mut peer);
            if slot.login {
                log_in(&mut peer);
            }
            say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
            say(&mut peer, "RCPT TO:<alice@example.org>", "250");
            let mut group = String::new();
            for part in parts {
                group.push_str(&format!("BDAT {}\r\n{part}", part.len()));
            }
            group.push_str("BDAT 0 LAST\r\nQUIT\r\n");
            for piece in group.as_bytes().chunks(size) {
                peer.send(piece);
            }
            for _ in 0..=parts.len() {
                expect(&mut peer, "250", "a chunk");
            }
            expect(&mut peer, "221", "QUIT");
            room.servers.postfix.delivers(mark, 1);
            let mail = room.servers.mail();
            let last = mail.last().expect("one was delivered");
            assert!(last.contains("STARTTLS\nQUIT\n.\nBDAT 100\nXCLIENT ADDR=1\n"), "{last}");
        }
    }
}

/// S16, S20: long credentials, and such that look like commands, pass in both phases of an exchange.
#[test]
fn in_credentials() {
    let booth = Booth::set(|mut arrived| {
        arrived.peer.send(GREETING);
        arrived.answer("EHLO", "250-script.example.org\r\n250 AUTH PLAIN LOGIN\r\n");
        arrived.answer("AUTH", "334 VXNlcm5hbWU6\r\n");
        let first = arrived.answer("", "334 UGFzc3dvcmQ6\r\n");
        let second = arrived.answer("", "535 5.7.8 No\r\n");
        let initial = arrived.answer("AUTH PLAIN ", "235 2.7.0 Yes\r\n");
        arrived.end();
        [first, second, initial]
    });
    let long = "A".repeat(12_288 - "AUTH PLAIN \r\n".len());
    for way in [Way::Starttls, Way::Implicit] {
        let mut peer = enter(&booth.slot(way), CLIENT);
        ehlo(&mut peer);
        say(&mut peer, "AUTH LOGIN", "334");
        say(&mut peer, "STARTTLS", "334");
        say(&mut peer, &"B".repeat(12_286), "535");
        say(&mut peer, &format!("AUTH PLAIN {long}"), "235");
        say(&mut peer, "QUIT", "221");
        drop(peer);
        let [first, second, initial] = booth.told();
        assert_eq!((first.as_str(), second.len(), initial.len()), ("STARTTLS\r\n", 12_288, 12_288));
    }
}

/// S16, S20: D. The exchanges that Dovecot knows, with right and wrong passwords, said as directly.
#[test]
fn in_a_login_of_postfix() {
    let room = Mailroom::set();
    let words = |slot: &Slot<'_>| {
        let mut peer = enter(slot, CLIENT);
        ehlo(&mut peer);
        let mut said = Vec::new();
        for line in ["AUTH", "AUTH NOTHING", "AUTH PLAIN !", "AUTH PLAIN AGFsaWNlAHdyb25n"] {
            said.push(crate::smtp::ask(&mut peer, line));
        }
        for lines in [["AUTH PLAIN", "*"], ["AUTH PLAIN", "AGFsaWNlAHdyb25n"], ["AUTH LOGIN", "*"]]
        {
            for line in lines {
                said.push(crate::smtp::ask(&mut peer, line));
            }
        }
        for line in ["AUTH LOGIN", "YWxpY2U=", "c2VjcmV0", &format!("AUTH PLAIN {PLAIN}"), "QUIT"] {
            said.push(crate::smtp::ask(&mut peer, line));
        }
        said
    };
    let direct = words(&room.servers.direct(Way::Starttls, true));
    assert!(direct.iter().any(|answer| answer.starts_with("235")), "{direct:?}");
    for slot in [room.submission(Way::Starttls), room.submission(Way::Implicit)] {
        assert_eq!(words(&slot), direct, "{slot:?}");
    }
}

/// S22, S23: D. A message as awkward as one can be is in Dovecot, through the front, what it is there directly.
#[test]
fn between_client_and_mailbox() {
    let servers = Servers::new();
    let mut text =
        String::from("Subject: awkward\r\n\r\n..\r\n...x\r\nünïcödé\r\nlone\rreturn\nand feed\r\n");
    text.push_str(&"long ".repeat(5_000));
    text.push_str("\r\n\r\n.\r\n");
    let room = Mailroom::before(servers, "", "");
    let mut bodies = Vec::new();
    for slot in
        [room.servers.direct(Way::Clear, false), room.mx(Way::Clear), room.mx(Way::Starttls)]
    {
        let mark = room.servers.postfix.mark();
        let mut peer = enter(&slot, CLIENT);
        to_data(&mut peer);
        peer.send(&text);
        expect(&mut peer, "250", "the message");
        say(&mut peer, "QUIT", "221");
        room.servers.postfix.delivers(mark, 1);
        let mail = room.servers.mail();
        bodies.push(mail[mail.len() - 1].split_once("Subject: awkward").expect("it").1.to_owned());
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[0], bodies[2]);
}

/// F4: a backend that reads slowly slows the client down, and nobody loses an octet.
#[test]
fn by_a_backend_that_stops_reading() {
    const SIZE: usize = 32 << 20;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let booth = Booth::set(move |mut arrived| {
        arrived.begin(OFFER);
        arrived.envelope();
        wait.lock().unwrap().recv().unwrap();
        let data = read_to(&mut arrived.peer, |all| all.ends_with(b"\r\n.\r\n"));
        arrived.peer.send("250 2.0.0 Ok: queued\r\n");
        arrived.end();
        data
    });
    let mut peer = call(booth.slot(Way::Clear).port, CLIENT);
    expect(&mut peer, "220", "the connection");
    ehlo(&mut peer);
    envelope(&mut peer);
    let before = resident(&booth);
    let sender = thread::spawn(move || {
        let line = format!("{}\r\n", "x".repeat(998));
        for _ in 0..SIZE / line.len() {
            peer.send(&line);
        }
        peer.send(".\r\n");
        expect(&mut peer, "250", "the message");
        say(&mut peer, "QUIT", "221");
    });
    // Another session meanwhile: nobody else is slowed down.
    let mut other = enter(&booth.slot(Way::Clear), CLIENT);
    ehlo(&mut other);
    let grown = resident(&booth).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} octets more for one message");
    go.send(()).unwrap();
    sender.join().expect("all was sent");
    assert_eq!(booth.told().len(), SIZE / 1000 * 1000 + 3);
}
