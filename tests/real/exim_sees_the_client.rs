//! Exim's log and its mail have the client's address, and it relays for nobody who is not entitled to it.

use crate::{
    exim,
    known::{Row, in_the_readme, yes},
    mail_goes_in::{
        STRANGER, auth_is_offered_inside_tls, everybody_sends, nobody_relays, one_goes_in, slots,
    },
    mailroom::{Way, enter},
    plan::Scene,
    smtp::{CLIENT, ehlo},
    stage::call,
};

/// The queue's last word on a message.
const DELIVERED: &str = " Completed";

#[test]
fn and_relays_for_nobody() {
    let scene = exim::scene();
    auth_is_offered_inside_tls(&scene, |slot| slot.way != Way::Clear);
    a_message_is_answered_once(&scene);
    its_greeting_is_fit_to_be_repeated(&scene);
    let mark = scene.jail.mark();
    nobody_relays(&scene);
    let refused = format!(
        "[{STRANGER}] F=<sender@example.net> rejected RCPT <somebody@example.com>: relay not permitted"
    );
    scene.jail.logs(mark, &[&refused]);
    everybody_sends(&scene, DELIVERED);
    another_exim_sends_through_the_front(&scene);

    let (mut address, mut tls, mut name) = (true, false, false);
    for (n, slot) in slots(&scene).into_iter().enumerate() {
        let source = format!("127.0.0.{}", 11 + n);
        let (message, logged) = one_goes_in(&scene, &slot, &source, DELIVERED);
        // The name in parentheses is the one of EHLO; one from elsewhere would stand before it.
        let received = format!("from [{source}] (helo=client.example.net)");
        address &= message.contains(&received) && logged.contains(&format!("[{source}]"));
        name |= !message.contains(&received);
        // RFC 3848: ESMTPS, ESMTPSA.
        tls |= slot.way != Way::Clear && message.contains(" with esmtps");
    }
    let name = if name { "yes" } else { "no" };
    in_the_readme(Row::Exim, yes(address), yes(tls), name);
}

/// Debian's Exim answers a message for two once for each of them, if it is asked to: those who come through the front
/// are not told that they could.
fn a_message_is_answered_once(scene: &Scene) {
    for slot in slots(scene) {
        let mut peer = enter(&slot, CLIENT);
        let offered = ehlo(&mut peer);
        assert!(!offered.contains(&"PRDR".to_owned()), "{offered:?}");
    }
}

/// What one Exim knows of another it uses: PRDR where there are two recipients, and commands before the greeting.
fn another_exim_sends_through_the_front(scene: &Scene) {
    exim::sender(scene, scene.slots()[0].port);
    for n in 0..3 {
        let mark = scene.jail.mark();
        exim::send(scene, &format!("by an Exim, {n}"));
        // `L`: pipelined, with an asterisk before the greeting; `K`: in chunks.
        let how = if n == 0 { " CV=yes L K " } else { " CV=yes L* K " };
        scene.jail.logs(mark, &["=> alice@example.org", " X=TLS1.3:", how]);
        // Once by the sender, once behind the front.
        scene.jail.logs_often(mark, 2, DELIVERED);
    }
}

/// A greeting has a name, and no date: it was learned a while ago.
fn its_greeting_is_fit_to_be_repeated(scene: &Scene) {
    for slot in slots(scene).iter().filter(|slot| slot.way != Way::Implicit) {
        let greeting = call(slot.port, CLIENT).line();
        assert_eq!(greeting, "220 backend.example.org ESMTP Exim 4.96\r\n");
    }
}
