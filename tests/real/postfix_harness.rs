//! The harness itself, with no front: what fails here is not the front's fault.

use std::net::Ipv4Addr;

use crate::{
    dialogue::PLAIN,
    harness::{MESSAGE, holds_the_message},
    mailroom::{Servers, Way, enter},
    senders::Sender,
    smtp::{self, CLIENT, ask, ehlo, expect, proxy_header, say},
    stage::call,
};

#[test]
fn each_sender_sends_to_postfix_directly() {
    let servers = Servers::new();
    let file = servers.dovecot.folder.write("message.eml", MESSAGE);
    let mut sent = 0;
    for slot in [servers.direct(Way::Starttls, false), servers.direct(Way::Starttls, true)] {
        for sender in Sender::ALL {
            let mark = servers.postfix.mark();
            sender.send(&slot, "127.0.0.5", &file);
            servers.postfix.delivers(mark, 1);
            sent += 1;
        }
    }
    for sender in [Sender::Curl, Sender::Msmtp, Sender::Python, Sender::Swaks] {
        let mark = servers.postfix.mark();
        sender.send(&servers.direct(Way::Clear, false), "127.0.0.5", &file);
        servers.postfix.delivers(mark, 1);
        sent += 1;
    }
    let mail = servers.mail();
    assert_eq!(mail.len(), sent);
    for message in mail {
        holds_the_message(message.as_bytes(), "a sender");
    }
}

/// X2: what a header can make Postfix believe, so that the other tests know what to look for.
#[test]
fn postfix_believes_a_proxy_header_made_by_hand() {
    let servers = Servers::new();
    let ports = servers.postfix.ports;
    let somebody = Ipv4Addr::new(203, 0, 113, 4);
    for (name, port) in [("mx", ports.mx), ("submission", ports.submission)] {
        let mark = servers.postfix.mark();
        let mut peer = call(port, Ipv4Addr::LOCALHOST);
        peer.send(proxy_header(somebody, name == "submission"));
        expect(&mut peer, "220", "the header");
        ehlo(&mut peer);
        // The front's address is trusted, the client's is not.
        say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
        say(&mut peer, "RCPT TO:<somebody@example.com>", "554 5.7.1");
        say(&mut peer, "RSET", "250");
        if name == "submission" {
            say(&mut peer, &format!("AUTH PLAIN {PLAIN}"), "235");
        }
        smtp::envelope(&mut peer);
        peer.send(smtp::message(name));
        expect(&mut peer, "250", "the end of data");
        say(&mut peer, "QUIT", "221");
        servers
            .postfix
            .logs(mark, &[&format!("postfix/{name}/smtpd["), "client=unknown[203.0.113.4]"]);
        servers.postfix.delivers(mark, 1);
    }
    let mail = servers.mail();
    assert!(mail[0].contains("Subject: mx") && mail[1].contains("Subject: submission"), "{mail:?}");
    assert!(mail[0].contains("[203.0.113.4]"), "{mail:?}");
}

/// Postscreen offers less than the Postfix behind it, and lets nobody pass at once whom it does not know.
#[test]
fn postscreen_screens_who_is_new() {
    let servers = Servers::new();
    let port = servers.postfix.ports.screened;
    let mut known = call(port, Ipv4Addr::LOCALHOST);
    known.send(proxy_header(Ipv4Addr::new(192, 0, 2, 1), true));
    expect(&mut known, "220", "the header");
    assert!(ehlo(&mut known).contains(&"PIPELINING".to_owned()));

    let mut stranger = call(port, Ipv4Addr::LOCALHOST);
    stranger.send(proxy_header(Ipv4Addr::new(203, 0, 113, 4), false));
    expect(&mut stranger, "220", "the header");
    assert!(!ehlo(&mut stranger).contains(&"PIPELINING".to_owned()));
    say(&mut stranger, "MAIL FROM:<sender@example.net>", "250");
    say(&mut stranger, "RCPT TO:<alice@example.org>", "450 4.3.2");
    say(&mut stranger, "QUIT", "221");

    let mark = servers.postfix.mark();
    let mut again = call(port, Ipv4Addr::LOCALHOST);
    again.send(proxy_header(Ipv4Addr::new(203, 0, 113, 4), false));
    expect(&mut again, "220", "the header");
    smtp::send(&mut again, "screened");
    servers.postfix.logs(mark, &["postfix/screened/smtpd[", "client=unknown[203.0.113.4]"]);
    servers.postfix.delivers(mark, 1);
}

/// The control of all that is said about trust: whom Postfix trusts, it lets speak for others and relays for.
#[test]
fn a_trusting_postfix_believes_its_clients() {
    let servers = Servers::new();
    let mark = servers.postfix.mark();
    let mut peer = call(servers.postfix.ports.plain_trusting, CLIENT);
    expect(&mut peer, "220", "the connection");
    assert!(ehlo(&mut peer).iter().any(|line| line.starts_with("XCLIENT ")));
    say(&mut peer, "XCLIENT ADDR=203.0.113.9 NAME=[UNAVAILABLE]", "220");
    smtp::send(&mut peer, "spoofed");
    servers.postfix.logs(mark, &["client=unknown[203.0.113.9]"]);

    let mut peer = call(servers.postfix.ports.plain_trusting, CLIENT);
    expect(&mut peer, "220", "the connection");
    ehlo(&mut peer);
    say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    say(&mut peer, "RCPT TO:<somebody@example.com>", "250");

    let mut stranger = enter(&servers.direct(Way::Clear, false), CLIENT);
    ehlo(&mut stranger);
    let refused = ask(&mut stranger, "XCLIENT ADDR=203.0.113.9");
    assert!(refused.starts_with('5'), "{refused}");
}

/// S21's control: this Postfix takes a lone dot between bare newlines for the end of the data, so that a message in
/// a message is smuggled past whoever does not.
#[test]
fn a_message_can_be_smuggled_into_this_postfix() {
    let servers = Servers::new();
    let mark = servers.postfix.mark();
    let mut peer = enter(&servers.direct(Way::Clear, false), CLIENT);
    smtp::to_data(&mut peer);
    peer.send("Subject: outer\r\n\r\nText.\n.\r\nMAIL FROM:<admin@example.org>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nText.\r\n.\r\nQUIT\r\n");
    for code in ["250", "250", "250", "354", "250", "221"] {
        expect(&mut peer, code, "what was smuggled");
    }
    servers.postfix.delivers(mark, 2);
    assert!(servers.mail().iter().any(|message| message.contains("Subject: smuggled")));
}
