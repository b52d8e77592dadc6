//! The README's rows of Postfix and Dovecot: what their logs and their mail have of one client.

use std::net::Ipv4Addr;

use crate::{
    clients::{NAME, Protocol},
    common::{
        front::Front,
        peer::{Bytes, Peer},
    },
    dialogue::{PLAIN, log_in},
    dovecot::Options,
    jail::free_ports,
    known::{Row, in_the_readme, yes},
    mailroom::{Mailroom, Servers, Way, enter},
    smtp::{self, CLIENT},
    stage::{Backend, Identity, call, greeting, secure, trust},
};

/// The one address that has a name on every machine.
const NAMED: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn of_postfix() {
    for (identity, row) in [
        (Identity::ProxyV1, Row::PostfixProxyV1),
        (Identity::ProxyV2, Row::PostfixProxyV2),
        (Identity::Words, Row::PostfixXclient),
    ] {
        let room = Mailroom::told_by(Servers::new(), identity);
        for slot in [room.mx(Way::Starttls), room.submission(Way::Implicit)] {
            let marks = [CLIENT, NAMED].map(|source| {
                let mark = room.servers.postfix.mark();
                let mut peer = enter(&slot, source);
                if slot.login {
                    smtp::ehlo(&mut peer);
                    smtp::log_in(&mut peer);
                }
                smtp::send(&mut peer, &format!("{source} at {}", slot.port));
                room.servers.postfix.delivers(mark, 1);
                mark
            });
            let mail = room.servers.mail();
            let [from_client, from_named] = [CLIENT, NAMED].map(|source| {
                let subject = format!("Subject: {source} at {}\n", slot.port);
                mail.iter().find(|message| message.contains(&subject)).expect("it was delivered")
            });
            room.servers.postfix.logs(marks[0], &["client=unknown[127.0.0.5]"]);
            let address = from_client.contains("(unknown [127.0.0.5])");
            // RFC 3848.
            let tls = from_client.contains(" with ESMTPS");
            let name = from_named.contains("(localhost [127.0.0.1])");
            in_the_readme(row, yes(address), yes(tls), if name { "in DNS" } else { "no" });
        }
    }
}

#[test]
fn of_dovecot() {
    // As it comes: a process that serves several forgets for some which name they asked for (2.3.19).
    let more = "login_trusted_networks = 127.0.0.1/32
login_log_format_elements = user=<%u> rip=%r rport=%b secured=<%c> asked=<%{local_name}>
service imap-login {
  service_count = 1
}
service pop3-login {
  service_count = 1
}
service managesieve-login {
  service_count = 1
}";
    for identity in Identity::ALL {
        // Its submission has nobody to give mail to: it is asked no further than for the login.
        let relay = Some(free_ports::<1>()[0]);
        let backend =
            Backend::with(&Options { more, relay, ..Options::default() }).told_by(identity);
        backend.leaf.certbot(&backend.live().join(NAME));
        let mut config = backend.as_yaml();
        config.push_str("listeners:\n");
        let protocols = [Protocol::Imap, Protocol::Pop3, Protocol::Sieve];
        for (protocol, tls) in protocols.iter().flat_map(|p| [(p, "none"), (p, "implicit")]) {
            let protocol = format!("{protocol:?}").to_lowercase();
            config.push_str(&format!(
                "  - {{ bind: \"127.0.0.1:0\", protocol: {protocol}, tls: {tls}, backend: dovecot }}\n"
            ));
        }
        if identity == Identity::Words {
            let port = backend.dovecot.ports.plain_submission;
            config = config.replace("  dovecot: {", &format!("  submission: {{ address: \"127.0.0.1:{port}\", identity: xclient }}\n  dovecot: {{"));
            for tls in ["none", "implicit"] {
                config.push_str(&format!(
                    "  - {{ bind: \"127.0.0.1:0\", protocol: submission, tls: {tls}, backend: submission }}\n"
                ));
            }
        }
        let front = Front::start(&config);
        if identity == Identity::Words {
            let mut clear = call(front.port(6), CLIENT);
            let in_clear = submission_login(&backend, &mut clear);
            let clear = call(front.port(7), CLIENT);
            let in_tls = submission_login(&backend, &mut secure(clear, trust(&backend.root)));
            dovecots_row(Row::DovecotXclient, &in_clear, &in_tls);
        }
        for (n, protocol) in protocols.into_iter().enumerate() {
            let clear = call(front.port(2 * n + 1), CLIENT);
            let in_tls = login(&backend, &mut secure(clear, trust(&backend.root)), protocol);
            let mut clear = call(front.port(2 * n), CLIENT);
            let in_clear = login(&backend, &mut clear, protocol);
            let row = match (identity, protocol) {
                (Identity::ProxyV1, _) => Row::DovecotProxyV1,
                (Identity::ProxyV2, _) => Row::DovecotProxyV2,
                (Identity::Words, Protocol::Imap) => Row::DovecotImapId,
                (Identity::Words, _) => Row::DovecotXclient,
            };
            dovecots_row(row, &in_clear, &in_tls);
        }
    }
}

fn dovecots_row(row: Row, in_clear: &str, in_tls: &str) {
    let is_there = |line: &str| line.contains("rip=127.0.0.5, rport=");
    let [tls, clear] = [in_tls, in_clear].map(|line| line.contains("secured=<secured>"));
    // Whoever comes from a network that is trusted counts as secured.
    let tls = if tls && clear { "by trust" } else { yes(tls) };
    let name = in_tls.contains(&format!("asked=<{NAME}>"));
    let address = is_there(in_clear) && is_there(in_tls);
    in_the_readme(row, yes(address), tls, if name { "asked for" } else { "no" });
}

/// What Dovecot's submission logs of alice's login.
fn submission_login<S: Bytes>(backend: &Backend, peer: &mut Peer<S>) -> String {
    let mark = backend.dovecot.mark();
    smtp::expect(peer, "220", "the connection");
    smtp::ehlo(peer);
    peer.send(format!("AUTH PLAIN {PLAIN}\r\n"));
    backend.dovecot.logs(mark, &["submission-login: ", "Login: user=<alice>"])
}

/// What Dovecot logs of alice's login.
fn login<S: Bytes>(backend: &Backend, peer: &mut Peer<S>, protocol: Protocol) -> String {
    let mark = backend.dovecot.mark();
    greeting(peer, protocol);
    log_in(peer, protocol);
    backend.dovecot.logs(mark, &["Login: user=<alice>"])
}
