//! What is sent: too little, too much, in disorder.

use super::*;

#[test]
fn a_whole_chain_needs_no_word() {
    let root = root("Root");
    let middle = root.authority("CA 1");
    let leaf = middle.leaf();
    let judgement = judged(&[&leaf, &middle], &[&root]);
    assert_eq!(said(&judgement), []);
    assert_eq!(judgement.path, [0, 1]);
    assert_eq!(judgement.end, End::Trusted { root: "CN=Root".into() });
    assert_eq!(roles(&judgement), [Role::Leaf, Role::Intermediate]);
    let [leaf, middle] = judgement.certificates.as_slice() else { panic!("{judgement:?}") };
    assert_eq!(leaf.signer, Signer::Sent { position: 1, verified: true });
    assert_eq!(middle.signer, Signer::Trusted);
    assert_eq!((leaf.key.as_str(), leaf.signature.as_str()), ("ECDSA P-256", "ecdsa-with-SHA256"));
    assert_eq!((leaf.not_after.as_str(), leaf.days_left), ("2027-01-01", 214));
    assert_eq!(judgement.name.covered_by.as_deref(), Some(NAME));
}

#[test]
fn a_leaf_right_under_a_trusted_root_is_whole() {
    let root = root("Root");
    let judgement = judged(&[&root.leaf()], &[&root]);
    assert_eq!(said(&judgement), []);
    assert_eq!(judgement.certificates[0].signer, Signer::Trusted);
}

#[test]
fn a_leaf_alone_lacks_its_issuer() {
    let root = root("Root");
    let url = "http://ca.example.net/ca-1.crt";
    let leaf = root.authority("CA 1").leaf_with(|p| p.custom_extensions.push(ca_issuers(url)));
    let judgement = judged(&[&leaf], &[&root]);
    let (issuer, url) = ("CN=CA 1".to_owned(), Some(url.to_owned()));
    assert_eq!(judgement.end, End::Missing { issuer, url, certain: true });
    assert_eq!(said(&judgement), [(ERROR, Some(Code::ChainIncomplete))]);
    let text = &judgement.remarks[0].text;
    assert!(text.contains("CN=CA 1") && text.contains("http://ca.example.net/ca-1.crt"), "{text}");
}

/// Without a URL it may be right under a private root, which need not be sent.
#[test]
fn a_leaf_alone_without_a_url_may_be_under_a_private_root() {
    let leaf = root("Office").leaf();
    let public = root("Public");
    let judgement = judged(&[&leaf], &[&public]);
    assert_eq!(said(&judgement), [(WARNING, Some(Code::ChainIncomplete))]);
    assert!(judgement.remarks[0].text.contains("--trust"), "{judgement:?}");
    // Whoever says what is trusted has named the private ones, too.
    let name = Reference::new(NAME).unwrap();
    let sure = judge(&[leaf.der], &name, NOW, &trusting(&[&public]), true);
    assert_eq!(said(&sure), [(ERROR, Some(Code::ChainIncomplete))]);
}

/// The leaf was renewed under "CA 2", and the server still sends "CA 1".
#[test]
fn the_intermediate_of_before_does_not_help() {
    let root = root("Root");
    let (old, new) = (root.authority("CA 1"), root.authority("CA 2"));
    let judgement = judged(&[&new.leaf(), &old], &[&root]);
    let issuer = "CN=CA 2".to_owned();
    assert_eq!(judgement.end, End::Missing { issuer, url: None, certain: true });
    assert_eq!(roles(&judgement), [Role::Leaf, Role::Unrelated]);
    assert_eq!(said(&judgement), [(ERROR, Some(Code::ChainIncomplete)), (WARNING, None)]);
}

#[test]
fn the_wrong_order_is_told_and_put_right() {
    let root = root("Root");
    let upper = root.authority("Upper");
    let lower = upper.authority("Lower");
    let judgement = judged(&[&lower.leaf(), &upper, &lower], &[&root]);
    assert_eq!(judgement.path, [0, 2, 1]);
    assert_eq!(said(&judgement), [(WARNING, None)]);
    assert!(judgement.remarks[0].text.contains("#0 #2 #1"), "{judgement:?}");
}

#[test]
fn a_duplicate_is_told() {
    let root = root("Root");
    let middle = root.authority("CA 1");
    let judgement = judged(&[&middle.leaf(), &middle, &middle], &[&root]);
    assert_eq!(roles(&judgement)[2], Role::Duplicate { of: 1 });
    assert_eq!(said(&judgement), [(WARNING, None)]);
}

#[test]
fn a_root_that_is_sent_is_not_needed() {
    let root = root("Root");
    let middle = root.authority("CA 1");
    let judgement = judged(&[&middle.leaf(), &middle, &root], &[&root]);
    assert_eq!(roles(&judgement)[2], Role::Root);
    assert_eq!(judgement.path, [0, 1]);
    assert_eq!(said(&judgement), [(NOTE, None)]);
}

#[test]
fn what_does_not_belong_there_is_told() {
    let root = root("Root");
    let middle = root.authority("CA 1");
    let stranger = self::root("Other").authority("Other CA");
    let judgement = judged(&[&middle.leaf(), &middle, &stranger], &[&root]);
    assert_eq!(roles(&judgement)[2], Role::Unrelated);
    assert_eq!(said(&judgement), [(WARNING, None)]);
}

#[test]
fn what_cannot_be_read_is_told() {
    let root = root("Root");
    let mut broken = root.leaf();
    broken.der = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    let judgement = judged(&[&broken, &root], &[&root]);
    assert_eq!(judgement.end, End::Unreadable);
    assert_eq!(judgement.certificates[0].role, Role::Unreadable);
    assert!(said(&judgement).contains(&(ERROR, Some(Code::Damaged))), "{judgement:?}");
}

/// A server may send what it likes; it does not get us to verify it all.
#[test]
fn more_than_a_chain_is_not_looked_at() {
    let root = root("Root");
    let leaf = root.leaf();
    let sent = vec![&leaf; 1_000];
    let judgement = judged(&sent, &[&root]);
    assert_eq!(judgement.certificates.len(), MOST);
    assert!(judgement.remarks.iter().any(|r| r.text.starts_with("1000 ")), "{judgement:?}");
}
