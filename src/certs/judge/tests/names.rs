//! For whom it is.

use super::*;

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
