//! In clear, everybody is sent to https, and nowhere else: a link to us cannot lead to somebody else.

use crate::{
    common::{front::Front, peer::connect, tls::NAME},
    curl::{curl, get},
    raw::answer,
    servers::Python,
    stage::{Stage, at, clear, tls},
};

fn set(http: &str, https: &str) -> (Stage, Python, Front) {
    let (stage, python) = (Stage::set(), Python::start());
    stage.certify(&["*.example.net"]);
    let listeners = format!("{}{}", tls(https), clear(http));
    let config = stage.config(&format!("w: {{ {} }}", at(python.address)), &listeners);
    let front = Front::start(&format!(
        "{config}\naliases: [alias.example.org]\nroutes: {{ routed.example.org: w }}\n"
    ));
    (stage, python, front)
}

#[test]
fn to_the_same_place_if_it_is_ours() {
    let (_stage, python, front) = set("", "");
    let (http, https) = (front.address(1), front.port(0));
    let port = if https == 443 { String::new() } else { format!(":{https}") };
    let ours = format!("https://mail.example.org{port}/");
    for host in [
        NAME,
        "MAIL.example.org",
        "web.example.org",
        "alias.example.org",
        "routed.example.org",
        "a.example.net",
    ] {
        for method in ["GET", "POST"] {
            let answer =
                curl(None, http, &format!("http://{host}:PORT/a/b?c=d&e=%0d%0a"), &["-X", method]);
            assert_eq!(answer.status, 308, "{host}: {answer:?}");
            let lower = host.to_ascii_lowercase();
            let place = format!("https://{lower}{port}/a/b?c=d&e=%0d%0a");
            assert_eq!(answer.field("location"), Some(place.as_str()));
            assert_eq!(answer.field("strict-transport-security"), None, "RFC 6797 §7.2");
        }
    }
    for host in [
        "elsewhere.example",
        "example.org",
        "a.b.example.net",
        "127.0.0.1",
        "mail.example.org.evil.example",
    ] {
        let answer = curl(None, http, &format!("http://{host}:PORT/"), &[]);
        assert_eq!((answer.status, answer.field("location")), (421, None), "{host}: {answer:?}");
    }
    for (line, host) in [
        ("GET //evil.example/ HTTP/1.1", NAME),
        ("GET /\\evil.example/ HTTP/1.1", NAME),
        ("GET http://evil.example/ HTTP/1.1", NAME),
        ("GET / HTTP/1.1", "evil.example#mail.example.org"),
        ("GET / HTTP/1.1", "evil.example/mail.example.org"),
        ("GET / HTTP/1.1", "mail.example.org@evil.example"),
        ("GET / HTTP/1.1", "mail.example.org:80@evil.example"),
        ("GET / HTTP/1.1", "evil.example:80"),
    ] {
        let mut client = connect(http);
        client.send(format!("{line}\r\nHost: {host}\r\n\r\n"));
        let (status, head, _) = answer(&mut client).expect("an answer");
        let to = head.lines().find_map(|l| l.strip_prefix("location: ")).unwrap_or(&ours);
        assert!(to.starts_with(&ours), "{line} {host}: {head}");
        assert!([308, 400, 421].contains(&status), "{line} {host}: {status}");
    }
    assert!(!python.has_complained());
}

/// RFC 9112 §3.3: what is asked of the server as a whole has no path.
#[test]
fn also_what_is_for_no_place_in_particular() {
    let (_stage, _python, front) = set("", "");
    let mut client = connect(front.address(1));
    client.send(format!("OPTIONS * HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
    let (status, head, _) = answer(&mut client).expect("an answer");
    let location = format!("location: https://{NAME}:{}\r\n", front.port(0));
    assert!(status == 308 && head.contains(&location), "{head}");
}

#[test]
fn upgrades_to_tls_are_not_honoured_nor_passed_on() {
    let (_stage, python, front) = set("forward: true", "");
    for protocol in ["TLS/1.0", "h2c", "TLS/1.0, HTTP/1.1", "websocket, TLS/1.0"] {
        let mut client = connect(front.address(1));
        client.send(format!(
            "OPTIONS * HTTP/1.1\r\nHost: {NAME}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        ));
        let (status, head, body) = answer(&mut client).expect("an answer");
        assert_eq!(status, 200, "{protocol}: {head}");
        let body = String::from_utf8(body).unwrap().to_ascii_lowercase();
        assert!(
            !body.contains("upgrade") && body.contains("\"target\": \"*\""),
            "{protocol}: {body}"
        );
    }
    assert!(!python.has_complained());
}

#[test]
fn or_on_in_clear_where_that_is_wanted() {
    let (_stage, _python, front) = set("forward: true", "");
    let answer = curl(None, front.address(1), "http://anything.example:PORT/x", &[]);
    let told = answer.told();
    assert_eq!(told.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(told.0["target"], "/x");
    let challenge = curl(
        None,
        front.address(1),
        "http://anything.example:PORT/.well-known/acme-challenge/x",
        &[],
    );
    assert_eq!(challenge.status, 200, "somebody behind us may have asked for it");
}

#[test]
fn challenges_that_there_are_not_are_not_found() {
    let (_stage, _python, front) = set("", "");
    let url = format!("http://{NAME}:PORT/.well-known/acme-challenge/x");
    assert_eq!(curl(None, front.address(1), &url, &[]).status, 404);
}

#[test]
fn without_https_there_is_nowhere_to_send_anybody() {
    let (stage, python) = (Stage::set(), Python::start());
    let config = stage.config(&format!("w: {{ {} }}", at(python.address)), &clear(""));
    let front = Front::start(&config);
    assert_eq!(curl(None, front.address(0), "http://anything.example:PORT/x", &[]).status, 200);
}

#[test]
fn browsers_are_told_to_stay_with_tls() {
    let (stage, _python, front) = set("", "hsts: 180d");
    let field = |url: &str, more: &[&str]| {
        let answer = get(&stage, front.address(0), url, more);
        answer.field("strict-transport-security").map(str::to_owned)
    };
    let expected = Some("max-age=15552000".to_owned());
    assert_eq!(field(&format!("{NAME}:PORT/"), &["--http2"]), expected);
    assert_eq!(field(&format!("{NAME}:PORT/"), &["--http1.1"]), expected);
    assert_eq!(
        field(&format!("{NAME}:PORT/"), &["-H", "Host: elsewhere.example"]),
        expected,
        "also with a refusal"
    );
}
