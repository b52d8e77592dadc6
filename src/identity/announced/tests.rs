//! What is a header, what is none, and that not one octet behind it is touched.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::identity::crc32c::crc32c;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V4: &[u8] = &[203, 0, 113, 9, 198, 51, 100, 2, 0x12, 0x34, 0x03, 0xE1];

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), value].concat()
}

/// A header with a CRC-32C TLV between these.
fn summed(before: &[u8], behind: &[u8]) -> Vec<u8> {
    let mut header = v2(1, 0x11, &[V4, before, &tlv(3, &[0; 4]), behind].concat());
    let sum = crc32c([header.as_slice()]).to_be_bytes();
    let at = 16 + V4.len() + before.len() + 3;
    header[at..at + 4].copy_from_slice(&sum);
    header
}

/// A header alone, which must be all of it.
fn read(header: &[u8]) -> Result<Announced, Wrong> {
    match Reader::default().feed(header)? {
        Read::Whole(octets, announced) => {
            assert_eq!(octets, header.len());
            Ok(announced)
        }
        Read::More => panic!("it is not whole: {}", header.escape_ascii()),
    }
}

fn addresses(header: &[u8]) -> Option<(String, String)> {
    read(header).unwrap().addresses.map(|(from, to)| (from.to_string(), to.to_string()))
}

fn pair(from: &str, to: &str) -> Option<(String, String)> {
    Some((from.to_owned(), to.to_owned()))
}

#[test]
fn version_one_by_the_letter() {
    let v4 = addresses(b"PROXY TCP4 203.0.113.9 198.51.100.2 4660 993\r\n");
    assert_eq!(v4, pair("203.0.113.9:4660", "198.51.100.2:993"));
    let v6 = addresses(b"PROXY TCP6 2001:db8::9 2001:DB8:0:0::2 65535 0\r\n");
    assert_eq!(v6, pair("[2001:db8::9]:65535", "[2001:db8::2]:0"));
    let mapped = addresses(b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:198.51.100.2 1 2\r\n");
    assert_eq!(mapped, pair("203.0.113.9:1", "198.51.100.2:2"));
    for unknown in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 \t ffff::2 a b\r\n"] {
        assert_eq!(addresses(unknown.as_bytes()), None);
    }
    let ip = ["ffff"; 8].join(":");
    let longest = format!("PROXY UNKNOWN {ip} {ip} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    assert_eq!(addresses(longest.as_bytes()), None);
}

#[test]
fn version_one_and_nothing_beside_the_letter() {
    for line in [
        "PROXY TCP4 203.0.113.9 198.51.100.2 4660 993\n",
        "PROXY TCP4 203.0.113.9 198.51.100.2 4660\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.2 4660 993 \r\n",
        "PROXY TCP4 203.0.113.9  198.51.100.2 4660 993\r\n",
        "PROXY  TCP4 203.0.113.9 198.51.100.2 4660 993\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.2 4660 65536\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.2 +466 993\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.2 0466 993\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.2 -1 993\r\n",
        "PROXY TCP4 203.0.113.256 198.51.100.2 1 2\r\n",
        "PROXY TCP4 203.0.113 198.51.100.2 1 2\r\n",
        "PROXY TCP4 203.0.113.09 198.51.100.2 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 203.0.113.9 198.51.100.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
        "PROXY TCP5 203.0.113.9 198.51.100.2 1 2\r\n",
        "PROXY tcp4 203.0.113.9 198.51.100.2 1 2\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.2 \u{661} 993\r\n",
    ] {
        let said = read(line.as_bytes());
        assert!(matches!(said, Err(Wrong::Line(_))), "{line:?}: {said:?}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!((long.len(), read(long.as_bytes())), (108, Err(Wrong::TooLong(107))));
}

#[test]
fn version_two_by_the_letter() {
    assert_eq!(addresses(&v2(1, 0x11, V4)), pair("203.0.113.9:4660", "198.51.100.2:993"));
    let mut v6 = vec![0; 36];
    (v6[0], v6[15], v6[16], v6[31]) = (0x20, 9, 0x20, 2);
    v6[32..].copy_from_slice(&[0x12, 0x34, 0x03, 0xE1]);
    assert_eq!(addresses(&v2(1, 0x21, &v6)), pair("[2000::9]:4660", "[2000::2]:993"));
    let mapped = |last| [[0; 10].as_slice(), &[0xFF, 0xFF, 192, 0, 2, last]].concat();
    let mapped = [mapped(1), mapped(2), vec![0, 1, 0, 2]].concat();
    assert_eq!(addresses(&v2(1, 0x21, &mapped)), pair("192.0.2.1:1", "192.0.2.2:2"));
    // Section 2.2: these fall back to the connection's own addresses.
    for (family, octets) in [(0x12, 12), (0x22, 36), (0x31, 216), (0x32, 216), (0, 0)] {
        assert_eq!(addresses(&v2(1, family, &vec![7; octets])), None, "{family:#x}");
    }
    assert_eq!(addresses(&v2(1, 0, b"anything")), None);
    for family in [0, 0x11, 0x44, 0xFF] {
        assert_eq!(addresses(&v2(0, family, &[7; 40])), None, "LOCAL discards its block");
    }
}

#[test]
fn version_two_and_nothing_beside_the_letter() {
    let mut other = v2(1, 0x11, V4);
    other[12] = 0x11;
    assert_eq!(Reader::default().feed(&other), Err(Wrong::Version(1)));
    assert_eq!(Reader::default().feed(&v2(2, 0x11, V4)), Err(Wrong::Command(2)));
    for family in [0x01, 0x10, 0x13, 0x41, 0xFF] {
        assert_eq!(read(&v2(1, family, &[0; 300])), Err(Wrong::Family(family)));
    }
    for (family, octets) in [(0x11, 11), (0x12, 0), (0x21, 35), (0x21, 12), (0x31, 215)] {
        let wrong = Wrong::Addresses { family, octets };
        assert_eq!(read(&v2(1, family, &vec![0; octets])), Err(wrong));
    }
    // Refused by its length, before anything of it has come.
    let most = u16::try_from(LONGEST_BLOCK).unwrap();
    for (length, is_fine) in [(most, true), (most + 1, false), (u16::MAX, false)] {
        let head = [SIGNATURE, &[0x21, 0x11], &length.to_be_bytes()].concat();
        let said = Reader::default().feed(&head);
        let long = Err(Wrong::TooLong(16 + usize::from(length)));
        assert_eq!(said, if is_fine { Ok(Read::More) } else { long });
    }
}

#[test]
fn what_is_no_header_is_known_by_its_first_wrong_octet() {
    for (text, first) in [(&b"\x16\x03\x01"[..], 0x16), (b"EHLO", b'E'), (b"PRIXY", b'P')] {
        assert_eq!(Reader::default().feed(text), Err(Wrong::NoHeader(first)));
    }
    let mut reader = Reader::default();
    assert_eq!(reader.feed(b"\r\n\r\n\0\r\nQUI"), Ok(Read::More));
    assert_eq!(reader.feed(b"\r"), Err(Wrong::NoHeader(b'\r')));
    assert!(Wrong::NoHeader(0x16).to_string().starts_with("it begins with TLS: "));
}

#[test]
fn tlvs_are_skipped_but_for_three() {
    let of = |tlvs: &[u8]| read(&v2(1, 0x11, &[V4, tlvs].concat()));
    let id = |value: &[u8]| of(&tlv(5, value)).unwrap().id;
    assert_eq!(id(b"abc-123").as_deref(), Some("abc-123"));
    assert_eq!(id(b"a\nb").as_deref(), Some("610a62"), "no line of our log is a stranger's");
    assert_eq!((id(b""), id(&[b'x'; 129])), (None, None));
    let unknown = [tlv(0xEA, b"vpce"), tlv(0x20, b"\x01"), tlv(4, b""), tlv(0x77, &[0; 300])];
    assert_eq!(of(&unknown.concat()).unwrap().id, None);
    assert_eq!(of(&tlv(HOPS, &[4])).unwrap().hops, 4);
    for hops in [[4, 0], [0, 4], [3, 4]] {
        assert_eq!(of(&hops.map(|n| tlv(HOPS, &[n])).concat()).unwrap().hops, 4, "{hops:?}");
    }
    assert_eq!(of(&[tlv(HOPS, &[5]), tlv(HOPS, &[0])].concat()), Err(Wrong::Circle(5)));
    assert_eq!(of(&tlv(HOPS, &[5])), Err(Wrong::Circle(5)));
    assert_eq!(of(&tlv(HOPS, b"another's")).unwrap().hops, 0);
    for half in [&b"\x04"[..], b"\x04\0", b"\x04\0\x01", b"\x04\0\0\x05\xFF\xFFab"] {
        assert!(matches!(of(half), Err(Wrong::Tlv(_))), "{half:02x?}");
    }
}

#[test]
fn a_checksum_is_checked_wherever_it_stands() {
    let (id, noop) = (tlv(5, b"id"), tlv(4, b"\0\0"));
    for (before, behind) in [(&id, &noop), (&noop, &id)] {
        let header = summed(before, behind);
        assert_eq!(read(&header).unwrap().id.as_deref(), Some("id"));
        // Without its type, there is no sum.
        let sum = 16 + V4.len() + before.len();
        for at in (16..header.len()).filter(|at| *at != sum) {
            let mut damaged = header.clone();
            damaged[at] ^= 0x10;
            assert!(read(&damaged).is_err(), "octet {at}");
        }
    }
    assert_eq!(read(&v2(1, 0x11, &[V4, &tlv(3, b"abc")].concat())), Err(Wrong::Tlv(3)));
    assert!(read(&summed(&tlv(3, &[0; 4]), &[])).is_err(), "there is one only");
}

/// A header, or what is nearly one.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let ip = prop_oneof!["[0-9.]{0,9}", Just("192.0.2.1".to_owned()), Just("::1".to_owned())];
    let line = (prop_oneof![Just("TCP4"), Just("TCP6"), Just("UNKNOWN")], ip.clone(), ip);
    let line = (line, any::<u16>(), any::<u16>(), "(\r\n|\n|\r| ){1,2}");
    let one = line.prop_map(|((kind, from, to), a, b, end)| {
        format!("PROXY {kind} {from} {to} {a} {b}{end}").into_bytes()
    });
    let family = prop_oneof![Just(0x11), Just(0x21), Just(0x31), Just(0), any::<u8>()];
    let two = (0..3_u8, family, vec(any::<u8>(), 0..300))
        .prop_map(|(command, family, block)| v2(command, family, &block));
    let tlvs = vec((0..8_u8, vec(any::<u8>(), 0..9)), 0..5).prop_map(|tlvs| {
        let tlvs: Vec<u8> = tlvs.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect();
        v2(1, 0x11, &[V4, &tlvs].concat())
    });
    let sums = vec(any::<u8>(), 0..9).prop_map(|id| summed(&tlv(5, &id), &tlv(4, &id)));
    prop_oneof![one, two, tlvs, sums, vec(any::<u8>(), 0..64)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, in whatever pieces: the same header or the same refusal, and what comes
    /// behind the header does not matter.
    #[test]
    fn any_split_is_the_same(
        header in nearly(),
        behind in vec(any::<u8>(), 0..40),
        hits in vec((any::<Index>(), any::<u8>()), 0..3),
        cuts in vec(1_usize..40, 1..200),
    ) {
        let mut header = header;
        for (at, octet) in &hits {
            let length = header.len();
            if length > 0 {
                header[at.index(length)] = *octet;
            }
        }
        let octets = [header, behind].concat();
        let whole = Reader::default().feed(&octets);
        let (mut reader, mut at) = (Reader::default(), 0);
        let mut said = Ok(Read::More);
        for cut in cuts.iter().cycle() {
            let piece = &octets[at..octets.len().min(at + cut)];
            said = match reader.feed(piece) {
                Ok(Read::Whole(taken, announced)) => Ok(Read::Whole(at + taken, announced)),
                other => other,
            };
            at += piece.len();
            if said != Ok(Read::More) || at == octets.len() {
                break;
            }
        }
        prop_assert_eq!(&said, &whole);
        prop_assert!(reader.octets() <= 16 + LONGEST_BLOCK);
        if let Ok(Read::Whole(taken, announced)) = whole {
            prop_assert!(taken <= octets.len() && taken == reader.octets());
            prop_assert_eq!(read(&octets[..taken]), Ok(announced), "nothing behind it was read");
        }
    }
}
