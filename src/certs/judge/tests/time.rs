//! What time does to a chain.

use super::*;

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
