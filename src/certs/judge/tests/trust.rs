//! Who has signed, and where that leads.

use super::*;

/// One name and one key id, another key.
#[test]
fn a_wrong_signature_is_told() {
    let root = root("Root");
    let middle = root.authority("CA 1");
    let forged = || {
        let mut params = middle.params.clone();
        params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![7; 20]);
        root.sign(params, ecdsa())
    };
    let judgement = judged(&[&forged().leaf(), &forged()], &[&root]);
    assert_eq!(judgement.end, End::Broken { issuer: "CN=CA 1".into(), position: Some(1) });
    assert_eq!(judgement.certificates[0].signer, Signer::Wrong);
    assert!(said(&judgement).contains(&(ERROR, Some(Code::SignatureWrong))), "{judgement:?}");
    // Also where the right one is known from the trust store.
    let twin = || {
        let mut params = params("Root", true);
        params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![7; 20]);
        let key = ecdsa();
        let der = params.self_signed(&key).unwrap().der().clone();
        Made { params, key, der }
    };
    let judgement = judged(&[&twin().leaf()], &[&twin()]);
    assert_eq!(judgement.end, End::Broken { issuer: "CN=Root".into(), position: None });
}

/// A newer root that an older one has signed, too: whichever a client trusts, it finds its way.
#[test]
fn a_cross_signed_root_leads_to_either() {
    let (old, new) = (root("Old Root"), root("New Root"));
    let middle = new.authority("CA 1");
    let crossed = Made {
        der: new
            .params
            .signed_by(&new.key, &Issuer::from_params(&old.params, &old.key))
            .unwrap()
            .der()
            .clone(),
        ..root("unused")
    };
    let sent = [&middle.leaf(), &middle, &crossed];
    let judgement = judged(&sent, &[&new]);
    assert_eq!(judgement.end, End::Trusted { root: "CN=New Root".into() });
    assert_eq!(judgement.path, [0, 1]);
    assert_eq!(roles(&judgement)[2], Role::Alternative);
    assert_eq!(said(&judgement), [(NOTE, None)]);
    let judgement = judged(&sent, &[&old]);
    assert_eq!(judgement.end, End::Trusted { root: "CN=Old Root".into() });
    assert_eq!(judgement.path, [0, 1, 2]);
    assert_eq!(said(&judgement), []);
}

#[test]
fn a_self_signed_one_is_told_unless_it_is_trusted() {
    let mut params = params(NAME, false);
    params.subject_alt_names = vec![rcgen::SanType::DnsName(NAME.try_into().unwrap())];
    let key = ecdsa();
    let der = params.self_signed(&key).unwrap().der().clone();
    let own = Made { params, key, der };
    let judgement = judged(&[&own], &[]);
    assert_eq!(judgement.end, End::SelfSigned);
    assert_eq!(said(&judgement), [(WARNING, Some(Code::SelfSigned))]);
    assert_eq!(said(&judged(&[&own], &[&own])), []);
}

#[test]
fn a_private_authority_is_private_and_not_broken() {
    let (office, public) = (root("Office"), root("Public"));
    let middle = office.authority("Office CA");
    let judgement = judged(&[&middle.leaf(), &middle], &[&public]);
    let root = "CN=Office".to_owned();
    assert_eq!(judgement.end, End::Private { root: root.clone(), sent: false, url: None });
    assert_eq!(said(&judgement), [(WARNING, Some(Code::PrivateAuthority))]);
    let judgement = judged(&[&middle.leaf(), &middle, &office], &[&public]);
    assert_eq!(judgement.end, End::Private { root, sent: true, url: None });
    assert_eq!(judgement.path, [0, 1]);
    assert_eq!(said(&judgement), [(WARNING, Some(Code::PrivateAuthority)), (NOTE, None)]);
}

/// Whoever has named the private authorities is told of one that is not among them.
#[test]
fn a_chain_that_ends_elsewhere_is_not_whole() {
    let middle = root("Office").authority("Office CA");
    let sent = [middle.leaf().der, middle.der];
    let name = Reference::new(NAME).unwrap();
    let judgement = judge(&sent, &name, NOW, &trusting(&[&root("Other")]), true);
    let issuer = "CN=Office".to_owned();
    assert_eq!(judgement.end, End::Missing { issuer, url: None, certain: true });
    assert_eq!(said(&judgement), [(ERROR, Some(Code::ChainIncomplete))]);
}
