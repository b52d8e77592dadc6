//! An authority says when a certificate is to be renewed (ARI, RFC 9773), and when it wants to be left
//! alone; and it is heard.

use std::fs;

use serde_json::{Value, json};

use crate::{
    authority::{Answer, Script},
    common::{commands::vestibule, front::Front, tls::NAME},
    office::{Office, now},
};

/// An office with a certificate that came by itself, long before its time.
fn office(
    window: (&str, &str),
    order: impl Fn(&Value) -> Answer + Send + Sync + 'static,
) -> Office {
    let window = (window.0.to_owned(), window.1.to_owned());
    let office = Office::new(Script { window, order: Box::new(order), ..Script::default() });
    office.plant(|params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2999, 1, 1);
    });
    office
}

fn limited() -> Answer {
    let problem = json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates already", "status": 429 });
    (429, "Retry-After: 7200\r\n", problem)
}

fn refused(front: &Front, name: &str) {
    front.wait("it is refused", 0, |line| {
        line["names"] == name
            && line["message"]
                .as_str()
                .unwrap_or("")
                .contains("too many certificates already (rateLimited)")
    });
}

#[test]
fn it_is_renewed_when_the_authority_says_so_and_not_before_it_may() {
    let office = office(("2020-01-02T04:00:00Z", "2020-01-03T04:00:00Z"), |_| limited());
    let front = Front::start(&office.config(NAME));
    refused(&front, NAME);
    let orders = office.authority.orders();
    let [order] = orders.as_slice() else { panic!("one order: {orders:?}") };
    // It says which certificate it replaces, by issuer and serial number.
    let replaced = order["replaces"].as_str().expect("it replaces one");
    assert_eq!(replaced.split('.').count(), 2, "{replaced}");
    let told = office.told(NAME);
    let (next, limited) = (told["next"].as_i64().unwrap(), &told["limited"]);
    assert!((now() + 7100..=now() + 7200).contains(&next), "{told}");
    assert_eq!(limited, true);

    // Nobody's hurry changes that; others are ordered.
    front.configure(&office.config("[mail.example.org, pop.example.org]"));
    front.reload();
    refused(&front, "pop.example.org");
    let names = |order: &Value| order["identifiers"][0]["value"].as_str().unwrap().to_owned();
    let asked: Vec<String> = office.authority.orders().iter().map(names).collect();
    assert_eq!(asked, [NAME, "pop.example.org"]);

    // What is served is what was served.
    let list = vestibule(front.folder.path(), &["certs", "--config", "vestibule.yaml"]).with(1);
    assert!(list.contains("ACME") && list.contains("2999-01-01"), "{list}");
    assert!(
        list.contains("too many certificates already (rateLimited); the next attempt is at"),
        "{list}"
    );
}

/// RFC 8555 §7.3.3.
#[test]
fn it_is_said_what_somebody_has_to_read_first() {
    let office = Office::new(Script {
        order: Box::new(|_| {
            let problem = json!({ "type": "urn:ietf:params:acme:error:userActionRequired", "detail": "the terms are new", "instance": "https://example.org/agree" });
            (403, "Link: <https://example.org/terms>;rel=\"terms-of-service\"\r\n", problem)
        }),
        ..Script::default()
    });
    let _front = Front::start(&office.config(NAME));
    let told = office.told_when(NAME, |told| told["phase"] == "failed");
    let said =
        "the terms are new (userActionRequired): somebody has to visit https://example.org/agree";
    assert_eq!(told["reason"], said);
}

/// An office whose authority wants to be left alone for that long, whoever asks for this path.
fn silent(path: &'static str, status: u16, header: &'static str) -> Office {
    Office::new(Script {
        instead: Box::new(move |asked| {
            (asked == path).then(|| (status, header, "for people".into()))
        }),
        ..Script::default()
    })
}

#[test]
fn what_it_says_to_one_order_is_heard_by_all() {
    let office = silent("/order", 429, "Retry-After: 600\r\n");
    let names: Vec<String> = (0..12).map(|n| format!("h{n}.example.org")).collect();
    let config = office.config(&format!("[{}]", names.join(", ")));
    let front = Front::start(&config);
    // So many are under way at a time.
    for name in &names[..4] {
        front.wait(name, 0, |line| line["level"] == "WARN" && line["names"] == name.as_str());
    }
    office.command(&config, &["certs"]).with(1);
    assert_eq!(office.authority.asked("/order"), 4);
    let told = office.told(&names[0]);
    assert!((now() + 500..=now() + 600).contains(&told["next"].as_i64().unwrap()), "{told}");
    // Who asks for it wants it now; but those who were told to wait do.
    front.reload();
    front
        .wait("others try", 0, |line| line["level"] == "WARN" && line["names"] == "h4.example.org");
    assert!((5..=8).contains(&office.authority.asked("/order")));
}

#[test]
fn a_short_wait_is_heard_as_well() {
    let office = silent("/order", 429, "Retry-After: 7\r\n");
    let _front = Front::start(&office.config(NAME));
    let told = office.told_when(NAME, |told| told["phase"] == "failed");
    assert!((now() + 50..=now() + 60).contains(&told["next"].as_i64().unwrap()), "{told}");
}

/// Who stands before an authority does not speak as RFC 8555 wants it.
#[test]
fn it_is_heard_wherever_it_says_so_and_in_whatever_words() {
    let office = silent("/nonce", 503, "Retry-After: 7200\r\n");
    let _front = Front::start(&office.config(NAME));
    let told = office.told_when(NAME, |told| told["phase"] == "failed");
    assert!((now() + 7100..=now() + 7200).contains(&told["next"].as_i64().unwrap()), "{told}");
    let reason = told["reason"].as_str().unwrap();
    let nonce = office.authority.directory().replace("/dir", "/nonce");
    assert!(reason.contains(&format!("{nonce}: it answers 503 Service Unavailable")), "{reason}");
}

#[test]
fn a_refusal_without_a_reason_is_told_with_its_address() {
    let office = silent("/order", 403, "Content-Type: text/html\r\n");
    let _front = Front::start(&office.config(NAME));
    let told = office.told_when(NAME, |told| told["phase"] == "failed");
    let order = office.authority.directory().replace("/dir", "/order");
    assert_eq!(told["reason"], format!("{order}: it answers 403 Forbidden"));
}

#[test]
fn a_replacement_that_is_not_taken_is_ordered_without() {
    let office = office(("2020-01-02T04:00:00Z", "2020-01-03T04:00:00Z"), |order| {
        if order["replaces"].is_null() {
            return limited();
        }
        let problem =
            json!({ "type": "urn:ietf:params:acme:error:alreadyReplaced", "status": 409 });
        (409, "", problem)
    });
    let front = Front::start(&office.config(NAME));
    refused(&front, NAME);
    let orders = office.authority.orders();
    let replaced: Vec<bool> = orders.iter().map(|order| order["replaces"].is_string()).collect();
    assert_eq!(replaced, [true, false]);
}

#[test]
fn a_window_in_the_future_is_waited_for() {
    let office = office(("2031-02-03T04:00:00Z", "2031-02-04T04:00:00Z"), |_| limited());
    let front = Front::start(&office.config("[mail.example.org, pop.example.org]"));
    refused(&front, "pop.example.org");
    front.wait("it is told why", 0, |line| line["why"] == "https://example.org/why");
    let told = office.told_when(NAME, |told| told["renew"].is_i64());
    assert!((1_927_857_600..=1_927_944_000).contains(&told["renew"].as_i64().unwrap()), "{told}");
    assert_eq!(told["advised"], true);
    let ask = told["ask"].as_i64().unwrap();
    assert!((now() + 21_500..=now() + 21_600).contains(&ask), "{told}");
    let orders = office.authority.orders();
    assert!(
        orders.iter().all(|order| order["identifiers"][0]["value"] == "pop.example.org"),
        "{orders:?}"
    );
}

/// Where nothing can be written, that is said, and not again and again.
#[test]
fn who_cannot_write_does_not_ask_for_ever() {
    let office = office(("2020-01-02T04:00:00Z", "2020-01-03T04:00:00Z"), |_| limited());
    let acme = office.folder.path().join("state/acme");
    fs::remove_dir_all(&acme).unwrap();
    fs::write(&acme, "").unwrap();
    let front = Front::start(&office.config(NAME));
    let said = |line: &Value| line["names"] == NAME && line["level"] == "WARN";
    front.wait("it is said", 0, said);
    let mark = front.mark();
    front.reload();
    front.wait("it is said to whoever asks", mark, said);
    assert_eq!(front.log().iter().filter(|line| said(line)).count(), 2);
    fs::remove_file(&acme).unwrap();
    front.reload();
    refused(&front, NAME);
}
