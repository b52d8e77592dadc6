//! Every shape of chain that servers send.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use super::{End, Judgement, Reference, Role, Signer, judge};
use crate::certs::{Anchors, Code, Severity, x509::Parsed};

const NAME: &str = "mail.example.org";
/// 2026-06-01
const NOW: i64 = 1_780_272_000;

/// A certificate with its key, which may issue others.
struct Made {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

fn ecdsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn params(name: &str, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

fn root(name: &str) -> Made {
    let (params, key) = (params(name, true), ecdsa());
    let der = params.self_signed(&key).unwrap().der().clone();
    Made { params, key, der }
}

impl Made {
    fn sign(&self, params: CertificateParams, key: KeyPair) -> Made {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        Made { params, key, der }
    }

    fn authority(&self, name: &str) -> Made {
        self.sign(params(name, true), ecdsa())
    }

    fn leaf(&self) -> Made {
        self.leaf_with(|_| {})
    }

    fn leaf_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Made {
        let mut leaf = params(NAME, false);
        leaf.subject_alt_names = vec![rcgen::SanType::DnsName(NAME.try_into().unwrap())];
        change(&mut leaf);
        self.sign(leaf, ecdsa())
    }
}

fn trusting(roots: &[&Made]) -> Anchors {
    let mut anchors = Anchors::default();
    for root in roots {
        anchors.add(&Parsed::new(&root.der).unwrap());
    }
    anchors
}

fn judged(sent: &[&Made], trusted: &[&Made]) -> Judgement {
    asked(sent, trusted, NAME)
}

fn asked(sent: &[&Made], trusted: &[&Made], name: &str) -> Judgement {
    let presented: Vec<_> = sent.iter().map(|made| made.der.clone()).collect();
    let name = Reference::new(name).unwrap();
    judge(&presented, &name, NOW, &trusting(trusted), false)
}

fn said(judgement: &Judgement) -> Vec<(Severity, Option<Code>)> {
    judgement.remarks.iter().map(|r| (r.severity, r.code)).collect()
}

fn roles(judgement: &Judgement) -> Vec<Role> {
    judgement.certificates.iter().map(|c| c.role).collect()
}

/// An authority information access with a CA-Issuers URL: RFC 5280 §4.2.2.1.
fn ca_issuers(url: &str) -> CustomExtension {
    let tlv = |tag: u8, value: &[u8]| [&[tag, u8::try_from(value.len()).unwrap()], value].concat();
    let method = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
    let description = tlv(0x30, &[&method, tlv(0x86, url.as_bytes()).as_slice()].concat());
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], tlv(0x30, &description))
}

const ERROR: Severity = Severity::Error;
const WARNING: Severity = Severity::Warning;
const NOTE: Severity = Severity::Note;

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
fn expiry_is_told_in_time() {
    let root = root("Root");
    for (from, to, code, severity) in [
        ((2026, 1, 1), (2026, 5, 31), Code::Expired, ERROR),
        ((2026, 6, 2), (2027, 1, 1), Code::NotYetValid, ERROR),
        ((2026, 1, 1), (2026, 6, 14), Code::ExpiresSoon, WARNING),
    ] {
        let leaf = root.leaf_with(|p| {
            p.not_before = date_time_ymd(from.0, from.1, from.2);
            p.not_after = date_time_ymd(to.0, to.1, to.2);
        });
        assert_eq!(said(&judged(&[&leaf], &[&root])), [(severity, Some(code))], "{to:?}");
        let mut params = params("CA 1", true);
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        let middle = root.sign(params, ecdsa());
        let judgement = judged(&[&middle.leaf(), &middle], &[&root]);
        assert_eq!(said(&judgement), [(severity, Some(code))], "{to:?}");
        assert!(judgement.remarks[0].text.starts_with("#1 "), "{judgement:?}");
    }
    // Made for six days, and two are gone.
    let short = root.leaf_with(|p| {
        p.not_before = date_time_ymd(2026, 5, 30);
        p.not_after = date_time_ymd(2026, 6, 5);
    });
    assert_eq!(said(&judged(&[&short], &[&root])), []);
}

/// An expired way on is no way, as long as there is another one.
#[test]
fn an_expired_way_is_gone_round() {
    let root = root("Root");
    let middle = root.authority("CA 1");
    let mut of_before = middle.params.clone();
    of_before.not_after = date_time_ymd(2026, 5, 1);
    let issuer = Issuer::from_params(&root.params, &root.key);
    let of_before = Made {
        der: of_before.signed_by(&middle.key, &issuer).unwrap().der().clone(),
        ..root_like()
    };
    let judgement = judged(&[&middle.leaf(), &of_before, &middle], &[&root]);
    assert_eq!(judgement.path, [0, 2]);
    assert_eq!(judgement.end, End::Trusted { root: "CN=Root".into() });
    assert!(said(&judgement).contains(&(WARNING, Some(Code::Expired))), "{judgement:?}");
}

fn root_like() -> Made {
    root("unused")
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

/// Names are anybody's words, and end up on terminals and in logs.
#[test]
fn names_bring_no_lines_of_their_own() {
    let root = root("Root\n\x1b[2J");
    let url = "http://a/\x1b[2J";
    let leaf = root.leaf_with(|p| {
        p.distinguished_name.push(DnType::CommonName, "x\r\nAll is well.");
        p.custom_extensions.push(ca_issuers(url));
    });
    let judgement = judged(&[&leaf], &[]);
    let (leaf, remark) = (&judgement.certificates[0], &judgement.remarks[0]);
    let text = format!("{} {} {}", leaf.subject, leaf.issuer, remark.text);
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.contains("CN=x\\r\\nAll is well.") && text.contains("CN=Root\\n"), "{text}");
}

#[test]
fn another_name_is_told() {
    let root = root("Root");
    let leaf = root.leaf();
    let judgement = asked(&[&leaf], &[&root], "imap.example.org");
    assert_eq!(said(&judgement), [(ERROR, Some(Code::NameNotCovered))]);
    assert!(judgement.remarks[0].text.contains(NAME), "{judgement:?}");
    let judgement = asked(&[&leaf], &[&root], "192.0.2.1");
    assert_eq!(said(&judgement), [(WARNING, Some(Code::NameNotCovered))]);
    let here = root.leaf_with(|p| {
        p.subject_alt_names.push(rcgen::SanType::IpAddress("192.0.2.1".parse().unwrap()));
    });
    assert_eq!(said(&asked(&[&here], &[&root], "192.0.2.1")), []);
    assert_eq!(
        said(&asked(&[&here], &[&root], "2001:db8::1")),
        [(ERROR, Some(Code::NameNotCovered))]
    );
    let nameless = root.leaf_with(|p| p.subject_alt_names.clear());
    let judgement = judged(&[&nameless], &[&root]);
    assert_eq!(said(&judgement), [(ERROR, Some(Code::NoSan))]);
    assert_eq!(judgement.name.covered_by, None, "the common name is for people");
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
    assert_eq!(judgement.certificates.len(), super::MOST);
    assert!(judgement.remarks.iter().any(|r| r.text.starts_with("1000 ")), "{judgement:?}");
}
