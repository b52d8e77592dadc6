//! Arrows between the rooms point down only, as the picture in `lib.rs` says.

use std::{collections::BTreeSet, path::Path};

use super::{files, top};

/// The rooms from the top of the house to its floor, with the rooms that each may use. What a room
/// may use, so may the rooms above it; rooms on one line do not know each other.
const FLOORS: [&[&str]; 9] = [
    &["cli"],
    &["daemon", "demo", "outside"],
    &["acme", "observe"],
    &["session"],
    &["http"],
    &["backend"],
    &["wire"],
    &["config", "identity", "protocol", "tls"],
    &["certs", "error", "values"],
];

/// Within a floor, and against the rule that all lower floors are open.
const MORE: [(&str, &str); 4] = [
    ("config", "identity"),
    ("config", "protocol"),
    // Some dialects are words of the protocol.
    ("protocol", "identity"),
    ("tls", "protocol"),
];

/// The configuration is for those who start things; everybody else gets values.
const FEWER: [(&str, &str); 7] = [
    ("acme", "config"),
    ("session", "config"),
    ("http", "config"),
    ("observe", "config"),
    ("outside", "config"),
    ("backend", "config"),
    ("wire", "config"),
];

/// What rooms without IO must not touch.
const PURE: [&str; 2] = ["protocol", "identity"];
const IMPURE: [&str; 9] = [
    "tokio",
    "rustls",
    "std::net::Tcp",
    "std::net::Udp",
    "std::fs",
    "std::time",
    "std::thread",
    "Instant",
    "SystemTime",
];

/// Crates that one file or room alone uses, or two, so that they can be swapped.
const ONE_PLACE: [(&str, &str); 18] = [
    ("instant_acme::", "src/acme/"),
    ("base64::", "src/acme/jose.rs"),
    ("aws_lc_rs::digest", "src/certs/digest.rs"),
    (" ::pem::", "src/certs/pem.rs"),
    ("rustls_pemfile::", "src/certs/pem.rs"),
    ("x509_parser::", "src/certs/x509/"),
    ("rcgen::", "src/certs/issue/"),
    ("serde_yaml::", "src/config/"),
    ("saphyr_parser::", "src/config/locate.rs"),
    ("bytes::", "src/wire/inbox.rs"),
    ("tokio_rustls::client::", "src/wire/stream.rs"),
    ("tokio_rustls::server::", "src/wire/stream.rs"),
    ("tokio_rustls::TlsConnector", "src/wire/stream.rs"),
    ("tokio_rustls::{", "src/session/handshake.rs"),
    ("dns_lookup::", "src/session/name.rs"),
    ("sd_notify::", "src/daemon/"),
    // The web's side, and the authorities' side: two clients of two kinds of servers.
    ("hyper::", "src/http/ src/acme/http.rs"),
    ("hyper_util::", "src/http/ src/acme/http.rs"),
];

fn floor(room: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&room))
        .unwrap_or_else(|| panic!("{room} is on no floor"))
}

fn may_use(room: &str, other: &str) -> bool {
    room == other
        || MORE.contains(&(room, other))
        || (floor(other) > floor(room) && !FEWER.contains(&(room, other)))
}

/// The room that a file is in, and the code in it that is not a test's.
fn rooms() -> Vec<(String, String, String)> {
    let file = |path: &Path| {
        let name = path.strip_prefix(top()).expect("below").to_string_lossy().into_owned();
        let room =
            name.trim_start_matches("src/").split(['/', '.']).next().expect("a name").to_owned();
        let text = std::fs::read_to_string(path).expect("a source");
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
        (room, name, code)
    };
    let is_test = |name: &str| {
        ["/tests.rs", "/transcript.rs"].iter().any(|t| name.ends_with(t))
            || ["/properties/", "/tests/"].iter().any(|folder| name.contains(folder))
    };
    let is_room = |(room, name, _): &(String, String, String)| {
        room != "lib" && room != "main" && !is_test(name)
    };
    files("src", "rs").iter().map(|path| file(path)).filter(is_room).collect()
}

#[test]
fn arrows_point_down_only() {
    let mut seen = BTreeSet::new();
    for (room, name, code) in rooms() {
        // Grouped imports begin on a line of their own: `use crate::{`.
        let grouped = code.split("use crate::{").skip(1).filter_map(|rest| rest.split("};").next());
        let in_groups = grouped.flat_map(top_level);
        let direct = code.split("crate::").skip(1).map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")
        });
        for other in in_groups.chain(direct.map(str::to_owned)).filter(|o| !o.is_empty()) {
            assert!(may_use(&room, &other), "{name}: {room} must not use {other}");
            seen.insert((room.clone(), other));
        }
    }
    assert!(seen.contains(&("session".into(), "wire".into())), "the test sees imports: {seen:?}");
    assert!(seen.contains(&("daemon".into(), "certs".into())), "also grouped ones: {seen:?}");
}

/// The names at the top of a group of imports.
fn top_level(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut name) = (0_u32, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            c if depth == 0 => name.push(c),
            _ => {}
        }
    }
    names.push(name);
    names
        .iter()
        .map(|n| n.trim().split("::").next().unwrap_or("").trim_matches(&['{', '}'][..]).to_owned())
        .collect()
}

#[test]
fn protocols_and_identities_touch_nothing() {
    for (room, name, code) in rooms() {
        if !PURE.contains(&room.as_str()) {
            continue;
        }
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in IMPURE {
                assert!(!line.contains(word), "{name}: {word} has no place here: {line}");
            }
        }
    }
}

#[test]
fn each_crate_is_used_in_one_place() {
    for (krate, places) in ONE_PLACE {
        let mut used = 0;
        // The demo's mail server is a guest.
        for (_, name, code) in rooms().into_iter().filter(|(room, ..)| room != "demo") {
            let uses = code
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .filter(|l| l.contains(krate))
                .count();
            assert!(
                uses == 0 || places.split(' ').any(|place| name.starts_with(place)),
                "{name} uses {krate}, which is {places}'s"
            );
            used += uses;
        }
        assert!(used > 0, "{krate} is not used at all");
    }
}
