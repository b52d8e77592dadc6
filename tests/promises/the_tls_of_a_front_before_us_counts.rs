//! TLS may end with a front before us. If it says so, its client is inside TLS: it may log in, and the
//! backend is told what was agreed on there. Nobody is who came without, or of whom nothing was said.

use crate::{
    common::{
        announced::{LOCAL, PROXY, TCP4, UDP4, UNSPEC, raw, tlv, v1, v2},
        front::Front,
        mailhost::{Host, TALKS, Talk},
        peer::connect,
        proxy::{ALPN, AUTHORITY, Header, SSL, SSL_CIPHER, SSL_CN, SSL_VERSION, tlvs_of},
    },
    stage::Stage,
};

const TRUST: &str = "proxy_from: [127.0.0.0/24]";
const CLIENT: &str = "203.0.113.9:4660";
const CALLED: &str = "198.51.100.2:993";

/// The bits of a client with TLS, and of one that showed a certificate.
const WITH_TLS: u8 = 1;
const WITH_CERTIFICATE: u8 = 7;

/// What HAProxy says with `send-proxy-v2-ssl-cn`.
fn ssl(bits: u8, verify: u8) -> Vec<u8> {
    let parts = [
        tlv(SSL_VERSION, b"TLSv1.2"),
        tlv(SSL_CIPHER, b"ECDHE-RSA-AES256-GCM-SHA384"),
        tlv(SSL_CN, b"A Client"),
    ];
    tlv(SSL, &[[bits, 0, 0, 0, verify].as_slice(), &parts.concat()].concat())
}

/// Bits, result of the verification, parts.
type Told = (u8, u8, Vec<(u8, Vec<u8>)>);

/// What the backend is told of it.
fn told(header: &Header) -> Option<Told> {
    let value = header.tlv(SSL)?;
    Some((value[0], value[4], tlvs_of(&value[5..])))
}

/// A session in clear with this front, through this listener, after this header.
fn in_clear(front: &Front, listener: usize, talk: Talk, header: &[u8]) {
    let mut peer = connect(front.address(listener));
    peer.send(header);
    let greeting = peer.until(talk.greeted());
    assert!(!greeting.to_uppercase().contains("STARTTLS"), "{greeting}");
    talk.log_in(&mut peer);
    talk.log_out(&mut peer);
    peer.rest();
}

#[test]
fn where_it_says_so() {
    let stage = Stage::set();
    let names = [tlv(ALPN, b"imap"), tlv(AUTHORITY, b"Mail.example.net"), tlv(0xEA, b"more")];
    let tlvs = [names.concat(), ssl(WITH_TLS, 0)].concat();
    for talk in TALKS {
        let host = Host::polite(talk);
        let doors = ["none", "starttls", "starttls-optional"]
            .map(|t| (talk.name(), t, host.backend.address));
        let front = stage.front(&doors, TRUST);
        for n in 0..3 {
            let mark = front.mark();
            in_clear(&front, n, talk, &v2(CLIENT, CALLED, &tlvs));
            let caller = host.callers().pop().unwrap();
            assert_eq!(caller.source, CLIENT.parse().unwrap());
            assert_eq!(caller.text(AUTHORITY), Some("mail.example.net"));
            assert_eq!(caller.text(ALPN), Some("imap"));
            let (bits, verify, parts) = told(&caller).unwrap();
            assert_eq!((bits, verify), (WITH_TLS, 1), "no certificate was shown");
            let cipher = b"ECDHE-RSA-AES256-GCM-SHA384".to_vec();
            assert_eq!(parts, [(SSL_VERSION, b"TLSv1.2".to_vec()), (SSL_CIPHER, cipher)]);
            let summary = front.summary(mark);
            assert!(summary["tls"].is_null(), "there was none with us: {summary}");
            assert_eq!(summary["via_tls"], "TLSv1.2");
            assert_eq!(summary["via_cipher"], "ECDHE-RSA-AES256-GCM-SHA384");
        }
    }
}

/// The common name of a certificate, if the front has verified that.
#[test]
fn and_who_its_client_is() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "none", host.backend.address)], TRUST);
    let name = |bits, verify| {
        in_clear(&front, 0, Talk::Imap, &v2(CLIENT, CALLED, &ssl(bits, verify)));
        let (bits, verify, parts) = told(&host.callers().pop().unwrap()).unwrap();
        let name = parts.into_iter().find(|(kind, _)| *kind == SSL_CN);
        (bits, verify, name.map(|(_, name)| String::from_utf8(name).unwrap()))
    };
    assert_eq!(name(WITH_CERTIFICATE, 0), (WITH_CERTIFICATE, 0, Some("A Client".to_owned())));
    assert_eq!(name(5, 0), (5, 0, Some("A Client".to_owned())), "shown in an earlier connection");
    assert_eq!(name(WITH_CERTIFICATE, 18), (WITH_CERTIFICATE, 1, None));
    assert_eq!(name(WITH_TLS, 0), (WITH_TLS, 1, None));
}

/// With implicit TLS to us, what we have seen counts.
#[test]
fn and_ours_comes_first() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let front = stage.front(&[("imap", "implicit", host.backend.address)], TRUST);
    let mut peer = connect(front.address(0));
    peer.send(v2(CLIENT, CALLED, &ssl(WITH_CERTIFICATE, 0)));
    let mut inside = stage.client().shake(peer).unwrap();
    inside.until("* OK");
    Talk::Imap.log_in(&mut inside);
    Talk::Imap.log_out(&mut inside);
    let (bits, _, parts) = told(&host.callers().pop().unwrap()).unwrap();
    assert_eq!((bits, &parts[0]), (WITH_TLS, &(SSL_VERSION, b"TLSv1.3".to_vec())));
}

/// Without the one bit, or without a client, or with a TLV that is not whole, it is in clear.
#[test]
fn and_nothing_else_does() {
    let stage = Stage::set();
    let host = Host::polite(Talk::Imap);
    let doors = ["starttls", "none"].map(|tls| ("imap", tls, host.backend.address));
    let front = stage.front(&doors, TRUST);
    let mut cut = ssl(WITH_TLS, 0);
    *cut.last_mut().unwrap() = 0;
    cut.truncate(20);
    cut[2] = 17;
    let right = v2(CLIENT, CALLED, &ssl(WITH_TLS, 0));
    for header in [
        v1(CLIENT, CALLED),
        v2(CLIENT, CALLED, &ssl(0, 0)),
        v2(CLIENT, CALLED, &ssl(6, 0)),
        v2(CLIENT, CALLED, &cut),
        v2(CLIENT, CALLED, &tlv(SSL, &[WITH_TLS, 0, 0, 0])),
        v2(CLIENT, CALLED, &[tlv(ALPN, b"imap"), tlv(AUTHORITY, b"mail.example.net")].concat()),
        raw(LOCAL, TCP4, &right[16..]),
        raw(PROXY, UNSPEC, &ssl(WITH_TLS, 0)),
        raw(PROXY, UDP4, &right[16..]),
    ] {
        let shown = header.escape_ascii().to_string();
        let mut peer = connect(front.address(0));
        peer.send(&header);
        let greeting = peer.until("* OK");
        assert!(greeting.contains("STARTTLS") && greeting.contains("LOGINDISABLED"), "{shown}");
        peer.send("l LOGIN alice secret\r\n");
        assert!(peer.line().starts_with("l NO "), "{shown}");
        in_clear(&front, 1, Talk::Imap, &header);
        let caller = host.callers().pop().unwrap();
        assert_eq!((told(&caller), caller.tlv(AUTHORITY)), (None, None), "{shown}");
    }
}
