//! Postfix's log has the client's address, and so it relays for nobody who is not entitled to it.

use std::net::Ipv4Addr;

use crate::{
    harness::MESSAGE,
    mailroom::{Mailroom, Servers, Slot, Way, enter},
    senders::{Sender, swaks_fails},
    smtp::{CLIENT, ask, ehlo, log_in, say},
    stage::Identity,
};

/// X2, X13, S36: on every port, the address that the client has; also in the message's trace.
#[test]
fn with_its_address_on_every_port() {
    for identity in Identity::ALL {
        with_its_address(identity);
    }
}

fn with_its_address(identity: Identity) {
    let room = Mailroom::told_by(Servers::new(), identity);
    let file = room.servers.dovecot.folder.write("message.eml", MESSAGE);
    for (n, slot) in room.slots().iter().enumerate() {
        let source = format!("127.0.0.{}", 5 + n);
        let (mark, from) = (room.servers.postfix.mark(), room.front.mark());
        Sender::Swaks.send(slot, &source, &file);
        let service = match identity {
            Identity::Words => "postfix/plain-xclient/smtpd[",
            _ if slot.login => "postfix/submission/smtpd[",
            _ => "postfix/mx/smtpd[",
        };
        room.servers.postfix.logs(mark, &[service, &format!("client=unknown[{source}]")]);
        room.servers.postfix.delivers(mark, 1);
        let mail = room.servers.mail();
        assert!(mail[n].contains(&format!("[{source}]")), "{}", mail[n]);
        let session = room.front.summary(from);
        let peer = session["peer"].as_str().unwrap_or_default();
        assert!(peer.starts_with(&format!("{source}:")), "{session}");
        let protocol = if slot.login { "submission" } else { "smtp" };
        assert_eq!(session["protocol"], protocol, "{session}");
        assert_eq!(session["tls"].is_null(), slot.way == Way::Clear, "{session}");
    }
}

/// What Postfix says to a recipient in somebody else's domain.
fn to_a_foreign_domain(slot: &Slot<'_>, source: Ipv4Addr, login: bool) -> String {
    let mut peer = enter(slot, source);
    ehlo(&mut peer);
    if login {
        log_in(&mut peer);
    }
    say(&mut peer, "MAIL FROM:<sender@example.net>", "250");
    let answer = ask(&mut peer, "RCPT TO:<somebody@example.com>");
    say(&mut peer, "QUIT", "221");
    answer
}

/// The lesson of all fronts without identity: a stranger's mail for others is refused, also where Postfix trusts
/// the front's own address.
#[test]
fn so_a_stranger_cannot_relay() {
    for identity in Identity::ALL {
        let room = Mailroom::told_by(Servers::new(), identity);
        for slot in room.slots() {
            let refused = to_a_foreign_domain(&slot, CLIENT, false);
            let relay = "554 5.7.1 <somebody@example.com>: Relay";
            assert!(refused.starts_with(relay), "{identity:?}: {refused}");
        }
        for slot in [room.submission(Way::Starttls), room.submission(Way::Implicit)] {
            let taken = to_a_foreign_domain(&slot, CLIENT, true);
            assert!(taken.starts_with("250"), "{identity:?}: who is known may: {taken}");
        }
    }
    let room = Mailroom::set();
    let file = room.servers.dovecot.folder.write("message.eml", MESSAGE);
    let slot = room.mx(Way::Starttls);
    let (said, code) = swaks_fails(&slot, "127.0.0.5", &file, &["--to", "somebody@example.com"]);
    assert!(said.contains("554 5.7.1") && code != Some(0), "{said}");
}

/// The control: `identity: none`, which must be asked for, makes an open relay of the same Postfix.
#[test]
fn only_because_the_front_says_so() {
    let servers = Servers::new();
    let ports = servers.postfix.ports;
    let room = Mailroom::before_ports(servers, "none", ports.plain_mx, ports.plain_submission);
    let mark = room.servers.postfix.mark();
    let taken = to_a_foreign_domain(&room.mx(Way::Clear), CLIENT, false);
    assert!(taken.starts_with("250"), "{taken}");
    room.servers.postfix.logs(mark, &["connect from unknown[127.0.0.1]"]);
    let warned = room
        .front
        .log()
        .iter()
        .any(|line| line["level"] == "WARN" && line.to_string().contains("identity"));
    assert!(warned, "an open relay is warned about at every start");
}
