//! Courier cannot be told who its clients are; it serves them all the same, and more of them than one address may have.

use crate::{
    courier,
    dialogue::log_in,
    known::{Row, in_the_readme, yes},
    mail_comes_out::{auth_is_offered_inside_tls, everybody_reads},
    smtp::CLIENT,
    stage::enter,
};

/// More than Debian lets one address have, which is 20 with IMAP and 4 with POP3.
const SESSIONS: usize = 25;

#[test]
fn and_takes_it_for_everybody() {
    let scene = courier::scene();
    auth_is_offered_inside_tls(&scene);
    everybody_reads(&scene);
    for door in scene.doors() {
        let mark = scene.jail.mark();
        let mut held = Vec::new();
        for _ in 0..SESSIONS {
            let (mut inside, _) = enter(&door, CLIENT);
            log_in(&mut inside, door.protocol);
            held.push(inside);
        }
        scene.jail.logs_often(mark, SESSIONS, "LOGIN, user=alice, ip=[::ffff:127.0.0.1]");
        let seen = scene.jail.since(mark).contains("127.0.0.5");
        in_the_readme(Row::Courier, yes(seen), "no", "no");
    }
}
