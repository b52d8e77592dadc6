//! On 25 nobody needs TLS; elsewhere, whom the configuration says.

use std::net::Ipv4Addr;

use crate::{
    dialogue::PLAIN,
    mailroom::{Mailroom, Servers, Slot, Way, enter},
    smtp::{CLIENT, ask, ehlo, envelope, expect, extensions, log_in, message, say, send},
    stage::call,
};

const STARTTLS_FIRST: &str = "530 5.7.0 Must issue a STARTTLS command first\r\n";

/// S4, S6: D. Each command in clear is answered as directly, once there is something to tell the backend; EHLO and
/// HELO are said to it in the client's words.
#[test]
fn and_is_answered_as_directly() {
    let room = Mailroom::set();
    let words = |slot: &Slot<'_>| {
        let mut peer = enter(slot, CLIENT);
        let mut said = Vec::new();
        for line in [
            "HELO client.example.net",
            "VRFY alice",
            "EXPN alice",
            "ETRN example.org",
            "MAIL FROM:<sender@example.net> SIZE=100 BODY=8BITMIME",
            "MAIL FROM:<again@example.net>",
            "RCPT TO:<nobody@example.org>",
            "RCPT TO:<somebody@example.com>",
            "DATA",
            "RSET",
            "MAIL FROM:<>",
            "RCPT TO:<alice@example.org> NOTIFY=NEVER",
            "NOOP",
            "HELP",
            "NONSENSE",
            "DATA x",
            "BDAT",
            "QUIT",
        ] {
            if line.starts_with("BDAT") {
                continue;
            }
            said.push(ask(&mut peer, line));
        }
        said
    };
    let direct = words(&room.servers.direct(Way::Clear, false));
    assert_eq!(words(&room.mx(Way::Clear)), direct);
}

/// S4: EHLO, HELO, and neither: what Postfix gets to know is what the client said.
#[test]
fn with_the_name_that_the_client_gave() {
    let room = Mailroom::set();
    for (hello, seen) in [
        (Some("EHLO one.example.net"), "from one.example.net (unknown [127.0.0.5])"),
        (Some("HELO two.example.net"), "from two.example.net (unknown [127.0.0.5])"),
        (None, "from unknown (unknown [127.0.0.5])"),
    ] {
        let mark = room.servers.postfix.mark();
        let mut peer = enter(&room.mx(Way::Clear), CLIENT);
        if let Some(hello) = hello {
            say(&mut peer, "EHLO zero.example.net", "250");
            say(&mut peer, hello, "250");
        }
        envelope(&mut peer);
        peer.send(message("named"));
        expect(&mut peer, "250", "the message");
        say(&mut peer, "QUIT", "221");
        room.servers.postfix.delivers(mark, 1);
        let mail = room.servers.mail();
        let last = mail.last().expect("it came").replace("\n\t", " ");
        let direct_form = seen.replace("from unknown (unknown", "(unknown");
        assert!(last.contains(seen) || hello.is_none() && last.contains(&direct_form), "{last}");
        assert!(!last.contains("zero.example.net"), "{last}");
    }
}

/// S15: not a password in clear, before the backend is dialled and after.
#[test]
fn but_no_password_does() {
    let servers = Servers::new();
    let submission = servers.postfix.ports.submission;
    // The service with passwords, on 25.
    let room = Mailroom::before_ports(servers, "proxy-v2", submission, submission);
    let mut peer = enter(&room.mx(Way::Clear), CLIENT);
    for _ in 0..2 {
        let offer = ehlo(&mut peer);
        assert!(!offer.iter().any(|line| line.starts_with("AUTH")), "{offer:?}");
        assert_eq!(offer.iter().filter(|line| *line == "STARTTLS").count(), 1, "{offer:?}");
        for line in
            [&format!("AUTH PLAIN {PLAIN}"), "AUTH PLAIN AGFsaWNlAHdyb25n", "auth login", "AUTH"]
        {
            assert_eq!(ask(&mut peer, line), STARTTLS_FIRST, "to {line:?}");
        }
        // From here on Postfix answers.
        say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    }
    say(&mut peer, "QUIT", "221");
    let log = room.servers.postfix.log();
    assert!(!log.contains("sasl"), "{log}");
    // In TLS the same service lets alice in.
    let mut inside = enter(&room.mx(Way::Starttls), CLIENT);
    ehlo(&mut inside);
    log_in(&mut inside);
}

/// S15, `plaintext_from`: whose network is named may go on without TLS, password and all; others may not; and TLS
/// stays on offer.
#[test]
fn except_from_networks_that_are_named() {
    let room = Mailroom::before(Servers::new(), "", "plaintext_from: [\"127.0.0.64/28\"]");
    let office = Ipv4Addr::new(127, 0, 0, 66);
    let slot = Slot { way: Way::Clear, ..room.submission(Way::Starttls) };
    let mark = room.servers.postfix.mark();
    let mut peer = enter(&slot, office);
    let offer = ehlo(&mut peer);
    assert!(offer.iter().any(|line| line.starts_with("AUTH ")), "{offer:?}");
    assert!(offer.iter().any(|line| line == "STARTTLS"), "{offer:?}");
    log_in(&mut peer);
    let live = extensions(&say(&mut peer, "EHLO client.example.net", "250"));
    assert!(live.iter().any(|line| line == "STARTTLS"), "{live:?}");
    say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    say(&mut peer, "RCPT TO:<somebody@example.com>", "250");
    say(&mut peer, "RSET", "250");
    send(&mut peer, "from the office");
    room.servers.postfix.logs(mark, &["client=unknown[127.0.0.66]", "sasl_username=alice"]);

    let mut stranger = enter(&slot, CLIENT);
    let offer = ehlo(&mut stranger);
    assert!(!offer.iter().any(|line| line.starts_with("AUTH")), "{offer:?}");
    assert_eq!(ask(&mut stranger, &format!("AUTH PLAIN {PLAIN}")), STARTTLS_FIRST);
    assert_eq!(ask(&mut stranger, "MAIL FROM:<sender@example.net>"), STARTTLS_FIRST);
}

/// S17, S29, S30, F11: long lines, odd names and unknown commands, before and after the backend is dialled.
#[test]
fn within_reason() {
    let room = Mailroom::set();
    let slot = room.mx(Way::Clear);
    let mut peer = enter(&slot, CLIENT);
    say(&mut peer, &format!("NOOP {}", "x".repeat(1000 - 7)), "250");
    say(&mut peer, &format!("EHLO {}", "x".repeat(300)), "5");
    say(&mut peer, "EHLO", "501");
    say(&mut peer, "HELO", "501");
    say(&mut peer, "EHLO a\tb\u{7}", "5");
    ehlo(&mut peer);
    for _ in 0..3 {
        say(&mut peer, "NONSENSE", "50");
        say(&mut peer, "", "500");
    }
    say(&mut peer, &format!("NOOP {}", "x".repeat(1000 - 7)), "250");
    say(&mut peer, "QUIT", "221");

    // No end to a line: the session has one.
    for slot in [room.mx(Way::Clear), Slot { way: Way::Clear, ..room.submission(Way::Starttls) }] {
        let mut peer = enter(&slot, CLIENT);
        for _ in 0..64 {
            if peer.0.write_all(&[b'x'; 1 << 20]).is_err() {
                break;
            }
        }
        let heard = peer.rest();
        assert!(heard.is_empty() || heard.starts_with("500"), "{heard:?}");
    }

    // S30: twenty errors are enough.
    let mut peer = call(room.submission(Way::Starttls).port, CLIENT);
    expect(&mut peer, "220", "the connection");
    peer.send("NONSENSE\r\n".repeat(30));
    let heard = peer.rest();
    assert_eq!(heard.matches("530").count(), 20, "{heard}");
    assert!(heard.lines().last().is_some_and(|line| line.starts_with("421")), "{heard}");
}

/// A backend without PIPELINING for this client (postscreen), though the probe has seen it: commands are fed one at a
/// time, so that the client that was promised it is not refused for using it.
#[test]
fn one_command_at_a_time_through_postscreen() {
    let servers = Servers::new();
    let screened = servers.postfix.ports.screened;
    let room = Mailroom::before_ports(servers, "proxy-v2", screened, screened);
    let group = "MAIL FROM:<sender@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n";
    for (n, slot) in [room.mx(Way::Clear), room.mx(Way::Starttls)].iter().enumerate() {
        let client = Ipv4Addr::new(127, 0, 0, 40 + u8::try_from(n).unwrap());
        let mark = room.servers.postfix.mark();
        let mut peer = enter(slot, client);
        let promised = ehlo(&mut peer).iter().any(|line| line == "PIPELINING");
        assert_eq!(promised, slot.way == Way::Clear, "what the probe saw is only shown in clear");
        peer.send(group);
        expect(&mut peer, "250", "MAIL");
        expect(&mut peer, "450 4.3.2", "RCPT: it is screened");
        expect(&mut peer, "5", "DATA");
        // Postscreen has seen what it wanted to see.
        assert_eq!(peer.rest(), "");
        room.servers.postfix.logs(mark, &["PASS NEW", &format!("[{client}]")]);

        // Next time it is let in.
        let mark = room.servers.postfix.mark();
        let mut peer = enter(slot, client);
        ehlo(&mut peer);
        peer.send(format!("{group}{}QUIT\r\n", message("screened")));
        for code in ["250", "250", "354", "250", "221"] {
            expect(&mut peer, code, "a group");
        }
        room.servers.postfix.logs(mark, &["screened/smtpd[", &format!("client=unknown[{client}]")]);
        room.servers.postfix.delivers(mark, 1);
    }
    let log = room.servers.postfix.log();
    assert!(!log.contains("COMMAND PIPELINING"), "{log}");
}
