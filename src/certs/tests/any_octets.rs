//! Any octets in any file: nothing panics, and the good neighbour is served.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{bad_input::Room, *};

/// What is done to a file that was good.
#[derive(Clone, Debug)]
enum Harm {
    Cut(Index),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
}

impl Harm {
    fn to(&self, content: &mut Vec<u8>) {
        let at = |index: &Index, of: &[u8]| index.index(of.len() + 1);
        match self {
            Self::Cut(index) => content.truncate(at(index, content)),
            Self::Flip(index, bits) => {
                let n = at(index, content);
                content.iter_mut().skip(n).take(1).for_each(|octet| *octet ^= bits);
            }
            Self::Insert(index, octets) => {
                let n = at(index, content);
                content.splice(n..n, octets.iter().copied());
            }
            Self::Remove(index, length) => {
                let n = at(index, content);
                let end = (n + length).min(content.len());
                content.drain(n..end);
            }
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        any::<Index>().prop_map(Harm::Cut),
        (any::<Index>(), any::<u8>()).prop_map(|(i, bits)| Harm::Flip(i, bits)),
        (any::<Index>(), vec(any::<u8>(), 1..40)).prop_map(|(i, v)| Harm::Insert(i, v)),
        (any::<Index>(), 1..200_usize).prop_map(|(i, n)| Harm::Remove(i, n)),
    ]
}

/// What is in a file.
#[derive(Clone, Debug)]
enum Content {
    /// Good blocks, and what is done to each: before it is made PEM, or after.
    Harmed {
        blocks: Vec<usize>,
        harms: Vec<Harm>,
        is_pem_last: bool,
    },
    Octets(Vec<u8>),
}

impl Content {
    fn octets(&self, good: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let (blocks, harms, is_pem_last) = match self {
            Self::Octets(octets) => return octets.clone(),
            Self::Harmed { blocks, harms, is_pem_last } => (blocks, harms, *is_pem_last),
        };
        let mut all = Vec::new();
        for (label, der) in blocks.iter().map(|&n| &good[n]) {
            let mut der = der.clone();
            if is_pem_last {
                harms.iter().for_each(|harm| harm.to(&mut der));
            }
            all.extend(pem(label, &der));
        }
        if !is_pem_last {
            harms.iter().for_each(|harm| harm.to(&mut all));
        }
        all
    }
}

/// Files: each one's name, and what is in it.
fn files() -> impl Strategy<Value = Vec<(usize, Content)>> {
    let harmed = (vec(0..8_usize, 0..5), vec(harm(), 0..4), any::<bool>())
        .prop_map(|(blocks, harms, is_pem_last)| Content::Harmed { blocks, harms, is_pem_last });
    let octets = vec(any::<u8>(), 0..400).prop_map(Content::Octets);
    vec((0..NAMES.len(), prop_oneof![3 => harmed, 1 => octets]), 0..4)
}

const NAMES: [&str; 6] = ["cert.pem", "m.crt", "m.key", "all.pem", "notes", "m.pfx"];

/// The good blocks: as PEM's label and DER.
fn blocks(ca: &Authority) -> Vec<(&'static str, Vec<u8>)> {
    let mut blocks = Vec::new();
    for leaf in [ca.leaf(&["a.example"], ecdsa()), ca.leaf(&["b.example"], ecdsa())] {
        blocks.push(("CERTIFICATE", ders(&[&leaf.cert]).remove(0)));
        let key = rustls_pemfile::private_key(&mut leaf.key.as_bytes()).unwrap().unwrap();
        blocks.push(("PRIVATE KEY", key.secret_der().to_vec()));
    }
    blocks.push(("CERTIFICATE", ders(&[&ca.issuer_pem]).remove(0)));
    blocks.push(("CERTIFICATE", ders(&[&ca.root_pem]).remove(0)));
    blocks.push(("EC PARAMETERS", vec![6, 8, 42, 134, 72, 206, 61, 3, 1, 7]));
    blocks.push(("ENCRYPTED PRIVATE KEY", vec![0x30, 0]));
    blocks
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----").into_bytes();
    for (n, three) in der.chunks(3).enumerate() {
        if n % 16 == 0 {
            text.push(b'\n');
        }
        let bits = three.iter().fold(0_u32, |bits, &octet| bits << 8 | u32::from(octet))
            << (8 * (3 - three.len()));
        for letter in 0..4 {
            let index = bits >> (18 - 6 * letter) & 63;
            text.push(if letter > three.len() { b'=' } else { LETTERS[index as usize] });
        }
    }
    text.extend(format!("\n-----END {label}-----\n").bytes());
    text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// At a start, and at a reload.
    #[test]
    fn any_octets_harm_nobody_else(before in files(), after in files()) {
        thread_local! {
            static ROOM: (Room, Vec<(&'static str, Vec<u8>)>) = {
                let room = Room::new();
                let blocks = blocks(&room.ca);
                (room, blocks)
            };
        }
        ROOM.with(|(room, blocks)| {
            let fill = |files: &[(usize, Content)]| {
                let bad = room.folder.path("bad");
                fs::remove_dir_all(&bad).unwrap();
                fs::create_dir(&bad).unwrap();
                for (name, content) in files {
                    room.folder.write(&format!("bad/{}", NAMES[*name]), content.octets(blocks));
                }
            };
            let check = |store: &Store| {
                let served = chosen(&set(store), Some("good.example"), ANYWHERE);
                assert_eq!((served.0.label(), served.1), ("good.example", Reason::Name));
                assert!(served.0.is_complete());
                for certificate in &store.certificates {
                    assert!((1..=9).contains(&certificate.sent_chain().len()));
                }
                for finding in &store.findings {
                    assert!(!finding.to_string().contains(char::is_control), "{finding:?}");
                }
            };
            let anchors = anchors(&[&room.ca.root_pem]);
            fill(&before);
            let first = trusting(&anchors, &room.folder.sources(), None);
            check(&first);
            fill(&after);
            check(&trusting(&anchors, &room.folder.sources(), Some(&first)));
        });
    }
}
