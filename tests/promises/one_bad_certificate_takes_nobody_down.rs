//! Among certificates that are well lies one that is not: at a start and at a reload it is named, and the
//! others are served. Where it was well before, what it was before goes on.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::{
    common::{
        ca::{Kind, Leaf},
        front::Front,
        mailhost::{Host, Talk},
        tls::{NAME, der},
    },
    stage::Stage,
};

const OTHER: &str = "other.example.org";

/// A way to spoil the files of certbot's layout, and the code that it is told under.
type Spoiler<'a> = (&'a str, &'a str, Box<dyn Fn(&Path) + 'a>);

fn spoilers(another: &Leaf) -> Vec<Spoiler<'_>> {
    fn all<'a>(what: &'a str, code: &'a str, content: Vec<u8>) -> Spoiler<'a> {
        let spoil = move |folder: &Path| {
            for name in ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"] {
                fs::write(folder.join(name), &content).unwrap();
            }
        };
        (what, code, Box::new(spoil))
    }
    fn key<'a>(what: &'a str, code: &'a str, spoil: impl Fn(&Path) + 'a) -> Spoiler<'a> {
        let at_key = move |folder: &Path| {
            let path = folder.join("privkey.pem");
            fs::remove_file(&path).unwrap();
            spoil(&path);
        };
        (what, code, Box::new(at_key))
    }
    let half = another.fullchain().into_bytes();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    vec![
        all("empty files", "V006", Vec::new()),
        all("noise", "V006", vec![0xff; 4096]),
        all("half a file", "V005", half[..half.len() / 3].to_vec()),
        all("DER", "V006", der(&another.cert).to_vec()),
        all("many blocks", "V005", another.cert.repeat(5000).into_bytes()),
        key("another's key", "V001", |path| fs::write(path, &another.key).unwrap()),
        key("an encrypted key", "V002", move |path| fs::write(path, encrypted).unwrap()),
        key("no key", "V003", |_| {}),
        key("a folder", "V004", |path| fs::create_dir(path).unwrap()),
        key("a dangling link", "V004", |path| symlink("/nowhere/at/all", path).unwrap()),
        key("a link to itself", "V004", |path| symlink(path, path).unwrap()),
        key("a device", "V004", |path| symlink("/dev/zero", path).unwrap()),
        key("zeros", "V006", |path| {
            fs::File::create(path).unwrap().set_len(100 << 20).unwrap();
        }),
    ]
}

/// What those who ask for this name are shown.
fn shown(stage: &Stage, front: &Front, name: &str) -> Vec<u8> {
    let client = stage.client().without_tickets().asking(name);
    client.enter(front.address(0)).leaf().to_vec()
}

/// That this code is told of a file below this folder.
fn is_told(front: &Front, mark: usize, code: &str, folder: &Path, what: &str) {
    let log = front.log();
    let is_it = |text: &str| text.contains(code) && text.contains(folder.to_str().unwrap());
    let told = log[mark..]
        .iter()
        .any(|l| l["level"] == "ERROR" && l["message"].as_str().is_some_and(is_it));
    assert!(told, "{what}: {log:#?}");
}

#[test]
fn not_at_a_start() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let another = stage.ca.leaf(&["another.example.org"], Kind::Ecdsa);
    let spoilers = spoilers(&another);
    let spoilt = stage.ca.leaf(&["spoilt.example.org"], Kind::Ecdsa);
    let place = |n: usize| stage.live(&format!("spoilt-{n}"));
    // All of them at once.
    for (n, (_, _, spoil)) in spoilers.iter().enumerate() {
        spoilt.certbot(&place(n));
        spoil(&place(n));
    }
    let other = stage.ca.leaf(&[OTHER], Kind::Ecdsa);
    other.certbot(&stage.live(OTHER));
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    for (n, (what, code, _)) in spoilers.iter().enumerate() {
        is_told(&front, 0, code, &place(n), what);
    }
    assert_eq!(shown(&stage, &front, NAME), der(&stage.leaf.cert)[..]);
    assert_eq!(shown(&stage, &front, OTHER), der(&other.cert)[..]);
}

#[test]
fn nor_at_a_reload() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let another = stage.ca.leaf(&["another.example.org"], Kind::Ecdsa);
    let other = stage.ca.leaf(&[OTHER], Kind::Ecdsa);
    other.certbot(&stage.live(OTHER));
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let mut session = stage.client().enter(front.address(0));
    session.until("* OK");
    for (what, code, spoil) in &spoilers(&another) {
        fs::remove_dir_all(stage.live(OTHER)).unwrap();
        other.certbot(&stage.live(OTHER));
        spoil(&stage.live(OTHER));
        let renewed = stage.ca.leaf(&[NAME], Kind::Ecdsa);
        renewed.certbot(&stage.live(NAME));
        let mark = front.mark();
        front.reload();
        is_told(&front, mark, code, &stage.live(OTHER), what);
        assert_eq!(shown(&stage, &front, NAME), der(&renewed.cert)[..], "{what}: renewed");
        assert_eq!(shown(&stage, &front, OTHER), der(&other.cert)[..], "{what}: as before");
    }
    session.send("n NOOP\r\n");
    session.until("n OK");
}

/// A policy that refuses refuses the one alone.
#[test]
fn nor_by_a_strict_policy() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let expired = stage.ca.leaf_with(&[OTHER], Kind::Ecdsa, |params| {
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    });
    expired.certbot(&stage.live(OTHER));
    let front =
        stage.front(&[("imap", "implicit", host.backend.address)], "lint: { V011: refuse }");
    is_told(&front, 0, "V011", &stage.live(OTHER), "expired");
    assert_eq!(shown(&stage, &front, NAME), der(&stage.leaf.cert)[..]);
    let client = stage.client().without_tickets().asking(OTHER);
    client.shake(crate::common::peer::connect(front.address(0))).err().expect("another's name");
}
