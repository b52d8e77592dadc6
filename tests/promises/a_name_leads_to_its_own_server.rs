//! `routes`: a client goes to the backend of the name that it asks for in its handshake, whichever way it comes to TLS;
//! whoever asks for none goes to the listener's.

use crate::{
    common::{front::Front, mailhost::Talk, peer::connect, tls::NAME},
    pool::{Member, Tongue, config},
    stage::Stage,
};

const SELDOM: &str = "timeouts: { probe: 1h }";

/// Names that are asked for, and who serves them.
const CASES: [(Option<&str>, &str); 7] = [
    (Some("mail.customer.example"), "exact"),
    (Some("MAIL.Customer.Example"), "exact"),
    (Some("imap.customer.example"), "wild"),
    (Some("a.b.customer.example"), "own"),
    (Some("customer.example"), "own"),
    (Some(NAME), "own"),
    (None, "own"),
];

const ROUTES: &str = "routes: { mail.customer.example: exact, \"*.customer.example\": wild }";

struct Set {
    stage: Stage,
    members: [Member; 3],
}

impl Set {
    fn new(tongue: Tongue) -> Self {
        let members = ["own", "exact", "wild"].map(|name| Member::new(tongue, name));
        Self { stage: Stage::set(), members }
    }

    fn config(&self, listeners: &[&str], more: &str) -> String {
        let pools: Vec<(&str, [&Member; 1])> =
            self.members.iter().map(|m| (m.name.as_str(), [m])).collect();
        let pools: Vec<(&str, &[&Member], &str)> =
            pools.iter().map(|(name, members)| (*name, members.as_slice(), "")).collect();
        config(&self.stage, &pools, listeners, &format!("{SELDOM}\n{more}"))
    }

    /// A client that asks for this name, whatever certificate it is shown.
    fn client(&self, name: Option<&str>) -> crate::common::tls::Client {
        let client = crate::common::tls::Client::credulous();
        name.map_or_else(|| client.clone().asking_nothing(), |name| client.clone().asking(name))
    }
}

/// Implicit TLS: the greeting is that of the server to which the name leads, and the summary says where that was.
#[test]
fn by_implicit_tls() {
    let set = Set::new(Tongue::Mail(Talk::Imap));
    let front = Front::start(&set.config(&["protocol: imap, tls: implicit, backend: own"], ROUTES));
    for (name, serves) in CASES {
        let mut peer = set.client(name).enter(front.address(0));
        let greeting = peer.until("* OK");
        assert!(greeting.contains(&format!("{serves} ready.")), "{name:?}: {greeting:?}");
        let own = peer.0.sock.local_addr().unwrap().to_string();
        Talk::Imap.log_out(&mut peer);
        drop(peer);
        let said = front.wait("it is over", 0, |line| line["peer"] == own.as_str());
        let member = set.members.iter().find(|m| m.name == serves).unwrap();
        assert_eq!(said["backend"], member.address.to_string(), "{said}");
    }
}

/// STARTTLS: in clear everybody is greeted by the listener's own server, and inside TLS served by the name's.
#[test]
fn by_starttls() {
    for talk in [Talk::Imap, Talk::Pop3, Talk::Sieve] {
        let set = Set::new(Tongue::Mail(talk));
        let listener = format!("protocol: {}, tls: starttls, backend: own", talk.name());
        let front = Front::start(&set.config(&[&listener], ROUTES));
        for (name, serves) in CASES {
            let before: Vec<usize> = set.members.iter().map(Member::sessions).collect();
            let mut clear = connect(front.address(0));
            assert!(clear.until(talk.greeted()).contains("own ready."), "{talk:?}");
            clear.send(talk.upgrade().0);
            clear.line();
            let mut inside = set.client(name).shake(clear).unwrap();
            if talk == Talk::Sieve {
                assert!(inside.until("OK").contains(&format!("{serves} ready.")));
            }
            talk.log_in(&mut inside);
            talk.log_out(&mut inside);
            let grown: Vec<&str> = set
                .members
                .iter()
                .zip(&before)
                .filter(|(m, before)| m.sessions() > **before)
                .map(|(m, _)| m.name.as_str())
                .collect();
            assert_eq!(grown, [serves], "{talk:?}, {name:?}");
        }
    }
}

/// SMTP: a server that begins TLS goes where it asked to go, and one that goes on in clear to the listener's own.
#[test]
fn by_smtp() {
    let set = Set::new(Tongue::Smtp);
    let listener = "protocol: smtp, tls: starttls-optional, backend: own";
    let front = Front::start(&set.config(&[listener], ROUTES));
    for (name, serves) in CASES {
        let mut clear = connect(front.address(0));
        assert!(clear.line().contains("own.example.org"));
        clear.send("EHLO me\r\n");
        clear.until("250 ");
        clear.send("STARTTLS\r\n");
        assert!(clear.line().starts_with("220"));
        let mut inside = set.client(name).shake(clear).unwrap();
        inside.send("EHLO me\r\n");
        let said = inside.until("250 ");
        assert!(said.starts_with(&format!("250-{serves}.example.org")), "{name:?}: {said}");
    }
    let mut clear = connect(front.address(0));
    clear.line();
    clear.send("EHLO me\r\n");
    clear.until("250 ");
    let count = set.members[0].sessions();
    clear.send("MAIL FROM:<a@example.org>\r\n");
    assert!(clear.line().starts_with("250"));
    assert_eq!(set.members[0].sessions(), count + 1);
}

/// A listener's own routes count for more than those of all, and add to them; SIGHUP changes both, for sessions that
/// come from then on.
#[test]
fn a_listener_may_have_its_own() {
    let set = Set::new(Tongue::Mail(Talk::Imap));
    let listeners = [
        "protocol: imap, tls: implicit, backend: own",
        "protocol: imap, tls: implicit, backend: own, routes: { mail.customer.example: wild }",
    ];
    let front = Front::start(&set.config(&listeners, ROUTES));
    let serves = |door: usize, name: &str| {
        let greeting = set.client(Some(name)).enter(front.address(door)).until("* OK");
        ["own", "exact", "wild"]
            .into_iter()
            .find(|n| greeting.contains(&format!("{n} ready.")))
            .unwrap()
    };
    assert_eq!(serves(0, "mail.customer.example"), "exact");
    assert_eq!(serves(1, "mail.customer.example"), "wild");
    assert_eq!(serves(1, "imap.customer.example"), "wild");
    let mut old = set.client(Some("mail.customer.example")).enter(front.address(0));
    old.until("* OK");
    front.configure(&set.config(&listeners, "routes: { mail.customer.example: own }"));
    front.reload();
    assert_eq!(serves(0, "mail.customer.example"), "own");
    assert_eq!(serves(1, "mail.customer.example"), "wild");
    assert_eq!(serves(1, "imap.customer.example"), "own");
    Talk::Imap.log_in(&mut old);
}

/// One customer's server is down: that customer is told, and nobody else. The listener's own is down: those with a name
/// of their own are still greeted, and served.
#[test]
fn one_that_is_down_is_down_for_its_own() {
    let set = Set::new(Tongue::Mail(Talk::Imap));
    let front = Front::start(&set.config(&["protocol: imap, tls: starttls, backend: own"], ROUTES));
    let says = |name: Option<&str>| {
        let mut clear = connect(front.address(0));
        clear.until("* OK");
        clear.send(Talk::Imap.upgrade().0);
        clear.line();
        let mut inside = set.client(name).shake(clear).unwrap();
        // The front speaks first where it has bad news.
        let _ = std::io::Write::write_all(&mut inside.0, b"n NOOP\r\n");
        inside.line()
    };
    let own = front.mark();
    set.members[1].die();
    assert!(says(Some("mail.customer.example")).starts_with("* BYE [UNAVAILABLE]"));
    assert!(says(Some("imap.customer.example")).starts_with("n OK"));
    assert!(says(None).starts_with("n OK"));
    set.members[0].die();
    for _ in 0..3 {
        assert!(says(None).starts_with("* BYE [UNAVAILABLE]"));
    }
    let name = format!("imap {}", set.members[0].address);
    front.wait("it is known to be down", own, |line| {
        line["message"] == "backend is down" && line["backend"] == name.as_str()
    });
    assert!(says(Some("imap.customer.example")).starts_with("n OK"));
    assert!(says(None).starts_with("* BYE [UNAVAILABLE]"));
}

/// A hosting provider's ten thousand names; those that no certificate covers are named, as many as anybody reads.
#[test]
fn ten_thousand_names() {
    let set = Set::new(Tongue::Mail(Talk::Imap));
    let mut routes = String::from("routes:\n");
    for n in 0..10_000 {
        let to = if n % 2 == 0 { "exact" } else { "wild" };
        routes.push_str(&format!("  mail{n}.customer.example: {to}\n"));
    }
    let front =
        Front::start(&set.config(&["protocol: imap, tls: implicit, backend: own"], &routes));
    for (name, serves) in [("mail0", "exact"), ("mail9999", "wild"), ("mail10000", "own")] {
        let name = format!("{name}.customer.example");
        let greeting = set.client(Some(&name)).enter(front.address(0)).until("* OK");
        assert!(greeting.contains(&format!("{serves} ready.")), "{name}: {greeting:?}");
    }
    let said = |text: &str| {
        front
            .log()
            .iter()
            .filter(|l| l["message"].as_str().is_some_and(|m| m.contains(text)))
            .count()
    };
    assert_eq!(
        said("routes.mail0.customer.example: no certificate covers mail0.customer.example"),
        1
    );
    assert_eq!(said("routes.mail"), 10);
    assert_eq!(said("9990 more"), 1);
}
