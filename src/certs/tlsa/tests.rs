//! Records as they are written, and what they agree with.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

use super::{
    super::digest::{hex, sha256, sha512},
    *,
};

const NAME: &str = "mail.example.org";

/// A root, and what is sent: a leaf and its issuer.
struct Chain {
    root: CertificateDer<'static>,
    sent: Vec<CertificateDer<'static>>,
}

fn chain() -> Chain {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(authority("Root"), key()).unwrap();
    let ca = CertifiedIssuer::signed_by(authority("CA"), key(), &root).unwrap();
    let leaf = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key(), &ca).unwrap();
    Chain { root: root.der().clone(), sent: vec![leaf.der().clone(), ca.der().clone()] }
}

fn record(port: u16, numbers: &str, data: &[u8]) -> Record {
    format!("_{port}._tcp.{NAME}. IN TLSA {numbers} {}", hex(data)).parse().unwrap()
}

fn spki(der: &CertificateDer<'_>) -> Vec<u8> {
    key_of(der).unwrap()
}

#[test]
fn what_is_written_is_read_and_written_the_same() {
    let digest = "0d".repeat(32);
    for text in [
        format!("_25._tcp.mail.example.org. IN TLSA 3 1 1 {digest}"),
        format!("_443._tcp.example.org. IN TLSA 2 0 2 {digest}{digest}"),
        "_65535._tcp.a. IN TLSA 0 1 0 ff".to_owned(),
    ] {
        assert_eq!(text.parse::<Record>().unwrap().to_string(), text);
    }
    let loose = format!(
        "  _25._TCP.Mail.Example.ORG 1h tlsa ( 3 1 1\t{} {} )  ; key",
        &digest[..4],
        &digest[4..]
    );
    assert_eq!(
        loose.parse::<Record>().unwrap().to_string(),
        format!("_25._tcp.mail.example.org. IN TLSA 3 1 1 {digest}")
    );
}

#[test]
fn what_is_no_record_is_told_with_a_reason() {
    let digest = "0d".repeat(32);
    for (text, why) in [
        (String::new(), "is not a TLSA record"),
        ("mail.example.org. IN A 192.0.2.7".to_owned(), "is not a TLSA record"),
        (format!("mail.example.org. TLSA 3 1 1 {digest}"), "_PORT._tcp.HOST"),
        (format!("_25._udp.a.example. TLSA 3 1 1 {digest}"), "_PORT._tcp.HOST"),
        (format!("_99999._tcp.a.example. TLSA 3 1 1 {digest}"), "_PORT._tcp.HOST"),
        (format!("*._tcp.a.example. TLSA 3 1 1 {digest}"), "_PORT._tcp.HOST"),
        (format!("_25._tcp.*.a.example. TLSA 3 1 1 {digest}"), "_PORT._tcp.HOST"),
        (format!("_25._tcp.a_b.example. TLSA 3 1 1 {digest}"), "letters, digits"),
        (format!("_25._tcp.a.example. TLSA 4 1 1 {digest}"), "is no usage"),
        (format!("_25._tcp.a.example. TLSA 3 2 1 {digest}"), "is no selector"),
        (format!("_25._tcp.a.example. TLSA 3 1 3 {digest}"), "is no matching type"),
        (format!("_25._tcp.a.example. TLSA 3 1 2 {digest}"), "32 octets long, and it takes 64"),
        (format!("_25._tcp.a.example. TLSA 3 1 1 {digest}0"), "not hexadecimal"),
        ("_25._tcp.a.example. TLSA 3 1 1 zz".to_owned(), "not hexadecimal"),
        ("_25._tcp.a.example. TLSA 3 1 0".to_owned(), "nothing to compare"),
        ("_25._tcp.a.example. TLSA 3 1".to_owned(), "a usage, a selector"),
        (format!("_25._tcp.a.example. TYPE52 \\# 34 030101{digest}"), "TYPE52"),
        (format!("_25._tcp.a.example. TYPE52 030101{digest}"), "TYPE52"),
        (format!("_25._tcp.a.example. TLSA 3 1 1 {digest}\n TLSA 3 1 1 {digest}"), "several"),
    ] {
        let said = text.parse::<Record>().unwrap_err();
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn each_form_agrees_with_its_certificate_alone() {
    let (here, other) = (chain(), chain());
    let [leaf, ca] = &here.sent[..] else { panic!("two are sent") };
    for (numbers, data) in [
        ("3 0 0", leaf.to_vec()),
        ("3 0 1", sha256(leaf)),
        ("3 0 2", sha512(leaf)),
        ("3 1 0", spki(leaf)),
        ("3 1 1", sha256(&spki(leaf))),
        ("3 1 2", sha512(&spki(leaf))),
        ("1 1 1", sha256(&spki(leaf))),
        ("2 0 0", ca.to_vec()),
        ("2 0 1", sha256(ca)),
        ("2 1 1", sha256(&spki(ca))),
        ("0 1 2", sha512(&spki(ca))),
        // A root that is not sent: RFC 7671 §5.2.3.
        ("2 0 0", here.root.to_vec()),
        ("2 1 0", spki(&here.root)),
    ] {
        let record = record(993, numbers, &data);
        assert!(record.matches(&here.sent), "{numbers}");
        assert!(!record.matches(&other.sent), "{numbers} of another chain");
        assert!(!record.matches(&[]), "{numbers} of nothing");
    }
    for (numbers, data, why) in [
        ("2 0 1", sha256(&here.root), "the root is not sent"),
        ("2 1 1", sha256(&spki(leaf)), "the leaf is no authority"),
        ("3 1 1", sha256(&spki(ca)), "the authority is no leaf"),
        ("3 0 1", sha256(&spki(leaf)), "the key is not the certificate"),
    ] {
        assert!(!record(993, numbers, &data).matches(&here.sent), "{why}");
    }
}

#[test]
fn only_a_chain_that_clients_would_refuse_is_uncovered() {
    let (here, next) = (chain(), chain());
    let key = |chain: &Chain| sha256(&spki(&chain.sent[0]));
    let records = |records: &[Record]| records.iter().cloned().collect::<Records>();
    let names = ["*.example.org".to_owned(), "example.net".to_owned()];
    let own = [NAME.to_owned()];
    let others =
        ["mail.example.net".to_owned(), "a.mail.example.org".to_owned(), "example.org".to_owned()];

    let current = records(&[record(25, "3 1 1", &key(&here))]);
    for covered in [&own[..], &names] {
        assert_eq!(current.uncovered(covered, &here.sent), None);
        let why = current.uncovered(covered, &next.sent).unwrap();
        assert!(
            why.contains(&hex(&key(&here))) && why.contains("_25._tcp.mail.example.org."),
            "{why}"
        );
        assert!(
            why.contains(&format!("publish \"{}\"", record(25, "3 1 1", &key(&next)))),
            "{why}"
        );
    }
    assert_eq!(current.uncovered(&others, &next.sent), None, "names without records");
    assert_eq!(Records::default().uncovered(&own, &here.sent), None);

    let both = records(&[record(25, "3 1 1", &key(&here)), record(25, "3 1 1", &key(&next))]);
    assert_eq!((both.uncovered(&own, &here.sent), both.uncovered(&own, &next.sent)), (None, None));
    // Each service for itself.
    let ports = records(&[
        record(25, "3 1 1", &key(&next)),
        record(993, "3 1 1", &key(&here)),
        record(465, "3 1 1", &key(&here)),
    ]);
    let why = ports.uncovered(&own, &next.sent).unwrap();
    assert!(why.contains("_465._tcp") && why.contains("one more service"), "{why}");
    // RFC 7672 §3.1.3: with nothing but what cannot be used, mail goes on.
    let unusable = records(&[record(25, "1 1 1", &key(&here))]);
    assert_eq!(unusable.uncovered(&own, &next.sent), None);
    let elsewhere = records(&[record(993, "1 1 1", &key(&here))]);
    assert!(elsewhere.uncovered(&own, &next.sent).is_some());
    // What authorities the client trusts, we cannot know.
    let trusted = records(&[record(993, "0 1 1", &key(&here))]);
    assert_eq!(trusted.uncovered(&own, &next.sent), None);
}

#[test]
fn a_zone_file_is_read_as_name_servers_read_it() {
    let digest = "0d".repeat(32);
    let zone = parse_zone(&format!(
        "\u{feff}$TTL 3600\r\n$ORIGIN Example.org.\r\n@ IN SOA ns a ( 1 2 3\n 4 5 )\n\
         txt TXT ( \"( ; (\" ) \n\
         _25._tcp.mail TLSA 3 1 1 {digest}\n\
         \tIN\t2h TLSA 2 1 1 {digest} ; the authority\n\
         _143._tcp.mail CNAME _tlsa\n_993._tcp.mail IN CNAME _tlsa.example.org.\n\
         _TLSA TLSA 3 1 1 (\n {}\n {} ; cut\n )\n\
         $ORIGIN sub\n_25._tcp.mx 5 IN TLSA 3 1 1 {digest}\n\
         _26._tcp.mx.example.net. TLSA 3 1 1 00\n_lone TLSA 3 1 1 {digest}\n$INCLUDE other.zone\n",
        &digest[..32],
        &digest[32..],
    ));
    let found: Vec<(usize, String)> = zone
        .records
        .iter()
        .map(|(line, r)| (*line, format!("{} {}", r.service, r.usage as u8)))
        .collect();
    let expected = [
        (6, "_25._tcp.mail.example.org. 3"),
        (7, "_25._tcp.mail.example.org. 2"),
        (10, "_143._tcp.mail.example.org. 3"),
        (10, "_993._tcp.mail.example.org. 3"),
        (15, "_25._tcp.mx.sub.example.org. 3"),
    ];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    let mistakes: Vec<usize> = zone.mistakes.iter().map(|(line, _)| *line).collect();
    assert_eq!(mistakes, [18, 16, 17], "{:?}", zone.mistakes);
}
