//! Clients are judged anew each time, by lists that are whole and of today; neither a ticket nor a reload
//! that went wrong lets anybody in.

use std::io::{Read, Write};

use rustls::HandshakeKind;

use crate::{
    clients::{REVOKED, Set, enter, with_certificate},
    common::{
        front::Front,
        peer::{Peer, connect},
        tls::{Client, VERSIONS},
    },
};

/// rustls verifies no chain when a session is resumed, so none is: whoever is revoked stays out, whatever
/// tickets it has, over SIGHUP too.
#[test]
fn each_time_anew() {
    for version in VERSIONS {
        let set = Set::new();
        let front = set.front(&[&set.with_lists("require")], "");
        let leaf = set.ca.client("mta.example.org", 8);
        let client = with_certificate(Client::speaking(&set.stage.ca, &[version]), &leaf, &leaf);
        for _ in 0..2 {
            assert_eq!(enter(&client, &front).unwrap(), HandshakeKind::Full, "{version:?}");
        }
        set.write("crl/lists.pem", &set.ca.revocation_lists(&[REVOKED, 8], 2020..=2999).concat());
        assert_eq!(front.reload()["message"], "reloaded");
        let error = enter(&client, &front).unwrap_err().to_string();
        assert!(error.contains("CertificateRevoked"), "{version:?}: {error}");
    }
}

/// A ticket from before the rule, from a listener or of a name without one, is no way in.
#[test]
fn also_those_with_a_ticket_from_elsewhere() {
    for version in VERSIONS {
        let set = Set::new();
        let front = set.front(&[""], "");
        let client = Client::speaking(&set.stage.ca, &[version]);
        enter(&client, &front).unwrap();
        assert_eq!(enter(&client, &front).unwrap(), HandshakeKind::Resumed, "the control");
        front.configure(&set.config(&[&set.rule("require", "")], ""));
        assert_eq!(front.reload()["message"], "reloaded");
        let error = enter(&client, &front).unwrap_err().to_string();
        assert!(error.contains("CertificateRequired"), "{version:?}: {error}");
    }
}

/// Once there are lists, each authority needs one that is still good: nobody comes in because a list was
/// kept from us.
#[test]
fn against_lists_that_are_whole_and_of_today() {
    let set = Set::new();
    let rule = set.with_lists("request");
    let front = set.front(&[&rule], "");
    let good = set.ca.client("mta.example.org", 1);
    let unverified = |front: &Front| {
        let visit = set.visit(front, 0, Some(&good), &[]);
        visit.summary["client_unverified"].as_str().map(str::to_owned)
    };
    assert_eq!(unverified(&front), None);

    let [of_leafs, of_root] = set.ca.revocation_lists(&[REVOKED], 2020..=2999);
    let no_list =
        "whether it is revoked cannot be found out: `crl` has no list of one of its issuers";
    for one in [&of_leafs, &of_root] {
        set.write("crl/lists.pem", one);
        assert_eq!(front.reload()["message"], "reloaded");
        assert_eq!(unverified(&front).as_deref(), Some(no_list));
    }

    // Of two lists, the newer one counts, whichever is found first.
    for (first, second) in [("a.pem", "b.pem"), ("b.pem", "a.pem")] {
        std::fs::remove_dir_all(set.path("crl")).unwrap();
        set.write(&format!("crl/{first}"), &set.ca.revocation_lists(&[], 2020..=2999).concat());
        set.write(&format!("crl/{second}"), &set.ca.revocation_lists(&[1], 2021..=2999).concat());
        assert_eq!(front.reload()["message"], "reloaded");
        assert_eq!(unverified(&front).as_deref(), Some("it is revoked"), "{first}");
    }
    std::fs::remove_dir_all(set.path("crl")).unwrap();

    let expired = set.ca.revocation_lists(&[], 2019..=2020);
    set.write("crl/lists.pem", &[expired[0].as_str(), of_root.as_str()].concat());
    let mark = front.mark();
    assert_eq!(front.reload()["message"], "reloaded");
    front.wait("the list is named", mark, |line| {
        line["message"].as_str().is_some_and(|text| {
            text.contains("crl/lists.pem")
                && text.contains("CN=Clients CA 1 has expired on 2020-12-31")
        })
    });
    let has_expired =
        "whether it is revoked cannot be found out: the list of one of its issuers has expired";
    assert_eq!(unverified(&front).as_deref(), Some(has_expired));
}

/// What cannot be used is named with its file, and changes nothing: no start without it, and after a
/// reload the rule of before.
#[test]
fn and_what_they_are_verified_by_is_all_or_nothing() {
    let set = Set::new();
    let rule = set.with_lists("require");
    let front = set.front(&[&rule], "");
    let good = set.ca.client("mta.example.org", 1);
    let root = set.ca.root_pem();
    let lists = set.ca.revocation_lists(&[REVOKED], 2020..=2999).concat();
    let leaf = set.ca.client("mta.example.org", 1).cert;
    for (name, content, why) in [
        ("trust/root.pem", &root[..root.len() / 2], "cut short"),
        ("trust/root.pem", "", "is empty"),
        (
            "trust/root.pem",
            &leaf,
            "is no authority's certificate; put that of its issuer, CN=Clients CA 1, there",
        ),
        ("crl/lists.pem", &lists[..lists.len() / 3], "cut short"),
        ("crl/lists.pem", &root, "no revocation list"),
        (
            "crl/lists.pem",
            "-----BEGIN X509 CRL-----\nMAMBAQE=\n-----END X509 CRL-----\n",
            "a revocation list cannot be read",
        ),
    ] {
        set.write(name, content);
        let mark = front.mark();
        let said = front.reload();
        assert!(said["message"].as_str().unwrap().starts_with("reload changed nothing"), "{why}");
        let place = name.split('/').next().unwrap();
        front.wait(&format!("{why:?} is said of {name}"), mark, |line| {
            let text = line["message"].as_str().unwrap_or_default();
            line["level"] == "ERROR" && text.contains(&set.path(place)) && text.contains(why)
        });
        assert!(set.visit(&front, 0, Some(&good), &[]).said.is_served(), "as before");
        assert_eq!(set.visit(&front, 0, None, &[]).said.alert(), Some(116), "as before");
        let mut other = Front::launch(&set.config(&[&rule], ""));
        assert_eq!(other.exit().code(), Some(78), "{name}: {why}");
        set.write("trust/root.pem", &root);
        set.write("crl/lists.pem", &lists);
    }
    std::fs::remove_dir_all(set.path("trust")).unwrap();
    let mut other = Front::launch(&set.config(&[&rule], ""));
    assert_eq!(other.exit().code(), Some(78));
}

/// A client that came before a reload is judged by what was loaded after it.
#[test]
fn by_what_is_known_at_the_handshake() {
    let set = Set::new();
    let line = |rule: &str| format!("client_certificates: {rule}");
    let rule = line(&set.with_lists("require"));
    let door = ("imap", "starttls", set.host.backend.address);
    let front = Front::start(&set.stage.config_with(&[(door, &rule)], ""));
    let leaf = set.ca.client("mta.example.org", 8);
    let client = with_certificate(set.stage.client(), &leaf, &leaf);
    let waiting = || {
        let mut clear = connect(front.address(0));
        clear.until("* OK");
        clear
    };
    let upgrade = |mut clear: Peer<std::net::TcpStream>| {
        clear.send("tls STARTTLS\r\n");
        clear.until("tls OK");
        let mut inside = client.shake(clear).map_err(|e| e.to_string())?;
        inside.0.write_all(b"n NOOP\r\n").map_err(|e| e.to_string())?;
        inside.0.read_exact(&mut [0; 1]).map_err(|e| e.to_string())
    };
    let (before, later) = (waiting(), [waiting(), waiting()]);
    upgrade(before).expect("the control");
    set.write("crl/lists.pem", &set.ca.revocation_lists(&[8], 2020..=2999).concat());
    assert_eq!(front.reload()["message"], "reloaded");
    let [first, second] = later;
    assert!(upgrade(first).unwrap_err().contains("CertificateRevoked"));
    // The rule itself is another: nobody can say what the old one would have asked for by now.
    front.configure(&set.stage.config_with(&[(door, &line(&set.rule("require", "")))], ""));
    assert_eq!(front.reload()["message"], "reloaded");
    assert!(upgrade(second).unwrap_err().contains("InternalError"));
    upgrade(waiting()).expect("by the new rule");
}
