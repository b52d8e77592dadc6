use super::*;

fn seen(protocol: Protocol, identity: Identity, said: &str, fails: Option<Trouble>) -> Seen {
    let end = fails.map_or(Ok(Learned::default()), Err);
    Seen { in_clear: said.into(), end, ..Seen::none(protocol, identity) }
}

fn kinds(seen: &Seen) -> Vec<Kind> {
    diagnose(seen).iter().map(|diagnosis| diagnosis.kind).collect()
}

/// One complaint is that of an old server, about our own command; several are about a header's lines.
#[test]
fn one_complaint_is_not_about_the_header() {
    use Protocol::{Imap, Pop3, Sieve, Smtp};
    for (protocol, old, deaf) in [
        (Smtp, "220 a\r\n502 what?\r\n", "220 a\r\n500 what?\r\n500 what?\r\n221 bye\r\n"),
        (Imap, "* OK a\r\n1 BAD what?\r\n", "* OK a\r\n* BAD a\r\nQUIT BAD a\r\n"),
        (Pop3, "+OK a\r\n-ERR what?\r\n", "+OK a\r\n-ERR b\r\n-ERR c\r\n+OK\r\n"),
        (Sieve, "OK \"a\"\r\nNO \"b\"\r\n", "OK \"a\"\r\nNO \"b\"\r\nNO \"b\"\r\nOK\r\n"),
    ] {
        assert_eq!(kinds(&seen(protocol, Identity::ProxyV2, old, None)), [], "{old}");
        let found = kinds(&seen(protocol, Identity::ProxyV2, deaf, None));
        assert_eq!(found, [Kind::NoProxy], "{deaf}");
        // Without a header, it is not about one.
        assert_eq!(kinds(&seen(protocol, Identity::None, deaf, None)), [], "{deaf}");
    }
}

/// Version 1 is one line, and what complains of it goes on to grant what was asked for.
#[test]
fn a_header_of_one_line_is_one_complaint() {
    use Protocol::{Imap, Pop3, Sieve, Smtp};
    for (protocol, old, deaf) in [
        (Smtp, "220 a\r\n502 what?\r\n221 bye\r\n", "220 a\r\n500 what?\r\n250-mx\r\n"),
        (Imap, "* OK a\r\nc BAD what?\r\n", "* OK a\r\nPROXY BAD what?\r\n* CAPABILITY X\r\n"),
        (Pop3, "+OK a\r\n-ERR what?\r\n+OK bye\r\n", "+OK a\r\n-ERR b\r\n+OK\r\nUSER\r\n.\r\n"),
        (Sieve, "\"SASL\" \"\"\r\nOK\r\nNO \"b\"\r\n", "\"SASL\" \"\"\r\nOK\r\nNO \"b\"\r\nOK\r\n"),
    ] {
        assert_eq!(kinds(&seen(protocol, Identity::ProxyV1, old, None)), [], "{old}");
        let found = kinds(&seen(protocol, Identity::ProxyV1, deaf, None));
        assert_eq!(found, [Kind::NoProxy], "{deaf}");
        assert_eq!(kinds(&seen(protocol, Identity::ProxyV2, deaf, None)), [], "{deaf}");
    }
}

/// Servers that hear somebody speak before they have greeted.
#[test]
fn who_must_not_be_interrupted_takes_the_header_for_that() {
    for said in ["554 SMTP synchronization error\r\n", "521 5.7.1 Protocol error\r\n"] {
        let ill = Trouble::Ill(String::new());
        let seen = seen(Protocol::Smtp, Identity::ProxyV2, said, Some(ill));
        assert_eq!(kinds(&seen), [Kind::NoProxy], "{said}");
    }
    let ill = Trouble::Ill("it refuses with 554 go away".into());
    let seen = seen(Protocol::Smtp, Identity::ProxyV2, "554 go away\r\n", Some(ill));
    assert_eq!(kinds(&seen), [Kind::Ill]);
}

#[test]
fn t29_channel_binding_is_told_and_is_no_trouble() {
    for (protocol, said) in [
        (Protocol::Imap, "* OK\r\n* CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256-PLUS AUTH=PLAIN\r\n"),
        (Protocol::Submission, "220 a\r\n250-a\r\n250 AUTH PLAIN SCRAM-SHA-256-PLUS\r\n"),
        (Protocol::Pop3, "+OK\r\n+OK\r\nSASL PLAIN SCRAM-SHA-256-PLUS\r\n.\r\n"),
        (Protocol::Sieve, "\"SASL\" \"PLAIN SCRAM-SHA-256-PLUS\"\r\nOK\r\n"),
    ] {
        let found = diagnose(&seen(protocol, Identity::ProxyV2, said, None));
        let [diagnosis] = &found[..] else { panic!("{found:?}") };
        assert_eq!((diagnosis.kind, diagnosis.severity), (Kind::ChannelBinding, Severity::Note));
        assert!(diagnosis.text.contains("SCRAM-SHA-256-PLUS"), "{}", diagnosis.text);
    }
}

/// A list without a plain password, and with STARTTLS: how bad it is depends on what else there is.
#[test]
fn who_wants_starttls_first_may_offer_other_ways() {
    for (protocol, said, severity) in [
        (Protocol::Submission, "220 a\r\n250-a\r\n250 STARTTLS\r\n", Some(Severity::Error)),
        (
            Protocol::Submission,
            "220 a\r\n250-a\r\n250-STARTTLS\r\n250 AUTH CRAM-MD5\r\n",
            Some(Severity::Warning),
        ),
        (Protocol::Submission, "220 a\r\n250-a\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n", None),
        (Protocol::Smtp, "220 a\r\n250-a\r\n250 STARTTLS\r\n", None),
        (Protocol::Imap, "* OK\r\n* CAPABILITY STARTTLS LOGINDISABLED\r\n", Some(Severity::Error)),
        (Protocol::Imap, "* OK\r\n* CAPABILITY STARTTLS\r\n", None),
        (Protocol::Pop3, "+OK user\r\n+OK\r\nSTLS\r\n.\r\n", Some(Severity::Error)),
        (Protocol::Pop3, "+OK\r\n+OK\r\nSTLS\r\nUSER\r\n.\r\n", None),
        (Protocol::Sieve, "\"SASL\" \"\"\r\n\"STARTTLS\"\r\nOK\r\n", Some(Severity::Error)),
    ] {
        let found = diagnose(&seen(protocol, Identity::None, said, None));
        assert_eq!(found.first().map(|d| d.severity), severity, "{said}: {found:?}");
    }
}

#[test]
fn tls_is_told_from_clear_by_its_first_octets() {
    let closed = || Some(Trouble::Closed("connection closed".into()));
    let alert = "\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{a}";
    let found = kinds(&seen(Protocol::Imap, Identity::ProxyV2, alert, closed()));
    assert_eq!(found, [Kind::SpeaksTls]);
    let silent = seen(Protocol::Imap, Identity::None, "", closed());
    assert_eq!(kinds(&silent), [Kind::WantsProxy]);
    let silent = seen(Protocol::Imap, Identity::ProxyV2, "", closed());
    assert_eq!(kinds(&silent), [Kind::Silent]);
    let web = seen(Protocol::Imap, Identity::None, "HTTP/1.1 400 Bad\r\n", closed());
    assert_eq!(kinds(&web), [Kind::WrongProtocol]);
}

/// Who says nothing may expect a header, or TLS; once a ClientHello was tried, it is known which.
#[test]
fn a_silent_one_is_sounded() {
    let closed = || Some(Trouble::Closed("closed".into()));
    let text = |identity, trouble, answers_tls| {
        let seen = Seen { answers_tls, ..seen(Protocol::Imap, identity, "", trouble) };
        let found = diagnose(&seen).remove(0);
        (found.kind, found.text)
    };
    for (identity, kind) in [(Identity::None, Kind::WantsProxy), (Identity::ProxyV2, Kind::Silent)]
    {
        let (found, said) = text(identity, closed(), Some(true));
        assert_eq!(found, Kind::SpeaksTls);
        assert!(said.contains("tls: implicit") && !said.contains('?'), "{said}");
        let (found, said) = text(identity, closed(), Some(false));
        assert_eq!(found, kind);
        assert!(!said.contains("tls: implicit") && said.contains("MAXPERIP"), "{said}");
        let (found, said) = text(identity, closed(), None);
        assert_eq!(found, kind);
        assert!(said.contains("tls: implicit") && said.contains("PROXY"), "{said}");
        let silent = Some(Trouble::Silent(Duration::from_secs(1)));
        let (_, said) = text(identity, silent, Some(false));
        assert!(!said.contains("MAXPERIP"), "it has taken the connection: {said}");
    }
}
