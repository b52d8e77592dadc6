//! The PROXY header, to the octet: who calls, where, how; and that nobody but the front writes it.

use std::net::{Ipv4Addr, SocketAddr};

use crate::{
    common::{
        front::{Front, PATIENCE},
        mailhost::{Host, TALKS, Talk},
        peer::{Backend, connect},
        proxy::{
            ALPN, AUTHORITY, CRC32C, Header, SSL, SSL_CIPHER, SSL_VERSION, UNIQUE_ID, tlvs_of,
        },
        tls::{Client, NAME, VERSIONS},
    },
    stage::{Stage, call},
};

/// What the SSL TLV says: its client bits, the result of the verification, and its own TLVs.
fn ssl(header: &Header) -> (u8, u32, Vec<(u8, Vec<u8>)>) {
    let value = header.tlv(SSL).expect("the session is under TLS");
    (value[0], u32::from_be_bytes(value[1..5].try_into().unwrap()), tlvs_of(&value[5..]))
}

/// X1, X2, X8, X9: a session in clear: addresses and name, in one segment before the greeting, and no
/// other octet in it.
#[test]
fn in_clear_to_the_octet() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "none", host.backend.address)], "");
    let mut peer = connect(front.address(0));
    let client = peer.0.local_addr().unwrap();
    peer.until("* OK");
    Talk::Imap.log_out(&mut peer);
    drop(peer);
    let id = front.summary(0)["id"].as_str().unwrap().to_owned();
    let [header] = &host.callers()[..] else { panic!("one caller") };
    let length = u16::try_from(12 + 3 + id.len() + 7).unwrap();
    let id_length = u16::try_from(id.len()).unwrap();
    let expected = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11".as_slice(),
        &length.to_be_bytes(),
        &[127, 0, 0, 1, 127, 0, 0, 1],
        &client.port().to_be_bytes(),
        &front.port(0).to_be_bytes(),
        &[UNIQUE_ID],
        &id_length.to_be_bytes(),
        id.as_bytes(),
        &[CRC32C, 0, 4],
    ]
    .concat();
    // X7: every header's checksum is computed again where it is parsed.
    assert_eq!(header.octets[..header.octets.len() - 4], expected);
    assert!(id.len() <= 128);
}

/// X2: the addresses are the client's and the one that it called, on 127.0.0.x as on ::1.
#[test]
fn with_both_addresses() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let config = stage.config(&[("imap", "implicit", host.backend.address)], "");
    let front = Front::start(
        &config.replace("bind: \"127.0.0.1:0\"", "bind: [\"0.0.0.0:0\", \"[::1]:0\"]"),
    );
    for (to, from) in [(2, 9), (3, 1), (1, 77)] {
        let to = SocketAddr::from((Ipv4Addr::new(127, 0, 0, to), front.port(0)));
        let peer = call(to, Ipv4Addr::new(127, 0, 0, from));
        let client = peer.0.local_addr().unwrap();
        stage.client().shake(peer).expect("shaken").until("* OK");
        let header = host.callers().pop().unwrap();
        assert_eq!((header.source, header.destination), (client, to));
        assert_eq!(header.octets[13], 0x11);
    }
    let peer = connect(front.address(1));
    let (client, to) = (peer.0.local_addr().unwrap(), front.address(1));
    assert!(to.is_ipv6());
    stage.client().shake(peer).expect("shaken").until("* OK");
    let header = host.callers().pop().unwrap();
    assert_eq!((header.source, header.destination), (client, to));
    assert_eq!(header.octets[13], 0x21);
}

/// X4, X5, X6, X8, X9: what was agreed on, and nothing that was not; the one connection of a STARTTLS
/// session has it, too.
#[test]
fn with_what_was_agreed_on() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "implicit", host.backend.address)], "");
        let id = match talk {
            Talk::Imap => "imap",
            Talk::Pop3 => "pop3",
            Talk::Sieve => "managesieve",
        };
        for version in VERSIONS {
            let plain = Client::speaking(&stage.ca, &[version]);
            for (client, alpn, name) in [
                (plain.clone(), None, Some(NAME)),
                (plain.clone().alpn(&["h2", id]), Some(id), Some(NAME)),
                (plain.clone().asking_nothing(), None, None),
            ] {
                let mark = front.mark();
                let mut peer = client.enter(front.address(0));
                peer.until(talk.greeted());
                talk.log_out(&mut peer);
                peer.rest();
                drop(peer);
                let summary = front.summary(mark);
                let header = host.callers().pop().unwrap();
                assert_eq!(header.text(ALPN), alpn, "{talk:?}");
                assert_eq!(header.text(AUTHORITY), name, "{talk:?}");
                assert_eq!(header.text(UNIQUE_ID), summary["id"].as_str());
                let (bits, verified, inner) = ssl(&header);
                assert_eq!(bits, 0x01, "TLS, and no client certificate");
                assert_ne!(verified, 0, "nobody was verified");
                let text = |kind| {
                    let found = inner.iter().find(|(k, _)| *k == kind).expect("it is there");
                    String::from_utf8(found.1.clone()).unwrap()
                };
                assert_eq!(Some(text(SSL_VERSION).as_str()), summary["tls"].as_str());
                assert_eq!(Some(text(SSL_CIPHER).as_str()), summary["cipher"].as_str());
                assert!(header.octets.len() <= 536);
            }
        }
    }
}

/// X9: after STARTTLS it is the same; there is one connection, and it knows of TLS.
#[test]
fn after_starttls_as_well() {
    let stage = Stage::set();
    for talk in TALKS {
        let host = Host::polite(talk);
        let front = stage.front(&[(talk.name(), "starttls", host.backend.address)], "");
        let mut peer = stage.upgrade(talk, front.address(0));
        talk.log_in(&mut peer);
        let [header] = &host.callers()[..] else { panic!("one caller") };
        assert_eq!(header.text(AUTHORITY), Some(NAME), "{talk:?}");
        assert_eq!(ssl(header).0, 0x01, "{talk:?}");
    }
}

/// X9: a session that goes on in clear has nothing of TLS in its header, and STARTTLS after that makes a new
/// one with it.
#[test]
fn and_in_clear_no_tls() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Pop3);
    let door = ("pop3", "starttls-optional", host.backend.address);
    let front = stage.front(&[door], "");
    let mut clear = connect(front.address(0));
    clear.until("+OK");
    clear.send("UIDL\r\n");
    clear.until("-ERR");
    clear.send("STLS\r\n");
    clear.until("+OK");
    let mut inside = stage.client().shake(clear).expect("shaken");
    Talk::Pop3.log_in(&mut inside);
    let [first, second] = &host.callers()[..] else { panic!("two callers") };
    let kinds = |h: &Header| h.tlvs.iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
    assert_eq!(kinds(first), [UNIQUE_ID, CRC32C]);
    assert_eq!(ssl(second).0, 0x01);
    assert_eq!(first.source, second.source);
}

/// X5: the name is passed on as the client wrote it, but for its case, of which there is none.
#[test]
fn with_any_name_that_was_asked_for() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    for name in ["nobody.example.com", "xn--mil-0na.example.org", &longest] {
        Client::credulous().asking(name).enter(front.address(0)).until("* OK");
        let header = host.callers().pop().unwrap();
        assert_eq!(header.text(AUTHORITY), Some(name));
        assert!(header.octets.len() <= 536, "{}", header.octets.len());
    }
}

/// X10: a client's own PROXY header is data: for the greeter a broken command, for a backend what the
/// client says. It changes no address.
#[test]
fn and_no_client_can_write_it() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let raw = Backend::script(|mut peer| {
        let header = Header::parse(&peer.proxy_v2());
        let line = peer.line();
        peer.send(format!("{} said {line}", header.source));
    });
    let doors = [
        ("imap", "starttls", host.backend.address),
        ("imap", "implicit", host.backend.address),
        ("raw", "none", raw.address),
    ];
    let front = stage.front(&doors, "");
    let text = "PROXY TCP4 203.0.113.7 203.0.113.8 1 2\r\n";
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xcb\0\x71\x08\0\x01\0\x02";

    // Before the greeting, and before the handshake.
    let mut clear = connect(front.address(0));
    clear.send(text);
    clear.until("* OK");
    assert!(clear.line().contains(" BAD "));
    clear.send("a STARTTLS\r\n");
    clear.until("a OK");
    stage.client().shake(clear).expect("shaken").send("a NOOP\r\n");
    for prefix in [text.as_bytes(), binary] {
        let mut peer = connect(front.address(1));
        peer.send(prefix);
        assert!(stage.client().shake(peer).is_err(), "TLS begins with TLS");
    }

    // In the session.
    let mut inside = stage.client().enter(front.address(1));
    inside.until("* OK");
    inside.send(text);
    assert!(inside.line().contains("BAD"));
    Talk::Imap.log_in(&mut inside);

    // Where all is data.
    let mut raw = connect(front.address(2));
    let client = raw.0.local_addr().unwrap();
    raw.send(text);
    raw.expect(format!("{client} said {text}"));

    for header in host.callers() {
        assert_eq!(header.source.ip(), Ipv4Addr::LOCALHOST);
    }
}

/// X3: the front's own connections are nobody's: LOCAL where nothing is asked, and where something is, a
/// client from an address of RFC 5737 with TLS, which the backend shows what it shows to such.
#[test]
fn and_when_nobody_does() {
    let (tell, told) = std::sync::mpsc::channel();
    let raw = Backend::script(move |mut peer| drop(tell.send(peer.proxy_v2())));
    let (tell, probed) = std::sync::mpsc::channel();
    let imap = Backend::script(move |mut peer| {
        let header = Header::first_segment(&mut peer.0);
        let _ = tell.send(header);
        Talk::Imap.attend(&mut peer, |_| {});
    });
    let stage = Stage::set();
    let doors = [("raw", "implicit", raw.address), ("imap", "implicit", imap.address)];
    let _front = stage.front(&doors, "");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    let header = probed.recv_timeout(PATIENCE).unwrap();
    assert!(header.is_probe(), "{header:?}");
    assert_eq!(ssl(&header).0, 0x01);
}
