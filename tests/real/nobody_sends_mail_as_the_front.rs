//! Where Postfix believes whoever comes from this machine, a client still cannot tell it a false address: not by
//! XCLIENT or XFORWARD in any spelling and state, and not by bringing the front out of step.

use std::{io::ErrorKind, net::Ipv4Addr};

use crate::{
    common::peer::{Bytes, Peer},
    dialogue::PLAIN,
    mailroom::{Mailroom, Servers, Slot, Way, enter},
    postfix::Postfix,
    scripted::{Booth, GREETING, OFFER, offered},
    smtp::{CLIENT, ask, ehlo, expect, log_in, reply, say},
    stage::call,
};

/// Nobody's address, which tells the attempts apart.
fn false_address(n: usize) -> String {
    format!("203.0.113.{n}")
}

/// What makes Postfix write down who it takes the client for, behind what changes its mind.
fn traced(attempt: &str) -> String {
    format!("{attempt}MAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\nQUIT\r\n")
}

/// XCLIENT and XFORWARD as Postfix, or another server, might read them.
fn spellings(address: &str) -> Vec<String> {
    let xclient = format!("ADDR={address} NAME=spoof.example.com\r\n");
    let mut all: Vec<String> = [
        "XCLIENT ",
        "xclient ",
        "XcLiEnT ",
        " XCLIENT ",
        "   XCLIENT ",
        "\tXCLIENT ",
        "XCLIENT\t",
        " \t XCLIENT \t ",
        "\u{b}XCLIENT ",
        "\u{c}XCLIENT ",
        "XCLIENT\u{b}",
        "XCLIENT\u{c}",
        "\"XCLIENT\" ",
        "<XCLIENT> ",
        "X\\CLIENT ",
        "\\XCLIENT ",
        "XCLIENT: ",
        "XCLIENT, ",
        ",XCLIENT ",
        "\rXCLIENT ",
        "\nXCLIENT ",
        "\0XCLIENT ",
        "\r\nXCLIENT ",
        "NOOP\nXCLIENT ",
        "NOOP\rXCLIENT ",
        "NOOP\0\nXCLIENT ",
        "NOOP \nXCLIENT ",
        "XFORWARD ",
        " XFORWARD ",
        "XFORWARD\t",
        "xForward ",
    ]
    .iter()
    .map(|verb| format!("{verb}{xclient}"))
    .collect();
    all.push(format!("XCLIENT ADDR={address} NAME=spoof.example.com\n"));
    all.push(format!("XCLIENT\r\nXCLIENT ADDR={address}\0 NAME=spoof.example.com\r\n"));
    all.iter().map(|line| traced(line)).collect()
}

/// Ways to make a filter take commands for data: what comes after has to be taken for commands by the server.
fn confusions(address: &str) -> Vec<String> {
    let spoof = traced(&format!("XCLIENT ADDR={address} NAME=spoof.example.com\r\n"));
    let envelope = "MAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\n";
    // A message that is none for who believes in the chunk.
    let message_ends = format!("\r\n.\r\n{spoof}");
    let size = message_ends.len();
    let mut all = vec![
        // Refused DATA.
        format!("DATA\r\n{spoof}.\r\n"),
        format!("DATA now\r\n{spoof}.\r\n"),
        format!("{envelope}DATA now\r\n{spoof}.\r\n"),
        // The end of a message, glued to the next command.
        format!("{envelope}DATA\r\n.\r\n{spoof}"),
        format!("{envelope}DATA\r\nText.\r\n.\r\n{spoof}"),
        // Refused AUTH, and AUTH that fails or is given up.
        format!("AUTH\r\n{spoof}"),
        format!("AUTH NOTHING\r\n{spoof}"),
        format!("AUTH PLAIN ===\r\n{spoof}"),
        format!("AUTH PLAIN\r\n*\r\n{spoof}"),
        format!("AUTH LOGIN\r\n*\r\n{spoof}"),
        format!("AUTH PLAIN {PLAIN}\r\n{spoof}"),
        format!("AUTH PLAIN {PLAIN}\r\nAUTH PLAIN\r\n{spoof}"),
        format!("{envelope}AUTH PLAIN\r\n{spoof}"),
        // Chunks that are none.
        format!("BDAT {}\r\n{spoof}", spoof.len()),
        format!("{envelope}BDAT {} LAST x\r\n{spoof}", spoof.len()),
        format!("{envelope}BDAT {} FIRST\r\n{spoof}", spoof.len()),
        format!("{envelope}BDAT -1\r\n{spoof}"),
        format!("{envelope}BDAT +{}\r\n{spoof}", spoof.len()),
        format!("{envelope}BDAT 0x{:x}\r\n{spoof}", spoof.len()),
        format!("{envelope}BDAT 99999999999999999999999\r\n{spoof}"),
        format!("{envelope}BDAT 18446744073709551616\r\n{spoof}"),
        format!("{envelope}BDAT {}\n{spoof}", spoof.len()),
        format!("{envelope}BDAT\t{}\r\n{spoof}", spoof.len()),
        format!("{envelope}BDAT 0 LAST\r\n{spoof}"),
        format!("{envelope}BDAT 0{}\r\n{spoof}", spoof.len()),
        // A long name of the client's.
        format!("EHLO {}\r\n{spoof}", "x".repeat(300)),
        format!("NOOP {}\r\n{spoof}", "x".repeat(3000)),
        // Two readings of where a command ends.
        format!("NOOP BDAT {}\r\n{spoof}", spoof.len()),
        format!("NOOP\rBDAT {}\r\n{spoof}", spoof.len()),
        format!("NOOP\0BDAT {}\r\n{spoof}", spoof.len()),
    ];
    // A DATA, AUTH or BDAT that the server knows and the filter does not: what is said to it then is a chunk to one
    // of them.
    for verb in [" DATA", "\tDATA", "DATA ", "DATA\t", "\u{b}DATA", "\"DATA\"", "DATA\0"] {
        all.push(format!("{envelope}{verb}\r\nBDAT {size}\r\n{message_ends}"));
    }
    for verb in [" AUTH LOGIN", "\tAUTH LOGIN", "AUTH\tLOGIN", "AUTH\u{b}LOGIN"] {
        all.push(format!("{verb}\r\nBDAT {}\r\n{spoof}", spoof.len()));
        all.push(format!("{verb}\r\nAAAA\r\nBDAT {}\r\n{spoof}", spoof.len()));
    }
    for verb in [" BDAT ", "\tBDAT ", "BDAT\t", "\"BDAT\" ", "BDAT  "] {
        let inner = format!("BDAT {}\r\n", spoof.len());
        all.push(format!("{envelope}{verb}{}\r\n{inner}{spoof}", inner.len()));
    }
    all
}

/// Says it all at once, and hears the end. A front that has had enough may have closed before it had read all.
fn attempt(slot: &Slot<'_>, said: &str) {
    let mut peer = enter(slot, CLIENT);
    ehlo(&mut peer);
    // However much of it was data, the session ends.
    let said = format!("{said}\r\n.\r\nQUIT\r\n");
    let _ = peer.0.write_all(said.as_bytes()).and_then(|()| peer.0.flush());
    let mut heard = Vec::new();
    match peer.0.read_to_end(&mut heard) {
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("no end through {slot:?}, but {:?} to {said:?}", String::from_utf8_lossy(&heard))
        }
        _ => {}
    }
}

/// The addresses that Postfix has written down by now. Somebody comes in directly, so that it has written down all
/// that was before.
fn believed(postfix: &Postfix, mark: usize) -> Vec<usize> {
    let mut peer = call(postfix.ports.plain_mx, Ipv4Addr::new(127, 0, 0, 77));
    expect(&mut peer, "220", "the connection");
    ehlo(&mut peer);
    say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    say(&mut peer, "RCPT TO:<alice@example.org>", "250");
    postfix.logs(mark, &["client=unknown[127.0.0.77]"]);
    let log = postfix.log();
    (0..256).filter(|&n| log.contains(&format!("[{}]", false_address(n)))).collect()
}

/// The control: directly, most of the spellings work; what Postfix does not understand anyway proves nothing.
#[test]
fn though_directly_one_can() {
    let servers = Servers::new();
    let slot =
        Slot { port: servers.postfix.ports.plain_trusting, ..servers.direct(Way::Clear, false) };
    let mark = servers.postfix.mark();
    for n in 0..spellings("").len() {
        attempt(&slot, &spellings(&false_address(n))[n]);
    }
    let believed = believed(&servers.postfix, mark);
    let spelled: Vec<String> = believed.iter().map(|&n| spellings("")[n].clone()).collect();
    for verb in ["XCLIENT ", "xclient ", " XCLIENT ", "\tXCLIENT ", "XCLIENT\t", "XFORWARD "] {
        assert!(spelled.iter().any(|line| line.starts_with(verb)), "{verb:?} among {spelled:?}");
    }
}

fn through(room: &Mailroom, slots: &[Slot<'_>], attempts: fn(&str) -> Vec<String>) {
    for slot in slots {
        let mark = room.servers.postfix.mark();
        for n in 0..attempts("").len() {
            let said = attempts(&false_address(n)).swap_remove(n);
            attempt(slot, &said);
        }
        let believed = believed(&room.servers.postfix, mark);
        let which: Vec<String> =
            believed.iter().map(|&n| attempts(&false_address(n)).swap_remove(n)).collect();
        assert!(which.is_empty(), "Postfix believed, through {slot:?}: {which:#?}");
    }
}

/// S14: in any spelling that Postfix might understand, on each port.
#[test]
fn by_xclient_however_it_is_spelled() {
    for identity in ["proxy-v2", "xclient"] {
        let room = Mailroom::before_trusting(Servers::new(), identity);
        through(&room, &room.slots(), spellings);
    }
}

/// Also where trust is in the front's own address: the worst case.
#[test]
fn nor_where_the_front_is_trusted_itself() {
    let room = Mailroom::before_trusting(Servers::new(), "none");
    through(&room, &[room.mx(Way::Clear), room.mx(Way::Starttls)], spellings);
}

/// S18–S20 and the attack lessons: what is data to one and commands to the other.
#[test]
fn nor_out_of_step() {
    for identity in ["proxy-v2", "xclient"] {
        let room = Mailroom::before_trusting(Servers::new(), identity);
        through(&room, &[room.mx(Way::Clear), room.submission(Way::Implicit)], confusions);
    }
}

/// S14: in every state of the session, whole, pipelined and in pieces; the session goes on with the client as it is.
#[test]
fn in_any_state_of_the_session() {
    ["proxy-v2", "xclient"].iter().for_each(|identity| in_any_state(identity));
}

fn in_any_state(identity: &str) {
    let room = Mailroom::before_trusting(Servers::new(), identity);
    for slot in room.slots() {
        let mark = room.servers.postfix.mark();
        let mut peer = enter(&slot, CLIENT);
        spoof(&mut peer, "before EHLO");
        ehlo(&mut peer);
        spoof(&mut peer, "after EHLO");
        if slot.login {
            log_in(&mut peer);
            spoof(&mut peer, "after the login");
        }
        for message in 0..2 {
            say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
            spoof(&mut peer, "after MAIL");
            say(&mut peer, "RCPT TO:<alice@example.org>", "250");
            spoof(&mut peer, "after RCPT");
            say(&mut peer, "DATA", "354");
            peer.send("XCLIENT ADDR=203.0.113.9\r\n\r\nXFORWARD ADDR=203.0.113.9\r\n.\r\n");
            expect(&mut peer, "250", &format!("message {message}"));
            spoof(&mut peer, "after a message");
        }
        say(&mut peer, "QUIT", "221");
        room.servers.postfix.delivers(mark, 2);
        room.servers.postfix.logs(mark, &["client=unknown[127.0.0.5]"]);
        let log = room.servers.postfix.log();
        assert!(!log.contains("203.0.113.9]"), "{log}");
        assert!(room.servers.mail().iter().all(|message| !message.contains("[203.0.113.9]")));
    }
}

/// Whole, in octets, and with another command in one segment.
fn spoof<S: Bytes>(peer: &mut Peer<S>, when: &str) {
    let refused = |answer: String| {
        assert!(answer.starts_with('5'), "{answer:?} to XCLIENT or XFORWARD {when}");
    };
    refused(ask(peer, "XCLIENT ADDR=203.0.113.9 NAME=spoof.example.com"));
    refused(ask(peer, "xforward ADDR=203.0.113.9 NAME=client.example.com"));
    for byte in b"XCLIENT ADDR=203.0.113.9\r\n" {
        peer.send([*byte]);
    }
    refused(reply(peer));
    peer.send("NOOP\r\nXCLIENT ADDR=203.0.113.9\r\nNOOP\r\n");
    expect(peer, "250", "NOOP");
    refused(reply(peer));
    expect(peer, "250", "NOOP");
}

/// Against backends that refuse what they offer: each line that they get is one that the client meant as a command.
#[test]
fn nor_by_data_that_a_backend_refuses() {
    const FORBIDDEN: &str = "XCLIENT ADDR=203.0.113.9\r\n";
    let booth = Booth::set(|mut arrived| {
        arrived.peer.send(GREETING);
        arrived.serve(|line| {
            let verb = line.get(..4).unwrap_or(line).to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => offered(OFFER),
                "AUTH" => "503 5.5.1 Not now\r\n".to_owned(),
                "DATA" => "451 4.3.0 Not now\r\n".to_owned(),
                "BDAT" => "503 5.5.1 Not now\r\n".to_owned(),
                "QUIT" => "221 2.0.0 Bye\r\n".to_owned(),
                _ => "250 2.0.0 Ok\r\n".to_owned(),
            }
        })
    });
    let chunk = format!("BDAT {}\r\n{FORBIDDEN}", FORBIDDEN.len());
    for (said, is_data) in [
        (format!("AUTH LOGIN\r\n{FORBIDDEN}QUIT\r\n"), false),
        (format!("AUTH PLAIN\r\n{FORBIDDEN}{FORBIDDEN}QUIT\r\n"), false),
        (format!("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n{FORBIDDEN}.\r\nQUIT\r\n"), false),
        (format!("DATA\r\nSubject: x\r\n\r\n{FORBIDDEN}\r\n.\r\n{FORBIDDEN}QUIT\r\n"), false),
        (format!("MAIL FROM:<>\r\n{chunk}QUIT\r\n"), true),
        (format!("BDAT 5 LAST\r\nabc\r\n{FORBIDDEN}QUIT\r\n"), false),
    ] {
        let mut peer = enter(&booth.slot(Way::Implicit), CLIENT);
        ehlo(&mut peer);
        peer.send(&said);
        let heard = peer.rest();
        drop(peer);
        let lines = booth.told();
        // RFC 3030 §2 lets a server that has offered CHUNKING refuse a chunk, not leave it unread: those octets are
        // its own affair. Everything else is a command.
        let allowed = usize::from(is_data);
        assert!(
            lines.iter().filter(|line| line.as_str() == FORBIDDEN).count() <= allowed,
            "{said:?} came as {lines:?}, answered {heard:?}"
        );
    }
}

/// BDAT where CHUNKING is not on offer in this session, though the probe has seen it: not one octet of it passes.
#[test]
fn nor_by_a_chunk_where_none_are_on_offer() {
    let booth = Booth::set(|mut arrived| {
        arrived.peer.send(GREETING);
        arrived.serve(|line| match line.get(..4) {
            Some("EHLO") => offered(&["SIZE", "8BITMIME"]),
            Some("QUIT") => "221 2.0.0 Bye\r\n".to_owned(),
            _ => "250 2.0.0 Ok\r\n".to_owned(),
        })
    });
    for way in [Way::Clear, Way::Implicit] {
        for chunk in ["BDAT 30 LAST\r\n", "bdat 30\r\n", "BDAT\r\n", "BDAT x\r\n"] {
            let mut peer = enter(&booth.slot(way), CLIENT);
            ehlo(&mut peer);
            say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
            peer.send(format!("{chunk}XCLIENT ADDR=203.0.113.9\r\nQUIT\r\n"));
            let heard = peer.rest();
            drop(peer);
            let lines = booth.told().concat();
            assert!(!lines.to_ascii_uppercase().contains("BDAT"), "{lines}");
            assert!(!lines.contains("XCLIENT"), "{chunk:?} let it through: {lines}");
            assert!(heard.starts_with('5') && !heard.contains("\n250"), "{heard:?} to {chunk:?}");
        }
    }
}

/// A backend that asks for more than the filter knows of: what the client says then is neither command nor data.
#[test]
fn nor_by_a_question_that_the_filter_does_not_understand() {
    for question in ["334 Go on\r\n", "354 Go on\r\n", "335 Go on\r\n"] {
        let booth = Booth::set(move |mut arrived| {
            arrived.peer.send(GREETING);
            arrived.serve(|line| match line.get(..4) {
                Some("EHLO") => offered(OFFER),
                Some("XODD") => question.to_owned(),
                Some("QUIT") => "221 2.0.0 Bye\r\n".to_owned(),
                _ => "250 2.0.0 Ok\r\n".to_owned(),
            })
        });
        let mut peer = enter(&booth.slot(Way::Implicit), CLIENT);
        ehlo(&mut peer);
        peer.send("XODD\r\n");
        // Whether it passes the question on or not, it lets no chunk through that answers it.
        peer.send("BDAT 26\r\nXCLIENT ADDR=203.0.113.9\r\nQUIT\r\n");
        peer.rest();
        drop(peer);
        let lines = booth.told();
        assert!(!lines.iter().any(|line| line.starts_with("XCLIENT")), "{question:?}: {lines:?}");
    }
}

/// S9, S14: a STARTTLS of Postfix's own is behind the front, and nobody gets there; nor in any spelling.
#[test]
fn nor_is_a_tls_begun_behind_it() {
    let room = Mailroom::set();
    for slot in [room.mx(Way::Clear), room.mx(Way::Starttls), room.submission(Way::Implicit)] {
        for spelled in [" STARTTLS", "\tSTARTTLS", "STARTTLS\t", "\"STARTTLS\"", "\u{b}STARTTLS"] {
            let mut peer = enter(&slot, CLIENT);
            ehlo(&mut peer);
            say(&mut peer, "VRFY somebody", "");
            let answer = ask(&mut peer, spelled);
            assert!(answer.starts_with('5'), "{answer:?} to {spelled:?} through {slot:?}");
        }
    }
    let log = room.servers.postfix.log();
    assert!(!log.contains("starttls=") && !log.contains("SSL_accept"), "{log}");
}
