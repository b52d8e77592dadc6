//! From a leaf towards its root, whatever is at hand and however it is named.

use std::time::{Duration, Instant};

use rcgen::{CustomExtension, KeyIdMethod};

use super::*;

/// A leaf with its key, in the PEM file that a front is given, and all that lies beside it.
fn beside(leaf: &str, key: &Entity, others: &[&str]) -> Folder {
    let folder = Folder::of(&[("m.pem", &format!("{leaf}{}", key.key()))]);
    if !others.is_empty() {
        folder.write("others.pem", others.concat());
    }
    folder
}

/// What OpenSSL says of the chain that is sent, if it trusts these alone.
fn verify(store: &Store, roots: &[&str]) -> Result<(), String> {
    let sent = store.certificates[0].sent_chain();
    let folder = Folder::of(&[("roots.pem", &roots.concat())]);
    for (n, der) in sent.iter().enumerate() {
        folder.write(&format!("{n}.der"), der);
        folder.sh(&format!("openssl x509 -inform der -in {n}.der -out {n}.pem"));
    }
    folder.sh("touch 1.pem; cat [1-9].pem >sent.pem");
    let said = folder.sh(
        "openssl verify -no-CAfile -no-CApath -CAfile roots.pem -untrusted sent.pem 0.pem 2>&1 || true",
    );
    if said.trim() == "0.pem: OK" { Ok(()) } else { Err(said) }
}

/// id-pe-authorityInfoAccess with one id-ad-caIssuers: RFC 5280 §4.2.2.1.
fn ca_issuers(url: &str) -> CustomExtension {
    let tagged = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
    let method = [0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2].to_vec();
    let access = tagged(0x30, &[method, tagged(0x86, url.as_bytes())].concat());
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], tagged(0x30, &access))
}

/// The order is repaired, what is there twice is sent once, and the root is left out.
#[test]
fn the_chain_is_put_in_order() {
    let root = Entity::authority("Root");
    let (one, two, three) =
        (Entity::authority("CA 1"), Entity::authority("CA 2"), Entity::authority("CA 3"));
    let leaf = Entity::leaf(&["m.example"]);
    let root_pem = root.by_itself();
    let (one_pem, two_pem, three_pem, leaf_pem) =
        (one.by(&root), two.by(&one), three.by(&two), leaf.by(&three));
    let folder =
        beside(&leaf_pem, &leaf, &[&root_pem, &one_pem, &two_pem, &one_pem, &three_pem, &leaf_pem]);
    let store = folder.load_trusting(&[&root_pem]);
    assert_eq!(said(&store.findings), Vec::<String>::new());
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, &three_pem, &two_pem, &one_pem]));
    assert_eq!(verify(&store, &[&root_pem]), Ok(()));
}

/// Somebody renamed the wrong file: name and key id fit, and the signature does not. It is not sent.
#[test]
fn an_issuer_that_has_not_signed_is_not_sent() {
    let id = |params: &mut CertificateParams| {
        params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    };
    let root = Entity::authority("Root");
    let (real, wrong) = (Entity::authority("CA 1").with(id), Entity::authority("CA 1").with(id));
    let leaf = Entity::leaf(&["m.example"]);
    let (root_pem, real_pem, wrong_pem, leaf_pem) =
        (root.by_itself(), real.by(&root), wrong.by(&root), leaf.by(&real));
    let store = beside(&leaf_pem, &leaf, &[&wrong_pem]).load_trusting(&[&root_pem]);
    assert_eq!(codes(&store), ["V008"], "{:?}", said(&store.findings));
    assert!(store.findings[0].text.contains("CN=CA 1"), "{:?}", said(&store.findings));
    assert_eq!(only_chain(&store), ders(&[&leaf_pem]));
    assert!(!store.certificates[0].is_complete());
    // With the right one beside it, in either order.
    for others in [[&*wrong_pem, &real_pem], [&real_pem, &wrong_pem]] {
        let store = beside(&leaf_pem, &leaf, &others).load_trusting(&[&root_pem]);
        assert_eq!(said(&store.findings), Vec::<String>::new());
        assert_eq!(only_chain(&store), ders(&[&leaf_pem, &real_pem]));
    }
}

/// The same, further up: what is proven goes on being sent.
#[test]
fn a_liar_further_up_cuts_the_chain_there() {
    let id = |params: &mut CertificateParams| {
        params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    };
    let root = Entity::authority("Root");
    let (real, wrong) = (Entity::authority("CA 1").with(id), Entity::authority("CA 1").with(id));
    let two = Entity::authority("CA 2");
    let leaf = Entity::leaf(&["m.example"]);
    let (two_pem, leaf_pem) = (two.by(&real), leaf.by(&two));
    let store =
        beside(&leaf_pem, &leaf, &[&wrong.by(&root), &two_pem]).load_trusting(&[&root.by_itself()]);
    assert_eq!(codes(&store), ["V008"]);
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, &two_pem]));
}

/// Old authorities have no key ids: of two with one name, the signature tells which.
#[test]
fn without_key_ids_the_signature_decides() {
    let root = Entity::authority("Root");
    let (one, other) = (Entity::authority("CA 1"), Entity::authority("CA 1"));
    let leaf = Entity::leaf(&["m.example"])
        .with(|params| params.use_authority_key_identifier_extension = false);
    let root_pem = root.by_itself();
    let (one_pem, other_pem) = (one.by(&root), other.by(&root));
    for (issuer, issuer_pem) in [(&one, &one_pem), (&other, &other_pem)] {
        let leaf_pem = leaf.by(issuer);
        for others in [[&*one_pem, &other_pem], [&other_pem, &one_pem]] {
            let store = beside(&leaf_pem, &leaf, &others).load_trusting(&[&root_pem]);
            assert_eq!(said(&store.findings), Vec::<String>::new());
            assert_eq!(only_chain(&store), ders(&[&leaf_pem, issuer_pem]));
        }
        // With the other one alone, the issuer is missing, whatever its name.
        let stranger = if issuer_pem == &one_pem { &other_pem } else { &one_pem };
        let store = beside(&leaf_pem, &leaf, &[stranger]).load_trusting(&[&root_pem]);
        assert_eq!(codes(&store), ["V007"]);
        assert_eq!(only_chain(&store), ders(&[&leaf_pem]));
    }
}

/// An intermediate by two roots: the one that is trusted is sent, and if both are, the one that lasts.
#[test]
fn of_two_ways_the_one_to_a_trusted_root() {
    let (old, new) = (Entity::authority("Old Root"), Entity::authority("New Root"));
    let ca = Entity::authority("CA 1").valid(2020, 3000);
    let leaf = Entity::leaf(&["m.example"]);
    let (old_pem, new_pem) = (old.by_itself(), new.by_itself());
    let (by_old, by_new) = (ca.by(&old), ca.by(&new));
    let leaf_pem = leaf.by(&ca);
    for (trusted, issuer) in [(&old_pem, &by_old), (&new_pem, &by_new)] {
        for others in [[&*by_old, &by_new], [&by_new, &by_old]] {
            let store = beside(&leaf_pem, &leaf, &others).load_trusting(&[trusted]);
            assert_eq!(said(&store.findings), Vec::<String>::new());
            assert_eq!(only_chain(&store), ders(&[&leaf_pem, issuer]));
            assert_eq!(verify(&store, &[trusted]), Ok(()));
        }
    }
    let shorter_lived = Entity { params: ca.params.clone(), key: key_of(&ca) }.valid(2020, 2990);
    let by_old = shorter_lived.by(&old);
    let store = beside(&leaf_pem, &leaf, &[&by_old, &by_new]).load_trusting(&[&old_pem, &new_pem]);
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, &by_new]), "both are trusted");
}

fn key_of(entity: &Entity) -> KeyPair {
    KeyPair::from_pem(&entity.key()).unwrap()
}

/// The same authority, by a root directly and by way of another: the shorter way is sent, though the
/// roots of both are trusted.
#[test]
fn of_two_trusted_ways_the_shorter_one() {
    let (root, far) = (Entity::authority("Root"), Entity::authority("Far Root"));
    let (between, ca) = (Entity::authority("Between"), Entity::authority("CA 1"));
    let leaf = Entity::leaf(&["m.example"]);
    let leaf_pem = leaf.by(&ca);
    let (short, long, between_pem) = (ca.by(&root), ca.by(&between), between.by(&far));
    let roots = [root.by_itself(), far.by_itself()];
    let trusted = [&*roots[0], &roots[1]];
    for others in [[&*short, &long, &between_pem], [&between_pem, &long, &short]] {
        let store = beside(&leaf_pem, &leaf, &others).load_trusting(&trusted);
        assert_eq!(said(&store.findings), Vec::<String>::new());
        assert_eq!(only_chain(&store), ders(&[&leaf_pem, &short]));
        // Trusted it must be: else it is the longer one.
        let store = beside(&leaf_pem, &leaf, &others).load_trusting(&trusted[1..]);
        assert_eq!(only_chain(&store), ders(&[&leaf_pem, &long, &between_pem]));
        assert_eq!(verify(&store, &trusted[1..]), Ok(()));
    }
}

/// A root that is new, with the certificate that an old one gave it.
struct CrossSigned {
    old_pem: String,
    new_pem: String,
    cross_pem: String,
    ca_pem: String,
    leaf_pem: String,
    leaf: Entity,
}

impl CrossSigned {
    /// The cross-signed certificate is valid from and to these years.
    fn new(from: i32, to: i32) -> Self {
        let (old, new) = (Entity::authority("Old Root"), Entity::authority("New Root"));
        let (ca, leaf) = (Entity::authority("CA 1"), Entity::leaf(&["m.example"]));
        let (old_pem, new_pem) = (old.by_itself(), new.by_itself());
        let (ca_pem, leaf_pem) = (ca.by(&new), leaf.by(&ca));
        let cross_pem = new.valid(from, to).by(&old);
        Self { old_pem, new_pem, cross_pem, ca_pem, leaf_pem, leaf }
    }
}

/// As with "USERTrust RSA": who knows the new root alone can verify what is sent, and so can who knows
/// the old one alone. Whether this machine knows one of them, both or none.
#[test]
fn a_cross_signed_root_works_with_both_anchors() {
    let world = CrossSigned::new(2020, 3000);
    let CrossSigned { old_pem, new_pem, cross_pem, ca_pem, leaf_pem, leaf } = &world;
    let lying: [&[&str]; 3] = [
        &[ca_pem, new_pem, cross_pem],
        &[cross_pem, ca_pem],
        &[old_pem, cross_pem, new_pem, ca_pem],
    ];
    for others in lying {
        for trusted in [&[&**new_pem][..], &[old_pem], &[old_pem, new_pem], &[]] {
            let store = beside(leaf_pem, leaf, others).load_trusting(trusted);
            assert_eq!(errors(&store), Vec::<String>::new());
            let is_noted = codes(&store).iter().all(|code| code == "V009");
            assert!(
                is_noted && codes(&store).is_empty() == !trusted.is_empty(),
                "{:?}",
                codes(&store)
            );
            let sent = only_chain(&store);
            if trusted == [&**new_pem] {
                // Nobody here knows the old root. It may be of no use to anybody, and costs octets.
                assert_eq!(sent, ders(&[leaf_pem, ca_pem]));
            } else {
                assert_eq!(sent, ders(&[leaf_pem, ca_pem, cross_pem]), "{trusted:?}");
                assert_eq!(verify(&store, &[old_pem]), Ok(()));
            }
            assert_eq!(verify(&store, &[new_pem]), Ok(()));
        }
    }
}

/// A certificate of the new root by the old one that has expired breaks old clients instead of helping.
#[test]
fn an_expired_cross_signature_is_not_sent() {
    for (from, to) in [(2000, 2020), (3000, 3100)] {
        let world = CrossSigned::new(from, to);
        let CrossSigned { old_pem, new_pem, cross_pem, ca_pem, leaf_pem, leaf } = &world;
        let store = beside(leaf_pem, leaf, &[cross_pem, ca_pem, new_pem])
            .load_trusting(&[old_pem, new_pem]);
        assert_eq!(said(&store.findings), Vec::<String>::new());
        assert_eq!(only_chain(&store), ders(&[leaf_pem, ca_pem]));
    }
}

/// A valid way goes before one that has expired, though it leads to a root that nobody knows.
#[test]
fn an_expired_intermediate_is_the_last_resort() {
    let (root, other) = (Entity::authority("Root"), Entity::authority("Other"));
    let ca = Entity::authority("CA 1").valid(2000, 2020);
    let leaf = Entity::leaf(&["m.example"]);
    let (root_pem, leaf_pem, expired) = (root.by_itself(), leaf.by(&ca), ca.by(&root));
    let renewed =
        Entity { params: ca.params.clone(), key: key_of(&ca) }.valid(2020, 3000).by(&other);
    let store = beside(&leaf_pem, &leaf, &[&expired, &renewed]).load_trusting(&[&root_pem]);
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, &renewed]));
    let store = beside(&leaf_pem, &leaf, &[&expired]).load_trusting(&[&root_pem]);
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, &expired]), "better than none");
    assert_eq!(codes(&store), ["V011"]);
}

/// What is missing: in which file, of what, whose, and where it can be had.
#[test]
fn a_missing_link_is_named_with_all_that_is_known() {
    let root = Entity::authority("Root");
    let (one, two) = (Entity::authority("SSL CA 1"), Entity::authority("SSL CA 2"));
    let url = "http://ca.example.org/ssl-ca-2.der";
    let leaf =
        Entity::leaf(&["m.example"]).with(|params| params.custom_extensions.push(ca_issuers(url)));
    let root_pem = root.by_itself();
    let leaf_pem = leaf.by(&two);
    let folder = beside(&leaf_pem, &leaf, &[&one.by(&root), &root_pem]);
    let store = folder.load_trusting(&[&root_pem]);
    let [finding] = &store.findings[..] else { panic!("{:?}", said(&store.findings)) };
    assert_eq!((finding.code, finding.severity), (Code::ChainIncomplete, Severity::Warning));
    assert_eq!(finding.file, folder.path("m.pem"));
    for part in ["m.example", "CN=SSL CA 2", url, "intermediates"] {
        assert!(finding.text.contains(part), "{part}: {finding}");
    }
    assert_eq!(only_chain(&store), ders(&[&leaf_pem]));
    // Without the address, the same without it.
    let leaf = Entity::leaf(&["m.example"]);
    let store = beside(&leaf.by(&two), &leaf, &[]).load_trusting(&[&root_pem]);
    let text = texts(&store, Code::ChainIncomplete)[0];
    assert!(text.contains("CN=SSL CA 2") && !text.contains("had from"), "{text}");
}

/// Where the chain breaks off further up, the name is that of the one that is missing there.
#[test]
fn a_missing_link_further_up_is_named() {
    let root = Entity::authority("Root");
    let one = Entity::authority("SSL CA 1");
    let two = Entity::authority("SSL CA 2")
        .with(|params| params.custom_extensions.push(ca_issuers("http://ca.example.org/1.der")));
    let leaf = Entity::leaf(&["m.example"]);
    let (two_pem, leaf_pem) = (two.by(&one), leaf.by(&two));
    let store = beside(&leaf_pem, &leaf, &[&two_pem]).load_trusting(&[&root.by_itself()]);
    assert_eq!(codes(&store), ["V007"]);
    for part in ["CN=SSL CA 2", "CN=SSL CA 1", "m.example", "http://ca.example.org/1.der"] {
        assert!(store.findings[0].text.contains(part), "{part}: {:?}", said(&store.findings));
    }
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, &two_pem]));
}

/// An authority of one's own is no mistake: a note, and the exit code stays 0.
#[test]
fn a_private_authority_is_private_and_not_broken() {
    let (ca, public) = (Authority::new(), Entity::authority("Public Root").by_itself());
    let leaf = ca.leaf(&["m.example"], ecdsa());
    let all = format!("{}{}{}", leaf.cert, leaf.key, ca.issuer_pem);
    for (what, text) in [("the root beside it", format!("{all}{}", ca.root_pem)), ("no root", all)]
    {
        let folder = Folder::of(&[("m.pem", &text)]);
        let store = folder.load_trusting(&[&public]);
        let [finding] = &store.findings[..] else { panic!("{what}: {:?}", said(&store.findings)) };
        assert_eq!((finding.code, finding.severity), (Code::PrivateAuthority, Severity::Note));
        assert!(finding.text.contains("private"), "{what}: {finding}");
        assert!(store.certificates[0].is_complete(), "{what}");
        assert_eq!(only_chain(&store), ders(&[&leaf.cert, &ca.issuer_pem]), "{what}");
    }
}

/// Signed by the root itself: nothing is sent behind it, and nothing is missing.
#[test]
fn a_leaf_of_the_root_itself_is_whole() {
    let (root, leaf) = (Entity::authority("Root"), Entity::leaf(&["m.example"]));
    let (root_pem, leaf_pem) = (root.by_itself(), leaf.by(&root));
    for others in [&[][..], &[&*root_pem]] {
        let store = beside(&leaf_pem, &leaf, others).load_trusting(&[&root_pem]);
        assert_eq!(said(&store.findings), Vec::<String>::new());
        assert_eq!(only_chain(&store), ders(&[&leaf_pem]));
    }
}

/// What only looks like a trusted root, and has another key, is none.
#[test]
fn a_namesake_of_a_trusted_root_is_not_trusted() {
    let (real, fake) = (Entity::authority("Root"), Entity::authority("Root"));
    let leaf = Entity::leaf(&["m.example"]);
    let (real_pem, fake_pem, leaf_pem) = (real.by_itself(), fake.by_itself(), leaf.by(&fake));
    let store = beside(&leaf_pem, &leaf, &[&fake_pem]).load_trusting(&[&real_pem]);
    assert_eq!(codes(&store), ["V009"], "private: {:?}", said(&store.findings));
}

/// The longest chains end in public ones that are shorter; longer ones are cut, and not followed forever.
#[test]
fn a_circle_of_authorities_is_walked_once() {
    let ring: Vec<Entity> = (0..3).map(|n| Entity::authority(&format!("CA {n}"))).collect();
    let leaf = Entity::leaf(&["m.example"]);
    let leaf_pem = leaf.by(&ring[0]);
    let pems: Vec<String> = (0..3).map(|n| ring[n].by(&ring[(n + 1) % 3])).collect();
    let pems: Vec<&str> = pems.iter().map(String::as_str).collect();
    let store = beside(&leaf_pem, &leaf, &pems).load_trusting(&[]);
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, pems[0], pems[1], pems[2]]));
    assert_eq!(errors(&store), Vec::<String>::new());
    // One that has signed itself by way of another leads out where there is a way out.
    let root = Entity::authority("Root");
    let out = ring[2].by(&root);
    let store = beside(&leaf_pem, &leaf, &[pems[0], pems[1], pems[2], &out])
        .load_trusting(&[&root.by_itself()]);
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, pems[0], pems[1], &out]));
}

/// Two names with a hundred certificates each, all of one key, which have signed each other: more ways
/// than anybody can walk. With key ids, and without.
#[test]
fn a_thicket_of_cross_signed_authorities_ends_in_time() {
    for has_ids in [true, false] {
        let ids = |params: &mut CertificateParams| {
            params.use_authority_key_identifier_extension = has_ids;
        };
        let (one, other) =
            (Entity::authority("CA 1").with(ids), Entity::authority("CA 2").with(ids));
        let root = Entity::authority("Root");
        let mut pems = vec![other.by(&root)];
        let copy = |of: &Entity, n: i32| {
            Entity { params: of.params.clone(), key: key_of(of) }.valid(2000 + n % 20, 3000 + n)
        };
        for n in 0..100 {
            pems.push(copy(&one, n).by(&other));
            pems.push(copy(&other, n).by(&one));
        }
        let pems: Vec<&str> = pems.iter().map(String::as_str).collect();
        let leaf = Entity::leaf(&["m.example"]).with(ids);
        let folder = beside(&leaf.by(&one), &leaf, &pems);
        let before = Instant::now();
        let store = folder.load_trusting(&[&root.by_itself()]);
        let took = before.elapsed();
        assert_eq!(said(&store.findings), Vec::<String>::new(), "with key ids: {has_ids}");
        assert_eq!(only_chain(&store).len(), 3, "leaf, CA 1, CA 2 by the root");
        assert!(took < Duration::from_secs(5), "with key ids: {has_ids}: {took:?}");
    }
}

/// Two hundred authorities of one name, each with a key of its own and signed by the next: the
/// signatures tell them apart, and nobody takes one for a root because it has its issuer's name.
#[test]
fn namesakes_in_a_row_are_no_roots() {
    let bare = |entity: Entity| {
        entity.with(|params| params.use_authority_key_identifier_extension = false)
    };
    let root = Entity::authority("Root");
    let many: Vec<Entity> = (0..200).map(|_| bare(Entity::authority("Same"))).collect();
    let mut pems = vec![many[3].by(&root)];
    pems.extend((0..200).map(|n| many[n].by(&many[(n + 1) % 200])));
    let refs: Vec<&str> = pems.iter().map(String::as_str).collect();
    let leaf = bare(Entity::leaf(&["m.example"]));
    let leaf_pem = leaf.by(&many[0]);
    let folder = beside(&leaf_pem, &leaf, &refs);
    let before = Instant::now();
    let store = folder.load_trusting(&[&root.by_itself()]);
    let took = before.elapsed();
    assert_eq!(said(&store.findings), Vec::<String>::new());
    let sent = [&*leaf_pem, refs[1], refs[2], refs[3], refs[0]];
    assert_eq!(only_chain(&store), ders(&sent));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// An authority that changes its key signs the new one with the old one, under the same name.
#[test]
fn a_new_key_under_the_old_name_is_no_root() {
    let (old, new) = (Entity::authority("Root"), Entity::authority("Root"));
    let (ca, leaf) = (Entity::authority("CA 1"), Entity::leaf(&["m.example"]));
    let (old_pem, new_by_old) = (old.by_itself(), new.by(&old));
    let (ca_pem, leaf_pem) = (ca.by(&new), leaf.by(&ca));
    let store =
        beside(&leaf_pem, &leaf, &[&ca_pem, &new_by_old, &old_pem]).load_trusting(&[&old_pem]);
    assert_eq!(said(&store.findings), Vec::<String>::new());
    assert_eq!(only_chain(&store), ders(&[&leaf_pem, &ca_pem, &new_by_old]));
    assert_eq!(verify(&store, &[&old_pem]), Ok(()));
}
