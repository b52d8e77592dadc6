//! Cyrus believes nothing of what it is told, and writes it into its log: who wants to know who came finds it there.

use crate::{
    clients::{NAME, Protocol},
    cyrus,
    dialogue::log_in,
    known::{Row, in_the_readme},
    mail_comes_out::{auth_is_offered_inside_tls, everybody_reads},
    smtp::CLIENT,
    stage::enter,
};

#[test]
fn in_its_log() {
    let scene = cyrus::scene();
    auth_is_offered_inside_tls(&scene);
    everybody_reads(&scene);
    for door in scene.doors() {
        let mark = scene.jail.mark();
        let (mut inside, _) = enter(&door, CLIENT);
        if door.protocol == Protocol::Imap {
            // I13: nobody speaks as the front. Of what comes before the login, Cyrus logs the first, which is the front's.
            inside.send("i ID (\"name\" \"liar\" \"x-originating-ip\" \"203.0.113.9\")\r\n");
            inside.until("i OK");
        }
        log_in(&mut inside, door.protocol);
        // The login's own line has the front's address.
        let login = scene.jail.logs(mark, &["login: localhost [127.0.0.1] alice"]);
        let said = scene.jail.since(mark);
        let told = said.lines().find(|line| line.contains("client id sessionid="));
        if door.protocol != Protocol::Imap {
            assert!(told.is_none() && !said.contains("127.0.0.5"), "{said}");
            in_the_readme(Row::CyrusPop3, "no", "no", "no");
            continue;
        }
        let told = told.unwrap_or_else(|| panic!("it logs no ID: {said}"));
        let session = login.split("SESSIONID=<").nth(1).expect("a session").trim_end_matches('>');
        assert!(told.contains(session), "{told}, {login}");
        assert!(!said.contains("203.0.113.9"), "{said}");
        let has = |field: &str, value: &str| {
            let is_there = told.contains(&format!("\"{field}\" \"{value}\""));
            if is_there { "in its log" } else { "no" }
        };
        let name = has("x-connected-name", NAME).replace("in its", "asked for, in its");
        let (address, tls) =
            (has("x-originating-ip", "127.0.0.5"), has("x-client-transport", "TLS"));
        in_the_readme(Row::Cyrus, address, tls, &name);
    }
}
