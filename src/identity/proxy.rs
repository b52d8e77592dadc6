//! The PROXY protocol, version 2: section 2.2 of HAProxy's `proxy-protocol.txt`.
//!
//! Its default place is behind us: a backend that does not see the client's address relays for
//! everybody, because the front's address is one that it trusts.

use std::net::{IpAddr, SocketAddr};

use super::{Facts, TlsFacts, announced::HOPS, crc32c::crc32c};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Section 2.2: version 2, and the command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// TLV types of section 2.2.
pub(super) const ALPN: u8 = 0x01;
pub(super) const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
pub(super) const SSL: u8 = 0x20;
pub(super) const SSL_VERSION: u8 = 0x21;
pub(super) const SSL_CN: u8 = 0x22;
pub(super) const SSL_CIPHER: u8 = 0x23;

/// `PP2_CLIENT_SSL`: the client connected over TLS.
pub(super) const CLIENT_SSL: u8 = 0x01;
/// `PP2_CLIENT_CERT_CONN` and `PP2_CLIENT_CERT_SESS`: it showed a certificate on this connection, or at
/// least once in this TLS session. Where we ask for one ourselves, no session is resumed.
pub(super) const CERT_CONN: u8 = 0x02;
pub(super) const CERT_SESS: u8 = 0x04;
/// Zero: the client showed a certificate, and it was verified. Anything else: not so.
pub(super) const VERIFIED: u32 = 0;
const NOT_VERIFIED: u32 = 1;

/// The protocols that a backend may be told were negotiated. SMTP's are not among them: Dovecot
/// drops a connection whose ALPN is not its own.
const ALPN_FOR_BACKENDS: &[&[u8]] =
    &[b"h2", b"http/1.1", b"imap", b"managesieve", b"pop3", b"submission"];

/// The longest name that is passed on: RFC 1035 §2.3.4.
pub(super) const LONGEST_NAME: usize = 255;

/// The longest version and suite that are passed on, where a front before us has told them: IANA's
/// longest name of a suite that is not obsolete has 45 letters.
pub(super) const LONGEST_VERSION: usize = 8;
pub(super) const LONGEST_CIPHER: usize = 45;

/// The longest common name that is passed on: the header should fit into 536 octets. RFC 5280 has
/// 64 letters.
pub(super) const LONGEST_COMMON_NAME: usize = 104;

/// The header that says who the client is.
#[must_use]
pub fn header(facts: &Facts) -> Vec<u8> {
    let mut body = addresses(facts.peer, facts.local);
    let family = if body.len() == 12 { TCP_OVER_IPV4 } else { TCP_OVER_IPV6 };
    if let Some(tls) = &facts.tls {
        tls_tlvs(tls, &mut body);
    }
    tlv(UNIQUE_ID, facts.id.to_string().as_bytes(), &mut body);
    if facts.hops > 0 {
        tlv(HOPS, &[facts.hops], &mut body);
    }
    // Section 2.2.3: over the whole header, in which it is zero itself.
    tlv(CRC32C, &[0; 4], &mut body);
    let mut header = whole(PROXY, family, &body);
    let (sum, end) = (crc32c([header.as_slice()]), header.len());
    header[end - 4..].copy_from_slice(&sum.to_be_bytes());
    header
}

/// The header for a connection of our own: a health check, not a client.
#[must_use]
pub fn local() -> Vec<u8> {
    whole(LOCAL, 0, &[])
}

fn whole(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    // At most 36 octets of addresses, and TLVs of which each is bounded: far from 65,535.
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [SIGNATURE.as_slice(), &[command, family], &length.to_be_bytes(), body].concat()
}

fn addresses(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let ports = [peer.port().to_be_bytes(), local.port().to_be_bytes()].concat();
    match (peer.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            [from.octets().as_slice(), &to.octets(), &ports].concat()
        }
        (from, to) => [octets_v6(from).as_slice(), &octets_v6(to), &ports].concat(),
    }
}

fn octets_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn tls_tlvs(tls: &TlsFacts, body: &mut Vec<u8>) {
    if let Some(alpn) = tls.alpn.as_deref().filter(|alpn| ALPN_FOR_BACKENDS.contains(alpn)) {
        tlv(ALPN, alpn, body);
    }
    if let Some(name) = tls.sni.as_deref().filter(|name| is_fit(name)) {
        tlv(AUTHORITY, name.as_bytes(), body);
    }
    let client = tls.client.as_deref();
    let verified = client.filter(|client| client.verified.is_ok());
    let shown = match client {
        None => 0,
        Some(_) if tls.resumed => CERT_SESS,
        Some(_) => CERT_CONN | CERT_SESS,
    };
    let mut ssl = vec![CLIENT_SSL | shown];
    let result = if verified.is_some() { VERIFIED } else { NOT_VERIFIED };
    ssl.extend_from_slice(&result.to_be_bytes());
    if !tls.version.is_empty() {
        tlv(SSL_VERSION, tls.version.as_bytes(), &mut ssl);
    }
    // Of an unverified certificate anybody may be the author, and a backend may not look at the
    // result before it believes the name.
    let name = verified.and_then(|client| client.common_name.as_deref());
    if let Some(name) = name.filter(|n| is_fit(n) && n.len() <= LONGEST_COMMON_NAME) {
        tlv(SSL_CN, name.as_bytes(), &mut ssl);
    }
    if !tls.cipher.is_empty() {
        tlv(SSL_CIPHER, tls.cipher.as_bytes(), &mut ssl);
    }
    tlv(SSL, &ssl, body);
}

fn is_fit(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.bytes().any(|b| b.is_ascii_control())
}

fn tlv(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{ClientCertificate, facts, tls};

    fn shown(verified: bool, common_name: &str) -> TlsFacts {
        let client = ClientCertificate {
            verified: verified.then_some(()).ok_or("why not".to_owned()),
            common_name: Some(common_name.to_owned()),
            subject: format!("CN={common_name}"),
            issuer: "CN=Test".to_owned(),
            fingerprint: "00".to_owned(),
        };
        TlsFacts { client: Some(Box::new(client)), ..tls(None, None) }
    }

    /// The TLVs of a header, by type.
    fn tlvs(mut rest: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        while let [kind, high, low, tail @ ..] = rest {
            let (value, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            found.push((*kind, value.to_vec()));
            rest = tail;
        }
        found
    }

    #[test]
    fn x1_x2_x8_addresses_and_id_to_the_octet() {
        let header = header(&facts("192.0.2.1:4660", "198.51.100.2:143", None));
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x2e".to_vec();
        expected.extend_from_slice(&[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 143]);
        expected.extend_from_slice(b"\x05\0\x180000000000000000000000ab");
        // By another implementation, over the octets above and four zeros.
        expected.extend_from_slice(b"\x03\0\x04\x07\x35\x8f\x3b");
        assert_eq!(header, expected);
    }

    #[test]
    fn x2_mapped_addresses_are_ipv4_and_mixed_ones_ipv6() {
        let mapped = header(&facts("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2", None));
        assert_eq!((mapped[13], &mapped[16..20]), (0x11, [192, 0, 2, 1].as_slice()));
        let v6 = header(&facts("[2001:db8::1]:1", "[2001:db8::2]:2", None));
        assert_eq!((v6[13], &v6[16..20]), (0x21, [0x20, 1, 0xd, 0xb8].as_slice()));
        let mixed = header(&facts("192.0.2.1:1", "[2001:db8::2]:2", None));
        assert_eq!((mixed[13], &mixed[26..32]), (0x21, [0xff, 0xff, 192, 0, 2, 1].as_slice()));
    }

    #[test]
    fn x4_x5_x6_x9_what_was_agreed_on_and_nothing_else() {
        let of = |tls| tlvs(&header(&facts("192.0.2.1:1", "192.0.2.2:2", tls))[28..]);
        let kinds = |tls| of(tls).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
        assert_eq!(kinds(None), [UNIQUE_ID, CRC32C]);
        assert_eq!(kinds(Some(tls(None, None))), [SSL, UNIQUE_ID, CRC32C]);
        assert_eq!(
            kinds(Some(tls(Some("a.example"), Some(b"imap")))),
            [ALPN, AUTHORITY, SSL, UNIQUE_ID, CRC32C]
        );
        assert_eq!(kinds(Some(tls(None, Some(b"smtp")))), [SSL, UNIQUE_ID, CRC32C], "no SMTP id");
        assert_eq!(
            kinds(Some(tls(Some("a\nb"), None))),
            [SSL, UNIQUE_ID, CRC32C],
            "no control octets"
        );
        let ssl = &of(Some(tls(None, None)))[0].1;
        assert_eq!(ssl[..5], [CLIENT_SSL, 0, 0, 0, 1]);
        assert_eq!(
            tlvs(&ssl[5..]),
            [
                (SSL_VERSION, b"TLSv1.3".to_vec()),
                (SSL_CIPHER, b"TLS13_AES_256_GCM_SHA384".to_vec())
            ]
        );
    }

    #[test]
    fn x6_a_certificate_of_the_client_and_its_name_only_once_verified() {
        let ssl =
            |tls| tlvs(&header(&facts("192.0.2.1:1", "192.0.2.2:2", Some(tls)))[28..]).remove(0).1;
        let kinds =
            |ssl: &[u8]| tlvs(&ssl[5..]).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
        let verified = ssl(shown(true, "mta.example.org"));
        assert_eq!(verified[..5], [0x07, 0, 0, 0, 0]);
        assert!(tlvs(&verified[5..]).contains(&(0x22, b"mta.example.org".to_vec())));
        let liar = ssl(shown(false, "mta.example.org"));
        assert_eq!(liar[..5], [0x07, 0, 0, 0, 1]);
        assert_eq!(kinds(&liar), [SSL_VERSION, SSL_CIPHER]);
        for unfit in ["", "a\nb", &"a".repeat(LONGEST_COMMON_NAME + 1)] {
            assert_eq!(kinds(&ssl(shown(true, unfit))), [SSL_VERSION, SSL_CIPHER], "{unfit:?}");
        }
    }

    #[test]
    fn x3_our_own_connections_say_so() {
        assert_eq!(local(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }

    #[test]
    fn x1_never_longer_than_536_octets() {
        let name = "a".repeat(LONGEST_NAME);
        let tls = TlsFacts {
            version: "a".repeat(LONGEST_VERSION).into(),
            cipher: "a".repeat(LONGEST_CIPHER).into(),
            client: shown(true, &"a".repeat(LONGEST_COMMON_NAME)).client,
            ..tls(Some(&name), Some(b"managesieve"))
        };
        let facts = facts("[2001:db8::1]:1", "[2001:db8::2]:2", Some(tls));
        let longest = header(&Facts { hops: 4, ..facts });
        assert!(longest.len() <= 536, "{}", longest.len());
    }
}
