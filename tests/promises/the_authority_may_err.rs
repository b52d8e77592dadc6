//! An authority errs, or this machine's clock does. It costs nobody a certificate that is good, and the
//! authority is not asked for one after the other.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use rcgen::CertificateParams;
use serde_json::{Value, json};

use crate::{
    authority::Script,
    common::{front::Front, tls::NAME},
    office::{Office, now},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A window that has been over for years.
fn over() -> (String, String) {
    ("2020-01-02T04:00:00Z".to_owned(), "2020-01-03T04:00:00Z".to_owned())
}

fn odd(front: &Front, from: usize) -> String {
    let said = front.wait("it is said what is odd", from, |line| {
        line["level"] == "WARN"
            && line["message"].as_str().is_some_and(|text| text.contains("has only just come"))
    });
    said["message"].as_str().unwrap().to_owned()
}

/// The wait for another, in hours.
fn hours(told: &Value) -> i64 {
    (told["next"].as_i64().expect("it waits") - now() + 1800) / 3600
}

#[test]
fn what_is_to_be_renewed_as_soon_as_it_comes_is_not_ordered_without_end() {
    let office = Office::new(Script { window: over(), ..Script::default() });
    let config = office.config(NAME);
    let front = Front::start(&config);
    let said = odd(&front, 0);
    assert!(said.contains("the authority wants it to be renewed already"), "{said}");
    assert!(said.contains("is this machine's clock right, which says 20"), "{said}");
    let told = office.told_when(NAME, |told| told["early"] == 1);
    assert_eq!((office.authority.orders().len(), hours(&told)), (1, 1), "{told}");
    let list = office.command(&config, &["certs"]).with(1);
    assert!(list.contains("V024: mail.example.org: a certificate has only just come"), "{list}");

    // Nobody's hurry changes that.
    let mark = front.mark();
    front.reload();
    office.tell(NAME, |told| told["ask"] = 0.into());
    front.reload();
    office.told_when(NAME, |told| told["ask"] != 0);
    assert_eq!(office.authority.orders().len(), 1);

    // Some time later there is another, and the next wait is longer.
    office.tell(NAME, |told| told["next"] = 0.into());
    front.reload();
    odd(&front, mark);
    let told = office.told_when(NAME, |told| told["early"] == 2);
    assert_eq!((office.authority.orders().len(), hours(&told)), (2, 2), "{told}");
}

/// As it seems where a clock is far ahead.
#[test]
fn what_is_old_when_it_comes_is_not_ordered_without_end() {
    let office = Office::new(Script {
        issue: Box::new(|params| {
            params.not_before = (SystemTime::now() - 6 * DAY).into();
            params.not_after = (SystemTime::now() + DAY).into();
        }),
        instead: Box::new(|path| path.starts_with("/renewal/").then(|| (404, "", json!({})))),
        ..Script::default()
    });
    let front = Front::start(&office.config(NAME));
    let said = odd(&front, 0);
    assert!(said.contains("it is to be renewed already, being valid from "), "{said}");
    let told = office.told_when(NAME, |told| told["early"] == 1);
    assert_eq!((office.authority.orders().len(), hours(&told)), (1, 1), "{told}");
}

/// RFC 9773 §5 wants the authority to repeat which one is replaced. Where it does not, there is an order
/// all the same.
#[test]
fn an_order_is_one_order_even_if_the_answer_says_too_little() {
    let office = Office::new(Script {
        window: over(),
        order: Box::new(|_| (201, "", json!({}))),
        ..Script::default()
    });
    office.plant(|_| ());
    let front = Front::start(&office.config(NAME));
    front.wait("it has come", 0, |line| line["message"] == "a certificate has come");
    let orders = office.authority.orders();
    let replaced: Vec<bool> = orders.iter().map(|order| order["replaces"].is_string()).collect();
    assert_eq!((replaced, office.authority.asked("/finalize")), (vec![true], 1));
}

/// An office with a certificate that is good, whose authority issues others that are not.
fn worse(issue: impl Fn(&mut CertificateParams) + Send + Sync + 'static) -> Office {
    let office =
        Office::new(Script { window: over(), issue: Box::new(issue), ..Script::default() });
    office.plant(|_| ());
    office
}

fn refused(office: &Office, why: &str) {
    let before = fs::read(office.certificate(NAME)).unwrap();
    let front = Front::start(&office.config(NAME));
    let said = front.wait("it is said", 0, |line| line["level"] == "WARN" && line["names"] == NAME);
    assert!(said["message"].as_str().unwrap().contains(why), "{said}");
    assert!(fs::read(office.certificate(NAME)).unwrap() == before, "it is what it was");
    let told = office.told_when(NAME, |told| told["phase"] == "failed");
    assert_eq!((office.authority.orders().len(), hours(&told)), (1, 1), "{told}");
    // The next attempt is another order.
    assert!(told["order"].is_null(), "{told}");
}

#[test]
fn what_has_expired_takes_no_place() {
    let office = worse(|params| params.not_after = (SystemTime::now() - DAY).into());
    refused(
        &office,
        "no certificate yet: the certificate that the authority sent has expired, on 20",
    );
}

#[test]
fn what_is_not_valid_yet_takes_no_place() {
    let office = worse(|params| params.not_before = (SystemTime::now() + DAY).into());
    refused(
        &office,
        "no certificate yet: the certificate that the authority sent is not valid before",
    );
}

#[test]
fn what_is_for_other_names_takes_no_place() {
    let office = worse(|params| params.subject_alt_names.clear());
    refused(&office, "the certificate that the authority sent does not cover mail.example.org");
}
