//! SIGHUP: what is right takes effect at once, what is wrong changes nothing and is named, and no session
//! that is there notices.

use std::{fs, net::TcpListener};

use serde_json::Value;

use crate::{
    common::{
        ca::{Kind, Leaf},
        front::Front,
        mailhost::{Host, TALKS, Talk},
        peer::connect,
        tls::{NAME, der},
    },
    stage::Stage,
};

/// What a new client is shown.
fn shown(stage: &Stage, front: &Front, door: usize) -> Vec<u8> {
    let peer = stage.client().without_tickets().enter(front.address(door));
    peer.leaf().to_vec()
}

fn renewed(stage: &Stage) -> Leaf {
    stage.ca.leaf(&[NAME], Kind::Ecdsa)
}

/// All that was said since then.
fn since(front: &Front, mark: usize) -> String {
    front.log()[mark..].iter().map(|line| format!("{line}\n")).collect()
}

/// O1: a new handshake gets the new certificate, also that of a session that was accepted before SIGHUP; no
/// session that is there notices.
#[test]
fn a_new_certificate_is_for_new_handshakes() {
    let stage = Stage::set();
    for talk in TALKS {
        let before = renewed(&stage);
        before.certbot(&stage.live(NAME));
        let host = Host::polite(talk);
        let doors = ["implicit", "starttls"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, "");
        let mut old = stage.client().enter(front.address(0));
        old.until(talk.greeted());
        assert_eq!(old.leaf(), der(&before.cert));
        talk.log_in(&mut old);
        let mut accepted = connect(front.address(1));
        accepted.until(talk.greeted());

        let after = renewed(&stage);
        after.certbot(&stage.live(NAME));
        let said = front.reload();
        assert_eq!((&said["message"], &said["renewed"]), (&"reloaded".into(), &NAME.into()));

        assert_eq!(shown(&stage, &front, 0), der(&after.cert)[..]);
        accepted.send(talk.upgrade().0);
        accepted.line();
        let inside = stage.client().without_tickets().shake(accepted).expect("shaken");
        assert_eq!(inside.leaf(), der(&after.cert), "accepted before, shaken after");
        let (noop, ok) = talk.noop();
        old.send(noop);
        old.until(ok);
    }
}

/// A way to break what lies in a folder of certificates, and the file to be named for it.
struct Breakage<'a> {
    what: &'a str,
    file: &'a str,
    destroy: Box<dyn Fn() + 'a>,
}

fn breakage<'a>(what: &'a str, file: &'a str, destroy: impl Fn() + 'a) -> Breakage<'a> {
    Breakage { what, file, destroy: Box::new(destroy) }
}

/// O2, O3, F13: whatever is wrong with the files, the old pair is served on, and the file is named.
#[test]
fn a_certificate_that_cannot_be_used_changes_nothing() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let mut old = stage.client().enter(front.address(0));
    old.until("* OK");
    Talk::Imap.log_in(&mut old);
    let live = stage.live(NAME);
    let new = renewed(&stage);
    let half = &new.fullchain()[..new.fullchain().len() / 3];
    let remove_all = || {
        for entry in fs::read_dir(&live).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }.unwrap();
        }
    };
    let breakages = [
        breakage("half a certificate", "fullchain.pem", || {
            fs::write(live.join("fullchain.pem"), half).unwrap();
            fs::remove_file(live.join("cert.pem")).unwrap();
            fs::remove_file(live.join("chain.pem")).unwrap();
        }),
        breakage("half a key", "privkey.pem", || {
            fs::write(live.join("privkey.pem"), &new.key[..new.key.len() / 2]).unwrap();
        }),
        breakage("the new certificate with the old key", "privkey.pem", || {
            fs::write(live.join("cert.pem"), &new.cert).unwrap();
            fs::write(live.join("fullchain.pem"), new.fullchain()).unwrap();
        }),
        breakage("the old certificate with the new key", "privkey.pem", || {
            fs::write(live.join("privkey.pem"), &new.key).unwrap();
        }),
        breakage("no key", "pem", || fs::remove_file(live.join("privkey.pem")).unwrap()),
        breakage("empty files", "pem", || {
            for name in ["cert.pem", "fullchain.pem", "privkey.pem"] {
                fs::write(live.join(name), "").unwrap();
            }
        }),
        breakage("noise", "pem", || {
            for name in ["cert.pem", "fullchain.pem", "privkey.pem"] {
                fs::write(live.join(name), [0xff; 4096]).unwrap();
            }
        }),
        breakage("a folder in its place", "pem", || {
            fs::remove_file(live.join("privkey.pem")).unwrap();
            fs::create_dir(live.join("privkey.pem")).unwrap();
        }),
        breakage("nothing at all", "live", remove_all),
    ];
    for Breakage { what, file, destroy } in &breakages {
        remove_all();
        stage.leaf.certbot(&live);
        let mark = front.mark();
        destroy();
        let said = front.reload();
        let said = said["message"].as_str().unwrap();
        assert!(said.starts_with("reload changed nothing"), "{what}: {said}");
        let log = since(&front, mark);
        assert!(log.contains("\"ERROR\"") && log.contains(file), "{what}: {log}");
        assert!(log.contains(live.parent().unwrap().to_str().unwrap()), "{what}: {log}");
        assert_eq!(shown(&stage, &front, 0), der(&stage.leaf.cert)[..], "{what}");
    }
    // And then it is all there.
    fs::create_dir_all(&live).unwrap();
    remove_all();
    new.certbot(&live);
    assert_eq!(front.reload()["message"], "reloaded");
    assert_eq!(shown(&stage, &front, 0), der(&new.cert)[..]);
    old.send("n NOOP\r\n");
    old.until("n OK");
}

/// O3: of many certificates, one that is broken keeps what it had, and the others are renewed.
#[test]
fn one_that_is_broken_stops_no_other() {
    let stage = Stage::set();
    const OTHER: &str = "other.example.org";
    let other = stage.ca.leaf(&[OTHER], Kind::Ecdsa);
    other.certbot(&stage.live(OTHER));
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    fs::write(stage.live(OTHER).join("privkey.pem"), "-----BEGIN PRIVATE").unwrap();
    let new = renewed(&stage);
    new.certbot(&stage.live(NAME));
    let mark = front.mark();
    front.reload();
    assert!(since(&front, mark).contains("other.example.org/privkey.pem"));
    assert_eq!(shown(&stage, &front, 0), der(&new.cert)[..]);
    let peer = stage.client().without_tickets().asking(OTHER).enter(front.address(0));
    assert_eq!(peer.leaf(), der(&other.cert));
}

/// O2: a configuration with a mistake changes nothing, certificates and listeners included; the file, the
/// line and the key are named.
#[test]
fn a_broken_configuration_changes_nothing() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let doors = [("imap", "implicit", host.backend.address)];
    let good = stage.config(&doors, "");
    let front = Front::start(&good);
    let mut old = stage.client().enter(front.address(0));
    old.until("* OK");
    renewed(&stage).certbot(&stage.live(NAME));
    for (broken, named) in [
        ("listeners: [".to_owned(), "vestibule.yaml"),
        (String::new(), "vestibule.yaml"),
        ("\0\0\0".to_owned(), "vestibule.yaml"),
        (good.replace("protocol: imap", "protocol: gopher"), "gopher"),
        (good.replace("tls: implicit", "tsl: implicit"), "tsl"),
        (good.replace("backend: b0", "backend: b9"), "b9"),
        (
            good.replace(
                "certificates:",
                "lint: { V020: refuse }\ndefault_certificate: nobody.example.org\ncertificates:",
            ),
            "nobody.example.org",
        ),
    ] {
        front.configure(&broken);
        let mark = front.mark();
        let said = front.reload();
        let said = said["message"].as_str().unwrap();
        assert!(said.starts_with("reload changed nothing"), "{broken:?}: {said}");
        let log = since(&front, mark);
        assert!(log.contains("vestibule.yaml") && log.contains(named), "{broken:?}: {log}");
        assert_eq!(shown(&stage, &front, 0), der(&stage.leaf.cert)[..], "not even that");
    }
    old.send("n NOOP\r\n");
    old.until("n OK");
    front.configure(&good);
    assert_eq!(front.reload()["message"], "reloaded");
    assert_ne!(shown(&stage, &front, 0), der(&stage.leaf.cert)[..]);
}

/// New listeners open, dropped ones close, and the sessions on them go on; what stays keeps its port.
#[test]
fn listeners_come_and_go() {
    let stage = Stage::set();
    let hosts = TALKS.map(Host::polite);
    let door = |n: usize, tls| (TALKS[n].name(), tls, hosts[n].backend.address);
    let front = stage.front(&[door(0, "implicit"), door(1, "implicit")], "");
    let (kept, dropped) = (front.address(0), front.address(1));
    let mut on_dropped = stage.client().enter(dropped);
    on_dropped.until("+OK");
    Talk::Pop3.log_in(&mut on_dropped);
    let mut on_kept = stage.client().enter(kept);
    on_kept.until("* OK");

    let config = stage.config(&[door(0, "implicit"), door(2, "implicit")], "");
    // The second socket is another one: `127.0.0.2:0` is not what was there.
    let config = config.replace(
        "bind: \"127.0.0.1:0\", protocol: sieve",
        "bind: \"127.0.0.2:0\", protocol: sieve",
    );
    front.configure(&config);
    let mark = front.mark();
    assert_eq!(front.reload()["message"], "reloaded");
    let added = front.wait("the new one listens", mark, |line| line["message"] == "listening");
    let added = added["address"].as_str().unwrap().parse().unwrap();
    let mut on_added = stage.client().enter(added);
    on_added.until("OK");
    Talk::Sieve.log_in(&mut on_added);
    stage.client().enter(kept).until("* OK");
    front.wait("the dropped one is closed", mark, |line| {
        line["message"] == "closed" && line["address"] == dropped.to_string()
    });
    assert!(std::net::TcpStream::connect(dropped).is_err());
    on_dropped.send("NOOP\r\n");
    on_dropped.until("+OK");
    Talk::Imap.log_in(&mut on_kept);
}

/// A port that somebody else holds: explained, at a start and at a reload, which then changes nothing.
#[test]
fn a_port_that_is_taken_is_explained() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let good = stage.config(&[("imap", "implicit", host.backend.address)], "");
    let bad = stage.config(
        &[("imap", "implicit", host.backend.address), ("imap", "starttls", host.backend.address)],
        "",
    );
    let bad = bad.replace(
        "bind: \"127.0.0.1:0\", protocol: imap, tls: starttls",
        &format!("bind: \"{address}\", protocol: imap, tls: starttls"),
    );
    let explained = |log: &str| {
        assert!(log.contains(&address) && log.contains("in use"), "{log}");
        assert!(log.contains("PROXY protocol"), "what to do about it: {log}");
    };
    let front = Front::start(&good);
    renewed(&stage).certbot(&stage.live(NAME));
    front.configure(&bad);
    let mark = front.mark();
    let said = front.reload();
    assert!(said["message"].as_str().unwrap().starts_with("reload changed nothing"));
    explained(&since(&front, mark));
    assert_eq!(shown(&stage, &front, 0), der(&stage.leaf.cert)[..]);

    let mut front = Front::launch(&bad);
    assert_eq!(front.exit().code(), Some(78), "EX_CONFIG");
    explained(&since(&front, 0));
}

/// F14's kin: one that brings nothing new says so, and one comes after the other.
#[test]
fn nothing_new_is_nothing_new() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    for _ in 0..20 {
        let said = front.reload();
        for key in ["added", "renewed", "removed"] {
            assert_eq!(said[key], Value::from(""), "{said}");
        }
    }
    assert_eq!(shown(&stage, &front, 0), der(&stage.leaf.cert)[..]);
}

/// What is only worth knowing is said when it is new.
#[test]
fn what_was_said_at_the_start_is_not_said_again() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let notes = |from: usize| since(&front, from).matches("V009").count();
    assert_eq!(notes(0), 1, "the authority is a private one");
    let mark = front.mark();
    front.reload();
    assert_eq!(notes(mark), 0);
    stage.ca.leaf(&["new.example.org"], Kind::Ecdsa).certbot(&stage.live("new.example.org"));
    front.reload();
    assert_eq!(notes(mark), 1, "a new certificate is worth a word");
}
