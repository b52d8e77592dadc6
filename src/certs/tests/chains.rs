//! From a leaf towards its root, whatever is at hand and however it is named.

use rcgen::{CustomExtension, KeyIdMethod};

use crate::certs::{Issuance, chain::End, load};

use super::*;

/// A leaf with its key, in the PEM file that a front is given, and all that lies beside it.
pub(super) fn beside(leaf: &str, key: &Entity, others: &[&str]) -> Folder {
    let folder = Folder::of(&[("m.pem", &format!("{leaf}{}", key.key()))]);
    if !others.is_empty() {
        folder.write("others.pem", others.concat());
    }
    folder
}

/// What OpenSSL says of the chain that is sent, if it trusts these alone.
pub(super) fn verify(store: &Store, roots: &[&str]) -> Result<(), String> {
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

pub(super) fn key_of(entity: &Entity) -> KeyPair {
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
    // Without the address, it may as well be the root of a private authority: both are said.
    let leaf = Entity::leaf(&["m.example"]);
    let (leaf_pem, two_pem) = (leaf.by(&two), two.by_itself());
    let folder = beside(&leaf_pem, &leaf, &[]);
    let text = folder.load_trusting(&[&root_pem]).findings.remove(0).text;
    for part in ["CN=SSL CA 2", "If it is an intermediate", "If it is the root", "`intermediates`"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("had from"), "{text}");
    // What is said to help does.
    let pool = Folder::of(&[("root.pem", &two_pem)]);
    let sources = Sources { intermediates: vec![pool.0.clone()], ..folder.sources() };
    let store = trusting(&anchors(&[&root_pem]), &sources, None);
    assert_eq!(codes(&store), ["V009"], "{:?}", said(&store.findings));
    assert_eq!(only_chain(&store), ders(&[&leaf_pem]));
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

/// Nor is one that has its key id as well: the signature decides, wherever the root is.
#[test]
fn a_root_that_has_not_signed_is_found_out() {
    let twin = || {
        Entity::authority("Root").with(|params| {
            params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
        })
    };
    let (real, fake) = (twin(), twin());
    let (ca, leaf) = (Entity::authority("CA 1"), Entity::leaf(&["m.example"]));
    let (real_pem, ca_pem, leaf_pem) = (real.by_itself(), ca.by(&fake), leaf.by(&ca));
    let direct = leaf.by(&fake);
    let chains = [(&leaf_pem, vec![&*ca_pem]), (&direct, vec![])];
    for (leaf_pem, others) in chains {
        let folder = beside(leaf_pem, &leaf, &others);
        let trusted = folder.load_trusting(&[&real_pem]);
        assert_eq!(codes(&trusted), ["V008"], "{:?}", said(&trusted.findings));
        let text = &trusted.findings[0].text;
        assert!(text.contains("CN=Root") && text.contains("has not signed it"), "{text}");
        assert_eq!(trusted.certificates[0].issuance(), Issuance::PrivateAuthority);
        assert_eq!(only_chain(&trusted).len(), 1 + others.len(), "it may be right elsewhere");

        folder.write("root.pem", &real_pem);
        let private = folder.load(None);
        assert_eq!(codes(&private), ["V008", "V009"], "{:?}", said(&private.findings));
        folder.write("root.pem", fake.by_itself());
        assert_eq!(codes(&folder.load(None)), ["V009"]);
    }
}

/// Of very many, signatures are verified after the service has begun, and each before it is shown.
#[test]
fn of_thousands_each_is_verified_before_it_is_shown() {
    let twin = || {
        Entity::authority("CA").with(|params| {
            params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
        })
    };
    let (issuer, namesake) = (twin(), twin());
    let (folder, leaf) = (Folder::new(), Entity::leaf(&["m.example"]));
    folder.write("m.key", leaf.key());
    folder.write("issuer.pem", issuer.by(&Entity::authority("Root")));
    for n in 0..1001 {
        let issuer = if n == 500 { &namesake } else { &issuer };
        folder.write(&format!("{n}.crt"), leaf.by(issuer));
    }
    let liar = folder.path("500.crt");
    let shown = |store: &Store| {
        let liar = store.certificates.iter().find(|c| c.file() == liar).unwrap();
        liar.certified().cert.len()
    };
    let store = folder.load(None);
    assert!(!store.is_proven());
    assert_eq!(texts(&store, Code::SignatureWrong), Vec::<&str>::new());
    assert_eq!(shown(&store), 1, "without what has not signed it");
    let late = store.prove();
    assert_eq!(
        late.iter().map(|f| (f.code, &f.file)).collect::<Vec<_>>(),
        [(Code::SignatureWrong, &liar)]
    );
    // What is known by now is said at once.
    let again = folder.load(Some(&store));
    assert!(again.is_proven());
    assert_eq!((texts(&again, Code::SignatureWrong).len(), shown(&again)), (1, 1));
}

/// A reload builds no chain anew whose leaf is as it was, unless something else decides otherwise.
#[test]
fn chains_are_built_anew_when_authorities_change() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let leaf = ca.leaf(&["m.example"], ecdsa());
    folder.write("m/all.pem", format!("{}{}", leaf.cert, leaf.key));
    let trusted = anchors(&[&ca.root_pem]);
    let ends = |store: &Store| store.certificates[0].chain.end;
    let first = trusting(&trusted, &folder.sources(), None);
    assert_eq!(ends(&first), End::Missing);
    folder.write("i/chain.pem", &ca.issuer_pem);
    let second = trusting(&trusted, &folder.sources(), Some(&first));
    assert_eq!(ends(&second), End::Trusted);
    let third = trusting(&Anchors::default(), &folder.sources(), Some(&second));
    assert_eq!(ends(&third), End::Unknown);
    let fourth = trusting(&trusted, &folder.sources(), Some(&third));
    assert_eq!(ends(&fourth), End::Trusted);
    let fifth = trusting(&trusted, &folder.sources(), Some(&fourth));
    assert!(Arc::ptr_eq(&fifth.certificates[0], &fourth.certificates[0]));
}

/// An intermediate that has expired since gives way to one that has not.
#[test]
fn chains_are_built_anew_when_an_authority_expires() {
    let (root, other) = (Entity::authority("Root"), Entity::authority("Other"));
    let ca = Entity::authority("CA 1").valid(2000, 2090);
    let leaf = Entity::leaf(&["m.example"]);
    let (leaf_pem, short) = (leaf.by(&ca), ca.by(&root));
    let long = Entity { params: ca.params.clone(), key: key_of(&ca) }.valid(2020, 3000).by(&other);
    let folder = beside(&leaf_pem, &leaf, &[&short, &long]);
    let trusted = anchors(&[&root.by_itself()]);
    let before = trusting(&trusted, &folder.sources(), None);
    assert_eq!(only_chain(&before), ders(&[&leaf_pem, &short]));
    let year_2100 = 130 * 365 * 86400 + 40 * 86400;
    let after = load::at(year_2100, &trusted, &folder.sources(), Some(&before));
    assert_eq!(only_chain(&after), ders(&[&leaf_pem, &long]));
}
