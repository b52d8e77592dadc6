//! `proxy_from`: fronts in these networks say who calls, and where; that counts for everything. Who is not
//! among them says nothing of the kind, and who is among them has to.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::{
    common::{
        announced::{LOCAL, PROXY, TCP4, TCP6, UDP4, UNIX, UNSPEC, raw, tlv, v1, v2},
        ca::Kind,
        commands::vestibule,
        folder::Folder,
        front::Front,
        mailhost::{Host, TALKS, Talk},
        peer::{Peer, connect},
        proxy::Header,
        tls::NAME,
    },
    stage::{Stage, call},
};

const TRUST: &str = "proxy_from: [127.0.0.0/24]";
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 5);
const CLIENT: &str = "203.0.113.9:4660";
const CALLED: &str = "198.51.100.2:993";
const CLIENT6: &str = "[2001:db8::9]:4660";
const CALLED6: &str = "[2001:db8::2]:993";

fn upgraded(stage: &Stage, talk: Talk, mut clear: Peer<TcpStream>, implicit: bool) {
    if !implicit {
        clear.until(talk.greeted());
        let (command, consent) = talk.upgrade();
        clear.send(command);
        clear.until(consent);
    }
    let mut inside = stage.client().shake(clear).expect("shaken");
    if implicit || talk == Talk::Sieve {
        inside.until(talk.greeted());
    }
    talk.log_in(&mut inside);
    talk.log_out(&mut inside);
    inside.rest();
}

/// The backend, the log and the summary know the client as the front's header tells it; with implicit TLS as
/// with STARTTLS.
#[test]
fn in_both_versions_and_families() {
    let stage = Stage::set();
    let unknown = [tlv(0xEA, b"vpce-1"), tlv(0x02, b"front.example.net"), tlv(0x77, &[0; 600])];
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["implicit", "starttls"].map(|tls| (talk.name(), tls, host.backend.address));
        let front = stage.front(&doors, TRUST);
        for (header, from, to) in [
            (v1(CLIENT, CALLED), CLIENT, CALLED),
            (v1(CLIENT6, CALLED6), CLIENT6, CALLED6),
            (v2(CLIENT, CALLED, b""), CLIENT, CALLED),
            (v2(CLIENT6, CALLED6, b""), CLIENT6, CALLED6),
            (v2("[::ffff:203.0.113.9]:4660", "[::ffff:198.51.100.2]:993", b""), CLIENT, CALLED),
            (v2(CLIENT, CALLED, &unknown.concat()), CLIENT, CALLED),
        ] {
            for n in 0..2 {
                let mark = front.mark();
                let mut peer = connect(front.address(n));
                let via = peer.0.local_addr().unwrap();
                peer.send(&header);
                upgraded(&stage, talk, peer, n == 0);
                let told = host.callers().pop().unwrap();
                assert_eq!(told.source, from.parse().unwrap());
                assert_eq!(told.destination, to.parse().unwrap());
                let summary = front.summary(mark);
                assert_eq!((&summary["peer"], &summary["listener"]), (&from.into(), &to.into()));
                assert_eq!(summary["via"], via.to_string());
            }
        }
    }
}

/// Section 2: what has no internet address leaves those of the connection.
#[test]
fn and_where_it_knows_none_it_is_the_client() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], TRUST);
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.9 198.51.100.2 4660 993\r\n".to_vec(),
        raw(LOCAL, UNSPEC, b""),
        raw(LOCAL, TCP4, &v2(CLIENT, CALLED, b"")[16..]),
        raw(PROXY, UNSPEC, b"whatever it is"),
        raw(PROXY, UNIX, &[b'/'; 216]),
        raw(PROXY, UDP4, &[9; 12]),
    ] {
        let mut peer = connect(front.address(0));
        let here = peer.0.local_addr().unwrap();
        peer.send(&header);
        upgraded(&stage, Talk::Imap, peer, true);
        let told = host.callers().pop().unwrap();
        let shown = header.escape_ascii().to_string();
        assert_eq!((told.source, told.destination), (here, front.address(0)), "{shown}");
    }
}

/// The header ends where it ends: TLS and commands that come in one segment with it are not lost, and one
/// that comes octet by octet is read as well.
#[test]
fn however_it_is_cut() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Pop3);
    let doors = ["implicit", "starttls"].map(|tls| ("pop3", tls, host.backend.address));
    let front = stage.front(&doors, TRUST);
    for header in [v1(CLIENT, CALLED), v2(CLIENT, CALLED, &tlv(4, &[0; 64]))] {
        // The ClientHello goes out in one segment with it.
        let peer = connect(front.address(0));
        let mut glued = Glued { header: header.clone(), stream: peer.0 };
        let name = rustls::pki_types::ServerName::try_from(NAME).unwrap();
        let config = std::sync::Arc::new(stage.client().config);
        let mut tls = rustls::ClientConnection::new(config, name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut glued).expect("shaken");
        }
        assert!(glued.header.is_empty());
        let mut inside = Peer(rustls::StreamOwned::new(tls, glued.stream));
        inside.until("+OK");
        Talk::Pop3.log_in(&mut inside);

        let mut clear = connect(front.address(1));
        clear.send([header.as_slice(), b"NOOP\r\nSTLS\r\n"].concat());
        clear.until("+OK");
        clear.line();
        clear.until("+OK");
        let mut inside = stage.client().shake(clear).expect("shaken");
        Talk::Pop3.log_in(&mut inside);

        let mut slow = connect(front.address(0));
        for octet in &header {
            slow.send([*octet]);
        }
        upgraded(&stage, Talk::Pop3, slow, true);
        assert!(host.callers().iter().all(|told| told.source.to_string() == CLIENT));
    }
    assert_eq!(host.callers().len(), 6);
}

/// A stream whose first write has a header in front of it.
struct Glued {
    header: Vec<u8>,
    stream: TcpStream,
}

impl Write for Glued {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        let all = [std::mem::take(&mut self.header), octets.to_vec()].concat();
        self.stream.write_all(&all).map(|()| octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

impl std::io::Read for Glued {
    fn read(&mut self, octets: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(octets)
    }
}

/// T5: without a name, the certificate is that of the address that the client called, which is the header's.
#[test]
fn and_which_certificate_is_due() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let other = stage.ca.leaf(&["other.example.org"], Kind::Ecdsa);
    other.certbot(&stage.live("other"));
    let more = format!(
        "{TRUST}\ndefault_certificate: {NAME}\ncertificate_by_address: {{ 198.51.100.2: other.example.org, \"2001:db8::2\": other.example.org }}"
    );
    let front = stage.front(&[("imap", "implicit", host.backend.address)], &more);
    let client = crate::common::tls::Client::credulous().asking_nothing().without_tickets();
    for (header, leaf) in [
        (v2(CLIENT, CALLED, b""), &other),
        (v1(CLIENT, "198.51.100.3:993"), &stage.leaf),
        (v2(CLIENT6, CALLED6, b""), &other),
        (v2("[::ffff:192.0.2.1]:1", "[::ffff:198.51.100.2]:993", b""), &other),
        (raw(LOCAL, UNSPEC, b""), &stage.leaf),
    ] {
        let mut peer = connect(front.address(0));
        peer.send(header);
        let inside = client.shake(peer).expect("shaken");
        assert_eq!(inside.leaf(), crate::common::tls::der(&leaf.cert));
    }
}

/// `plaintext_from` and `limits.pre_login_per_address` judge the client, not the front.
#[test]
fn and_who_may_do_what() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let more = format!(
        "{TRUST}\nplaintext_from: [203.0.113.0/24, 127.0.0.3]\nlimits: {{ pre_login_per_address: 2 }}"
    );
    let front = stage.front(&[("imap", "starttls", host.backend.address)], &more);
    let enter = |from: &str| {
        let mut peer = connect(front.address(0));
        peer.send(v1(from, CALLED));
        let said = peer.line();
        (peer, said)
    };
    assert!(enter("203.0.113.9:1").1.contains("AUTH=PLAIN"));
    assert!(enter("192.0.2.9:1").1.contains("LOGINDISABLED"));

    // Until it is known who calls, the front itself counts for nothing.
    let waiting: Vec<_> = (0..5).map(|_| connect(front.address(0))).collect();
    let strangers = ["192.0.2.7:1", "192.0.2.7:2"].map(enter);
    let (_, told) = enter("192.0.2.7:3");
    assert!(told.starts_with(Talk::Imap.come_back_later()), "{told:?}");
    let (_another, said) = enter("192.0.2.8:3");
    assert!(said.starts_with("* OK"), "{said:?}");
    drop((waiting, strangers));
}

/// Who is in `proxy_from` and sends none, or a wrong one, is not heard, and the log says why. What there was
/// of it reaches nobody.
#[test]
fn or_nothing_is_heard_from_it() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let doors = ["implicit", "starttls"].map(|tls| ("imap", tls, host.backend.address));
    let more = format!("{TRUST}\ntimeouts: {{ proxy: 400ms }}");
    let front = stage.front(&doors, &more);
    let whole = v2(CLIENT, CALLED, &tlv(5, b"id"));
    let good = [&v2(CLIENT, CALLED, b"")[16..], &tlv(3, &[1, 2, 3, 4])].concat();
    let mut version = whole.clone();
    version[12] = 0x31;
    for (octets, why) in [
        (whole[..20].to_vec(), "closed after 20 octets"),
        (v1(CLIENT, CALLED)[..30].to_vec(), "closed after 30 octets"),
        (raw(PROXY, TCP4, &[7; 11]), "11 octets are too few"),
        (raw(PROXY, TCP6, &[7; 35]), "35 octets are too few"),
        (raw(PROXY, 0x41, &[7; 35]), "no family 0x41"),
        (raw(0x22, TCP4, &[7; 12]), "no command 2"),
        (version, "no version 3"),
        (raw(PROXY, TCP4, &[0; 5000]), "too long: 5016 octets"),
        (raw(PROXY, TCP4, &good), "CRC-32C is wrong"),
        (v2(CLIENT, CALLED, b"\x05\0\x09short"), "TLV 0x05"),
        (format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).into_bytes(), "too long: 107 octets"),
        (b"PROXY TCP4 203.0.113.9 198.51.100.2 4660\r\n".to_vec(), "two addresses and two ports"),
        (b"PROXY TCP4 203.0.113.9 198.51.100.2 4660 99999\r\n".to_vec(), "a port is no number"),
        (b"PROXY TCP4 203.0.113.9 198.51.100.2 1 2\n".to_vec(), "does not end in CRLF"),
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), "begins with TLS"),
        (b"a LOGIN alice secret\r\n".to_vec(), "begins with \\\"a\\\""),
        (Vec::new(), "without a word"),
    ] {
        for n in 0..2 {
            let mark = front.mark();
            let mut peer = connect(front.address(n));
            // It may be gone before all has been said.
            let _ = peer.0.write_all(&octets);
            let _ = peer.0.shutdown(std::net::Shutdown::Write);
            assert_eq!(peer.rest(), "");
            front.wait(why, mark, |line| line.to_string().contains(why));
        }
    }
    // Half of one, and then silence; or silence alone.
    for octets in [&whole[..20], b"PROXY TCP4 203.0", b""] {
        let mark = front.mark();
        let mut peer = connect(front.address(0));
        peer.send(octets);
        assert_eq!(peer.rest(), "");
        let line = front.wait("it says why", mark, |line| line["why"].is_string());
        assert!(line["why"].as_str().unwrap().contains("not whole after 400ms"), "{line}");
    }
    assert!(host.callers().is_empty());
    let is_loud = |l: &Value| l["level"] == "WARN" && l.to_string().contains("proxy_from");
    let loud: Vec<Value> = front.log().into_iter().filter(is_loud).collect();
    assert_eq!(loud.len(), 2, "once for each listener: {loud:#?}");
}

/// X10: from anybody else it is what any octets are; also where the fronts are others for one listener.
#[test]
fn and_nobody_else_does() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let door = |tls| ("imap", tls, host.backend.address);
    let own = "proxy_from: [127.0.1.5]";
    let config = stage.config_with(
        &[(door("starttls"), ""), (door("implicit"), ""), (door("starttls"), own)],
        TRUST,
    );
    let front = Front::start(&config);
    for header in [v1(CLIENT, CALLED), v2(CLIENT, CALLED, b"")] {
        let mut clear = call(front.address(0), STRANGER);
        clear.send(&header);
        clear.until("* OK");
        assert!(clear.line().contains(" BAD "));
        let mut peer = call(front.address(1), STRANGER);
        peer.send(&header);
        assert!(stage.client().shake(peer).is_err(), "TLS begins with TLS");
        // The listener's own list replaces the one for all.
        let mut peer = call(front.address(2), STRANGER);
        peer.send(&header);
        assert!(peer.line().starts_with("* OK"));
        let mut peer = connect(front.address(2));
        peer.send(&header);
        peer.until("* OK");
        assert!(peer.line().contains(" BAD "));
    }
    let mark = front.mark();
    let mut clear = call(front.address(0), STRANGER);
    clear.send(v1(CLIENT, CALLED));
    clear.until("* OK");
    drop(clear);
    let summary = front.summary(mark);
    assert!(summary["peer"].as_str().unwrap().starts_with("127.0.1.5:"), "{summary}");
    assert!(summary["via"].is_null() && host.callers().is_empty());
}

/// The front's name for the session stands beside ours; what cannot stand in a log is in hexadecimal.
#[test]
fn and_what_it_calls_the_session() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], TRUST);
    for (id, shown) in [(&b"7F000001:C0DE"[..], "7F000001:C0DE"), (b"\x00\n", "000a")] {
        let mark = front.mark();
        let mut peer = connect(front.address(0));
        peer.send(v2(CLIENT, CALLED, &tlv(5, id)));
        upgraded(&stage, Talk::Imap, peer, true);
        assert_eq!(front.summary(mark)["via_id"], shown);
    }
}

/// A front whose backend is itself in the end calls itself so many times and no more.
#[test]
fn and_a_circle_is_broken() {
    let stage = Stage::set();
    // It stands between the front and itself, and changes nothing.
    let way: &'static std::sync::OnceLock<SocketAddr> = Box::leak(Box::default());
    let (tell, told) = std::sync::mpsc::channel();
    let between = crate::common::peer::Backend::script(move |mut peer| {
        let header = peer.proxy_v2();
        if header[12] == LOCAL {
            return;
        }
        let mut on = connect(*way.get().unwrap());
        tell.send(Header::parse(&header)).unwrap();
        on.send(&header);
        assert_eq!(on.rest(), "");
    });
    let front = stage.front(&[("raw", "none", between.address)], TRUST);
    way.set(front.address(0)).unwrap();
    let mut peer = connect(front.address(0));
    peer.send(v1(CLIENT, CALLED));
    assert_eq!(peer.rest(), "");
    front.wait("it says why", 0, |l| l.to_string().contains("is its own backend"));
    let headers: Vec<Header> = told.try_iter().collect();
    let hops: Vec<_> = headers.iter().map(|h| h.tlv(0xE7).unwrap().to_vec()).collect();
    assert_eq!(hops, [[1], [2], [3], [4], [5]]);
    assert!(headers.iter().all(|h| h.source.to_string() == CLIENT));
}

/// Whoever may be a front may be anybody: that is said.
#[test]
fn but_not_everybody_is_a_front() {
    let folder = Folder::new();
    let own =
        "[{ bind: \"0.0.0.0:25\", proxy_from: [10.0.0.1, \"::/0\"] }, { bind: \"0.0.0.0:143\" }]";
    for (more, places) in [
        ("proxy_from: 0.0.0.0/0".to_owned(), vec!["proxy_from: it names all addresses"]),
        (format!("listeners: {own}"), vec!["listeners[0].proxy_from: it names all addresses"]),
        ("proxy_from: [10.0.0.0/8, \"fd00::/8\"]".to_owned(), vec![]),
    ] {
        folder.write("c.yaml", format!("certificates: [/a]\nbackend: 10.0.0.5\n{more}\n"));
        let said = vestibule(folder.path(), &["check", "--offline", "c.yaml"]);
        let said = said.with(i32::from(!places.is_empty()));
        assert_eq!(said.matches("warning: ").count(), places.len(), "{said}");
        assert!(places.iter().all(|place| said.contains(place)), "{said}");
    }
}
