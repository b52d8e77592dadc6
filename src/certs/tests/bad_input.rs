//! Whatever lies in the folder: a clear finding, and the rest is served.

use std::{
    os::unix::net::UnixListener,
    time::{Duration, Instant},
};

use rcgen::CustomExtension;

use super::*;

/// A folder in which all is well, and room for what is not.
pub(super) struct Room {
    pub(super) folder: Folder,
    pub(super) ca: Authority,
}

impl Room {
    pub(super) fn new() -> Self {
        let (ca, folder) = (Authority::new(), Folder::new());
        let leaf = ca.leaf(&["good.example"], ecdsa());
        folder.write("good/m.pem", format!("{}{}{}", leaf.cert, leaf.key, ca.issuer_pem));
        fs::create_dir(folder.path("bad")).unwrap();
        Self { folder, ca }
    }

    fn load(&self) -> Store {
        self.folder.load_trusting(&[&self.ca.root_pem])
    }

    /// One thing is said, of this file; the neighbour is served, and nothing else.
    fn says(&self, file: &str, code: Code, words: &str) {
        let store = self.load();
        let [finding] = &store.findings[..] else { panic!("{file}: {:?}", said(&store.findings)) };
        assert_eq!(finding.code, code, "{finding}");
        assert_eq!(finding.file, self.folder.path("bad").join(file), "{finding}");
        assert!(finding.text.contains(words), "{words}: {finding}");
        assert_eq!(labels(&store), ["good.example"], "{finding}");
        // In a pool it is no worse, and it is said there as well.
        let sources = Sources {
            certificates: vec![self.folder.path("good")],
            intermediates: vec![self.folder.path("bad")],
            ..Sources::default()
        };
        let store = trusting(&anchors(&[&self.ca.root_pem]), &sources, None);
        assert_eq!(labels(&store), ["good.example"], "{file} in a pool");
        if code != Code::NoKey {
            assert_eq!(codes(&store), [code.to_string()], "{file} in a pool");
        }
    }

    /// The same of a file with this content.
    fn says_of(&self, file: &str, content: impl AsRef<[u8]>, code: Code, words: &str) {
        let path = self.folder.write(&format!("bad/{file}"), content);
        self.says(file, code, words);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn damaged_and_empty_files() {
    let room = Room::new();
    let leaf = room.ca.leaf(&["bad.example"], ecdsa());
    let cert = &leaf.cert;
    let half = &cert[..cert.len() / 2];
    let end = "-----END CERTIFICATE-----\n";
    let not_base64 = cert.replacen("MI", "M!", 1);
    let missing = cert.lines().filter(|l| !l.starts_with("MI")).collect::<Vec<_>>().join("\n");
    let der = &ders(&[cert])[0];
    for (what, content, code, words) in [
        ("cut short", half.as_bytes(), Code::Damaged, "cut short"),
        ("cut short in its key", &leaf.key.as_bytes()[..80], Code::Damaged, "cut short"),
        ("truncated base64", format!("{half}\n{end}").as_bytes(), Code::Damaged, ""),
        ("not base64", not_base64.as_bytes(), Code::Damaged, "a PEM block is damaged"),
        ("a line is missing", missing.as_bytes(), Code::Damaged, ""),
        (
            "nothing in it",
            format!("-----BEGIN CERTIFICATE-----\n{end}").as_bytes(),
            Code::Damaged,
            "",
        ),
        ("no octets", b"", Code::NotPem, "it is empty"),
        ("a blank", b"\n", Code::NotPem, "no PEM block"),
        ("a page of the web", b"<html>404</html>", Code::NotPem, "no PEM block"),
        ("half of DER", &der[..der.len() / 2], Code::NotPem, "DER"),
        ("a length that is not there", b"\x30\x84\xff\xff\xff\xff", Code::NotPem, "DER"),
        ("one octet of DER", b"\x30", Code::NotPem, "DER"),
        ("base64 alone", half.lines().nth(2).unwrap().as_bytes(), Code::NotPem, "no PEM block"),
        ("UTF-16", b"\xff\xfe-\0-\0", Code::NotPem, "iconv -f utf-16 "),
        ("UTF-16, the other way", b"\xfe\xff\0-\0-", Code::NotPem, "iconv -f utf-16 "),
        ("noise", &[0xff; 4096], Code::NotPem, "no PEM block"),
        ("a malformed mark", b"-----BEGIN CERTIFICATE\nAAAA\n", Code::Damaged, "malformed"),
    ] {
        for file in ["fullchain.pem", "m.crt", "privkey.key"] {
            room.says_of(file, content, code, words);
        }
        // What does not say that it is PEM may be anything else, if it does not look like it.
        if code == Code::NotPem {
            room.folder.write("bad/NOTES", content);
            assert_eq!(codes(&room.load()), Vec::<String>::new(), "{what}");
        }
    }
    let octets_behind = format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", {
        room.folder.write("work/x", [&der[..], b"more"].concat());
        room.folder.sh("base64 work/x; rm -r work")
    });
    room.says_of("more.pem", octets_behind, Code::Damaged, "octets behind its end");
}

/// Makes something at a path.
type Make<'a> = &'a dyn Fn(&Path);

#[test]
fn what_is_no_file() {
    let room = Room::new();
    let bad = room.folder.path("bad");
    let no_file: [(&str, &str, Make<'_>); 7] = [
        ("a folder", "it is a folder", &|path| fs::create_dir(path).unwrap()),
        ("a dangling link", "No such file", &|path| link("/nowhere/at/all", path)),
        ("a link to itself", "symbolic links", &|path| link(path.to_str().unwrap(), path)),
        ("a pipe", "a pipe or a device", &|path| {
            room.folder.sh(&format!("mkfifo {}", path.display()));
        }),
        ("a device", "a pipe or a device", &|path| link("/dev/zero", path)),
        ("a socket", "it cannot be read", &|path| drop(UnixListener::bind(path).unwrap())),
        // A regular file whose first octet nobody may read, root included.
        ("a file that cannot be read", "it cannot be read", &|path| link("/proc/self/mem", path)),
    ];
    for (what, words, make) in no_file {
        eprintln!("{what}");
        make(&bad.join("privkey.pem"));
        room.says("privkey.pem", Code::Unreadable, words);
        fs::remove_dir_all(&bad).unwrap();
        fs::create_dir(&bad).unwrap();
    }
}

fn link(to: &str, from: &Path) {
    std::os::unix::fs::symlink(to, from).unwrap();
}

/// A file of nobody's but its owner's; for root, who reads everything, it is as good as any.
#[test]
fn without_permission() {
    let room = Room::new();
    let leaf = room.ca.leaf(&["bad.example"], ecdsa());
    let path = room.folder.write("bad/m.pem", format!("{}{}", leaf.cert, leaf.key));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_err() {
        room.says("m.pem", Code::Unreadable, "Permission denied");
    } else {
        assert_eq!(labels(&room.load()), ["bad.example", "good.example"]);
    }
}

/// Links that lead in circles, and two ways to one place.
#[test]
fn folders_in_circles() {
    let room = Room::new();
    room.folder.link("..", "bad/up");
    room.folder.link("../bad", "bad/again");
    room.folder.link("/", "bad/.hidden");
    room.folder.link("two", "one");
    room.folder.link("one", "two");
    room.folder.link("good", "alias");
    let store = room.load();
    assert_eq!(labels(&store), ["good.example"]);
    let said = said(&store.findings);
    assert_eq!(codes(&store), ["V004", "V004"], "{said:?}");
    for link in ["one", "two"] {
        let is_said =
            said.iter().any(|s| s.contains(&format!("/{link}: ")) && s.contains("symbolic"));
        assert!(is_said, "{said:?}");
    }
}

/// A source that is not there, in all the ways in which it can be missing.
#[test]
fn sources_that_are_not_there() {
    let room = Room::new();
    room.folder.link("loop", "loop");
    for (name, code, words) in [
        ("nowhere", Code::Unreadable, "No such file"),
        ("good/m.pem/m.pem", Code::Unreadable, "Not a directory"),
        ("loop", Code::Unreadable, "symbolic links"),
        ("bad", Code::NothingThere, "no certificate"),
    ] {
        let sources = Sources {
            certificates: vec![room.folder.path(name), room.folder.path("good")],
            ..Sources::default()
        };
        let store = trusting(&anchors(&[&room.ca.root_pem]), &sources, None);
        let [finding] = &store.findings[..] else { panic!("{name}: {:?}", said(&store.findings)) };
        assert_eq!((finding.code, &finding.file), (code, &room.folder.path(name)));
        assert!(finding.text.contains(words), "{finding}");
        assert_eq!(labels(&store), ["good.example"], "{finding}");
    }
}

/// Neither time nor memory is spent on what cannot be a certificate.
#[test]
fn a_hundred_megabytes_of_zeros() {
    let room = Room::new();
    let before = Instant::now();
    for name in ["zeros.pem", "zeros.bin"] {
        let file = fs::File::create(room.folder.path("bad").join(name)).unwrap();
        file.set_len(100 << 20).unwrap();
    }
    room.says("zeros.pem", Code::NotPem, "longer than 16 MiB");
    // What just about fits is read, and is no PEM either.
    let path = room.folder.path("bad/zeros.pem");
    fs::File::options().write(true).open(&path).unwrap().set_len(16 << 20).unwrap();
    room.says("zeros.pem", Code::NotPem, "no PEM block");
    let took = before.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn ten_thousand_blocks() {
    let room = Room::new();
    let leaf = room.ca.leaf(&["bad.example"], ecdsa());
    let before = Instant::now();
    let blocks = |block: &str| block.repeat(10_000);
    room.says_of("all.pem", blocks(&leaf.cert), Code::Damaged, "more than 4096");
    room.says_of("all.key", blocks(&leaf.key), Code::Damaged, "more than 4096");
    // Of what nobody wants there may be as many as there are.
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    room.folder.write("bad/requests.pem", blocks(request));
    room.folder.write("bad/marks", blocks("-----BEGIN X-----\n-----END X-----\n"));
    assert_eq!(codes(&room.load()), Vec::<String>::new());
    room.says_of("open.pem", blocks("-----BEGIN CERTIFICATE-----\n"), Code::Damaged, "");
    let took = before.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// Names for a SAN in DER: RFC 5280 §4.2.1.6. Tag 2 is a DNS name, 7 an address.
fn san(names: &[(u8, &[u8])]) -> CustomExtension {
    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }
    let names: Vec<u8> = names.iter().flat_map(|(tag, name)| tagged(0x80 | tag, name)).collect();
    CustomExtension::from_oid_content(&[2, 5, 29, 17], tagged(0x30, &names))
}

/// Names that no client can ask for, beside one that it can: the one is served, the other is named.
#[test]
fn names_that_are_none() {
    let label = "a".repeat(49);
    let long = |n: usize| format!("{}{}.example", format!("{label}.").repeat(4), "b".repeat(n));
    assert_eq!((long(45).len(), long(46).len()), (253, 254));
    let (fits, too_long) = (long(45), long(46));
    for (tag, name, usable, words) in [
        (2, &b"nul\0.example"[..], None, "no host name"),
        (2, b"good.example\0.evil.example", None, "no host name"),
        (2, b"*", None, "no host name"),
        (2, b"*.", None, "no host name"),
        (2, b"**.example", None, "no host name"),
        (2, b"*.*.example", None, "no host name"),
        (2, b"m*.example", None, "no host name"),
        (2, b"a.*.example", None, "no host name"),
        (2, b"", None, "no host name"),
        (2, b".", None, "no host name"),
        (2, b"a..example", None, "no host name"),
        (2, b" a.example", None, "no host name"),
        (2, b"a.example\r\n", None, "no host name"),
        (2, b"a.example/path", None, "no host name"),
        (2, &[b'a'; 64], None, "no host name"),
        (2, too_long.as_bytes(), None, "longer than a name can be"),
        (2, &[b'.'; 60_000], None, ""),
        (2, "m\u{fc}nchen.example".as_bytes(), None, "m\u{fc}nchen.example, which is not ASCII"),
        (2, b"m\xfcnchen.example", None, "m\u{fc}nchen.example, which is not ASCII"),
        (2, "\u{202e}.example".as_bytes(), None, "u{202e}"),
        (7, &[192, 0, 2, 1], None, "192.0.2.1, clients do not ask for addresses"),
        (7, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], None, "2001:db8::7"),
        (7, &[1, 2, 3], None, "IP:"),
        (4, b"\x30\x00", None, ""),
        (2, b"xn--mnchen-3ya.example", Some("xn--mnchen-3ya.example"), ""),
        (2, b"XN--MNCHEN-3YA.Example", Some("xn--mnchen-3ya.example"), ""),
        (2, b"absolute.example.", Some("absolute.example"), ""),
        (2, b"_service.example", Some("_service.example"), ""),
        (2, b"*.example", Some("*.example"), ""),
        (2, fits.as_bytes(), Some(fits.as_str()), ""),
        (1, b"me@example.org", Some(""), ""),
        (6, b"https://example.org/", Some(""), ""),
    ] {
        let what = name.escape_ascii();
        let folder = Folder::new();
        let ca = Authority::new();
        let leaf = Entity::leaf(&[])
            .with(|p| p.custom_extensions.push(san(&[(tag, name), (2, b"m.example")])));
        let leaf = ca.issue(&leaf);
        folder.write("m.pem", format!("{}{}{}", leaf.cert, leaf.key, ca.issuer_pem));
        let store = folder.load_trusting(&[&ca.root_pem]);
        let findings = said(&store.findings);
        let mut names = store.certificates[0].names().to_vec();
        assert_eq!(names.pop().as_deref(), Some("m.example"), "{what}");
        if let Some(usable) = usable {
            assert_eq!(findings, Vec::<String>::new(), "{what}");
            assert_eq!(names.concat(), usable, "{what}");
        } else {
            assert_eq!(names, Vec::<String>::new(), "{what}");
            assert_eq!(codes(&store), ["V018"], "{what}: {findings:?}");
            assert!(findings[0].contains(words), "{what}: {findings:?}");
            let text = &store.findings[0].text;
            assert!(text.len() < 400 && !text.contains(char::is_control), "{what}: {text:?}");
        }
    }
}

/// Whoever wrote a certificate's names does not write our log.
#[test]
fn names_of_people_are_shown_harmless() {
    let evil = "Evil\n2026-11-21 ERROR \u{1b}[31m\u{202e}CA";
    let ca = Entity::authority(evil);
    let leaf = Entity::leaf(&[]).with(|p| p.distinguished_name.push(DnType::CommonName, evil));
    let folder = Folder::of(&[("m.pem", &format!("{}{}", leaf.by(&ca), leaf.key()))]);
    let store = folder.load_trusting(&[&Authority::new().root_pem]);
    assert_eq!(codes(&store), ["V007", "V017"]);
    let certificate = &store.certificates[0];
    let (path, last) = certificate.path();
    let mut shown = said(&store.findings);
    shown.extend([certificate.label(), certificate.issuer(), last].map(str::to_owned));
    shown.extend(path.into_iter().map(str::to_owned));
    for text in shown {
        assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
        assert!(!text.contains("CN=") || text.contains("Evil\\n2026"), "{text:?}");
    }
}

/// One that is for nobody is named, and stands in nobody's way.
#[test]
fn a_certificate_without_a_usable_name() {
    let room = Room::new();
    let leaf = Entity::leaf(&[]).with(|p| p.custom_extensions.push(san(&[(2, b"*")])));
    let leaf = room.ca.issue(&leaf);
    room.folder.write("bad/m.pem", format!("{}{}", leaf.cert, leaf.key));
    let store = room.load();
    assert_eq!(codes(&store), ["V018"]);
    let set = set(&store);
    assert_eq!(chosen(&set, Some("good.example"), ANYWHERE).0.label(), "good.example");
    // A SAN that is no SAN at all is not passed over in silence.
    let broken = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0x7f, 1]);
    let leaf = room.ca.issue(&Entity::leaf(&[]).with(|p| p.custom_extensions.push(broken)));
    room.folder.write("bad/m.pem", format!("{}{}", leaf.cert, leaf.key));
    assert_eq!(codes(&room.load()), ["V018"]);
}

#[test]
fn mistakes_in_files_are_named_with_what_to_do() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let leaf = ca.leaf(&["m.example"], ecdsa());
    folder.write("good.pem", format!("{}{}{}", leaf.cert, leaf.key, ca.issuer_pem));
    folder.write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.write("binary.crt", "0\u{1}binary");
    folder.write("text.pem", "hello");
    folder.write("README", "certificates live here");
    folder.link("/nowhere", "gone.pem");
    folder.link(".", "circle");
    let store = folder.load(None);
    let said = errors(&store);
    for (file, why) in [
        ("encrypted.key", "openssl pkey -in"),
        ("binary.crt", "openssl x509 -inform der"),
        ("text.pem", "no PEM block"),
        ("gone.pem", "cannot be read"),
    ] {
        assert!(said.iter().any(|s| s.contains(file) && s.contains(why)), "{file}: {said:?}");
    }
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(store.certificates.len(), 1, "the rest is served");
}
