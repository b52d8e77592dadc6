//! OpenSMTPD's log and its mail have the client's address, and it relays for nobody.

use crate::{
    known::{Row, in_the_readme, yes},
    mail_goes_in::{
        STRANGER, auth_is_offered_inside_tls, everybody_sends, nobody_relays, one_goes_in, slots,
    },
    mailroom::Way,
    opensmtpd,
};

/// What it says of each message that it has delivered.
const DELIVERED: &str = "stat=Delivered";

#[test]
fn and_relays_for_nobody() {
    let scene = opensmtpd::scene();
    // Without TLS of its own it knows no AUTH at all.
    auth_is_offered_inside_tls(&scene, |_| false);
    let mark = scene.jail.mark();
    nobody_relays(&scene);
    scene.jail.logs(mark, &[&format!("smtp connected address={STRANGER}")]);
    everybody_sends(&scene, DELIVERED);

    let (mut address, mut tls, mut name) = (true, false, false);
    for (n, slot) in slots(&scene).into_iter().enumerate() {
        let source = format!("127.0.0.{}", 11 + n);
        let (message, logged) = one_goes_in(&scene, &slot, &source, DELIVERED);
        let received = format!("from client.example.net (<unknown> [{source}])");
        address &= message.contains(&received)
            && logged.contains(&format!("smtp connected address={source} host=<unknown>"));
        name |= !message.contains(&received);
        tls |= slot.way != Way::Clear && message.contains(" with ESMTPS");
    }
    in_the_readme(Row::OpenSmtpd, yes(address), yes(tls), if name { "yes" } else { "no" });
}
