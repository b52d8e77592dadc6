//! What mail programs and mail servers ask of a domain's web host says what the listeners are.

use crate::{
    common::{front::Front, tls::NAME},
    curl::{curl, get},
    servers::Python,
    stage::{Stage, at, tls},
};

const ALL: &str = "mta_sts: { mode: enforce, max_age: 1d, mx: [mx1.example.org, \"*.mx.example.org\"] }, autoconfig: true, autodiscover: true, apple_profile: true";

/// A front with listeners for mail that nobody is behind.
fn set(lines: &str) -> (Stage, Python, Front) {
    let (stage, python) = (Stage::set(), Python::start());
    stage.certify(&["*.example.net", "example.net"]);
    let mail = |port: &str, protocol: &str, tls: &str| {
        format!(
            "  - {{ bind: \"127.0.0.1:{port}\", protocol: {protocol}, tls: {tls}, backend: w }}\n"
        )
    };
    let listeners = format!(
        "{}{}{}{}{}",
        tls(lines),
        mail("0", "imap", "implicit"),
        mail("0", "submission", "starttls"),
        mail("0", "pop3", "none"),
        mail("0", "smtp", "starttls-optional"),
    );
    let config = stage.config(&format!("w: {{ {} }}", at(python.address)), &listeners);
    (stage, python, Front::start(&config))
}

fn ask(stage: &Stage, front: &Front, url: &str, more: &[&str]) -> (u16, String, String) {
    let answer = get(stage, front.address(0), url, more);
    let kind = answer.field("content-type").unwrap_or_default().to_owned();
    (answer.status, kind, String::from_utf8(answer.body).unwrap())
}

#[test]
fn the_policy_for_senders() {
    let (stage, _python, front) = set(ALL);
    let url = "mta-sts.example.net:PORT/.well-known/mta-sts.txt";
    let (status, kind, text) = ask(&stage, &front, url, &[]);
    assert_eq!((status, kind.as_str()), (200, "text/plain"));
    assert_eq!(
        text,
        "version: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmx: *.mx.example.org\r\nmax_age: 86400\r\n"
    );
    assert_eq!(ask(&stage, &front, url, &["-X", "POST"]).0, 405);
    // Elsewhere it is the backend's affair.
    let (_, _, other) = ask(&stage, &front, &format!("{NAME}:PORT/.well-known/mta-sts.txt"), &[]);
    assert!(other.contains("\"target\""), "{other}");
}

#[test]
fn thunderbird() {
    let (stage, _python, front) = set(ALL);
    let (imap, submission) = (front.port(1), front.port(2));
    for url in [
        "autoconfig.example.net:PORT/mail/config-v1.1.xml?emailaddress=a%40example.net",
        "example.net:PORT/.well-known/autoconfig/mail/config-v1.1.xml",
    ] {
        let (status, kind, text) = ask(&stage, &front, url, &[]);
        assert_eq!(status, 200);
        assert!(kind.starts_with("text/xml"), "{kind}");
        let xml = text.replace(['\n', ' '], "");
        assert!(xml.contains("<domain>example.net</domain>"), "{xml}");
        assert!(xml.contains(&format!("<incomingServertype=\"imap\"><hostname>mail.example.org</hostname><port>{imap}</port><socketType>SSL</socketType>")), "{xml}");
        assert!(xml.contains(&format!("<outgoingServertype=\"smtp\"><hostname>mail.example.org</hostname><port>{submission}</port><socketType>STARTTLS</socketType>")), "{xml}");
        assert!(!xml.contains("pop3"), "what has no TLS is not recommended: {xml}");
        is_xml(&stage, &text);
    }
}

#[test]
fn outlook() {
    let (stage, _python, front) = set(ALL);
    let imap = front.port(1);
    let request = |address: &str, schema: &str| {
        format!(
            "<?xml version=\"1.0\"?><Autodiscover><Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>{schema}</AcceptableResponseSchema></Request></Autodiscover>"
        )
    };
    let outlook = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";
    let mobile =
        "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006";
    let url = "autodiscover.example.net:PORT/AutoDiscover/AutoDiscover.xml";
    let (status, kind, text) =
        ask(&stage, &front, url, &["-d", &request("a@example.net", outlook)]);
    assert_eq!(status, 200);
    assert!(kind.starts_with("text/xml"), "{kind}");
    let xml = text.replace(['\n', ' '], "");
    assert!(xml.contains(&format!("<Type>IMAP</Type><Server>mail.example.org</Server><Port>{imap}</Port><LoginName>a@example.net</LoginName>")), "{xml}");
    assert!(xml.contains("<Type>SMTP</Type>") && !xml.contains("POP"), "{xml}");
    is_xml(&stage, &text);
    let plain = request("a&amp;b&#x2B;&#39;c@example.net", outlook);
    let prefixed = plain.replace("<E", "<a:E").replace("</E", "</a:E");
    let with_attributes = plain.replace("<EMailAddress>", "<EMailAddress\txml:lang=\"en\">\n ");
    for body in [plain, prefixed, with_attributes] {
        let (_, _, text) = ask(&stage, &front, url, &["-d", &body]);
        let login = "<LoginName>a&amp;b+&apos;c@example.net</LoginName>";
        assert!(text.contains(login), "{body}: {text}");
        is_xml(&stage, &text);
    }
    for (body, code) in [
        (request("a@example.net", mobile), "601"),
        (request("a&b@example.net", outlook), "600"),
        (request("a&nbsp;b@example.net", outlook), "600"),
        (request("a&#0;b@example.net", outlook), "600"),
        (request("a@example.net<x/>", outlook), "600"),
        (request("<x>", outlook), "600"),
        ("x".to_owned(), "600"),
    ] {
        let (_, _, text) = ask(&stage, &front, url, &["-d", &body]);
        assert!(text.contains(&format!("<ErrorCode>{code}</ErrorCode>")), "{text}");
        is_xml(&stage, &text);
    }
    assert_eq!(ask(&stage, &front, url, &[]).0, 405);
    let long = "x".repeat(100_000);
    let file = stage.folder.write("long", long);
    let more = ["--http1.1", "-d", &format!("@{}", file.display())];
    assert_eq!(ask(&stage, &front, url, &more).0, 413);
}

#[test]
fn apple() {
    let (stage, _python, front) = set(ALL);
    let imap = front.port(1);
    let (status, kind, text) =
        ask(&stage, &front, "example.net:PORT/apple.mobileconfig?email=%61%26%40example.net", &[]);
    assert_eq!(status, 200);
    assert!(kind.starts_with("application/x-apple-aspen-config"), "{kind}");
    assert!(text.contains("<key>EmailAddress</key><string>a&amp;@example.net</string>"), "{text}");
    assert!(
        text.contains(&format!("<key>IncomingMailServerPortNumber</key><integer>{imap}</integer>")),
        "{text}"
    );
    let file = stage.folder.write("profile", &text);
    let parsed = std::process::Command::new("python3")
        .args(["-c", "import plistlib, sys; print(plistlib.load(open(sys.argv[1], 'rb'))['PayloadContent'][0]['EmailAccountType'])"])
        .arg(file)
        .output()
        .expect("python3 runs");
    assert_eq!(String::from_utf8_lossy(&parsed.stdout).trim(), "EmailTypeIMAP", "{parsed:?}");
}

#[test]
fn nothing_of_it_where_it_is_not_switched_on() {
    let (stage, _python, front) = set("");
    for url in [
        "mta-sts.example.net:PORT/.well-known/mta-sts.txt",
        "autoconfig.example.net:PORT/mail/config-v1.1.xml",
        "example.net:PORT/apple.mobileconfig",
        "example.net:PORT/autodiscover/autodiscover.xml",
    ] {
        let answer = curl(Some(&stage.root()), front.address(0), &format!("https://{url}"), &[]);
        assert_eq!(answer.told().0["method"], "GET", "the backend has it");
    }
}

fn is_xml(stage: &Stage, text: &str) {
    let file = stage.folder.write("answer.xml", text);
    let parsed = std::process::Command::new("python3")
        .args(["-c", "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])"])
        .arg(file)
        .output()
        .expect("python3 runs");
    assert!(parsed.status.success(), "{text}: {parsed:?}");
}
