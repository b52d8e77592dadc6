//! Authorities that others have signed, too: for clients that know only those, and without end.

use std::time::{Duration, Instant};

use super::{
    chains::{beside, key_of, verify},
    *,
};

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
                is_noted && codes(&store).is_empty() != trusted.is_empty(),
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
