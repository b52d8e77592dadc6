//! Alerts: what a client ends its handshake with is told in words that fit the certificate it was shown,
//! in its session's line and, once an hour and then counted, in one of its own. What we end a handshake
//! with is told as well.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    common::{
        ca::{Ca, Kind},
        front::Front,
        hello::{Answer, Hello},
        mailhost::{Host, Talk},
        peer::connect,
        s_client::s_client,
        tls::{Client, NAME},
    },
    stage::Stage,
};

/// A client that sends the alert of its choice, in place of its judgement, right after the
/// handshake, or once it is greeted: GnuTLS,
/// because it lets one.
const SCRIPT: &str = r#"
import ctypes, socket, sys
port, name, priority, alerts, moment = sys.argv[1:]
tls = ctypes.CDLL("libgnutls.so.30")
def ok(code):
    if code < 0: sys.exit("GnuTLS: %d" % code)
verdict = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda _: -43 if moment == "during" else 0)
def send(alert):
    sock = socket.create_connection(("127.0.0.1", int(port)))
    session, credentials = ctypes.c_void_p(), ctypes.c_void_p()
    ok(tls.gnutls_init(ctypes.byref(session), 2))
    ok(tls.gnutls_certificate_allocate_credentials(ctypes.byref(credentials)))
    ok(tls.gnutls_credentials_set(session, 1, credentials))
    ok(tls.gnutls_priority_set_direct(session, priority.encode(), None))
    if name: ok(tls.gnutls_server_name_set(session, 1, name.encode(), ctypes.c_size_t(len(name))))
    tls.gnutls_transport_set_int2(session, sock.fileno(), sock.fileno())
    tls.gnutls_session_set_verify_function(session, verdict)
    while (code := tls.gnutls_handshake(session)) == -52: pass
    if (code == 0) != (moment != "during"): sys.exit("the handshake: %d" % code)
    if moment == "greeted":
        while tls.gnutls_record_recv(session, ctypes.create_string_buffer(4096), 4096) < 0: pass
    ok(tls.gnutls_alert_send(session, 2, alert))
    try:
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096): pass
    except OSError: pass
for alert in alerts.split(","): send(int(alert))
"#;

/// A session for each of these alerts: what is said of them, in the same order.
fn send_alerts(
    front: &Front,
    name: &str,
    version: &str,
    alerts: &[u8],
    moment: &str,
) -> Vec<Value> {
    let mark = front.mark();
    let list = alerts.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
    let output = Command::new("python3")
        .args(["-c", SCRIPT, &front.port(0).to_string(), name])
        .args([&format!("NORMAL:-VERS-ALL:+VERS-TLS{version}"), &list, moment])
        .stdin(Stdio::null())
        .output()
        .expect("apt-get install python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = |alert: &u8| {
        front.wait(&format!("alert {alert} is told"), mark, |line| {
            let is_it = |said: &str| said.ends_with(&format!("({alert})"));
            line["message"] == "session" && line["alert"].as_str().is_some_and(is_it)
        })
    };
    alerts.iter().map(summary).collect()
}

fn send_alert(front: &Front, name: &str, version: &str, alert: u8, moment: &str) -> Value {
    send_alerts(front, name, version, &[alert], moment).remove(0)
}

fn end(summary: &Value) -> &str {
    summary["end"].as_str().expect("an end")
}

const CHAIN: &str = "we sent 2 certificates, up to 'Test Root'; the chain is complete";

/// Each alert by both versions, in place of the handshake's end and behind it.
#[test]
fn in_words_for_each_alert() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let covered = format!("it asked for {NAME}, which the certificate covers");
    let alerts = [
        (40, "handshake_failure", "the client finds no cipher", ""),
        (42, "bad_certificate", "damaged, badly signed, or for another name", covered.as_str()),
        (43, "unsupported_certificate", "cannot use this kind", "old clients want RSA"),
        (44, "certificate_revoked", "is revoked", CHAIN),
        (45, "certificate_expired", "has expired", "the client's clock is wrong"),
        (46, "certificate_unknown", "does not accept the certificate", CHAIN),
        (47, "illegal_parameter", "not of the certificate", ""),
        (48, "unknown_ca", "the client does not trust the issuer", CHAIN),
        (49, "access_denied", "has a rule of its own", covered.as_str()),
        (51, "decrypt_error", "could not verify our signature", ""),
        (70, "protocol_version", "version of TLS", ""),
        (71, "insufficient_security", "stronger ciphers", CHAIN),
        (80, "internal_error", "the certificate is not at fault", ""),
        (112, "unrecognized_name", "for its name", covered.as_str()),
        (116, "certificate_required", "as if it were the server", ""),
        (120, "no_application_protocol", "by ALPN", ""),
    ];
    for (version, moment) in [
        ("1.2", "during"),
        ("1.3", "during"),
        ("1.2", "finished"),
        ("1.3", "finished"),
        ("1.2", "greeted"),
        ("1.3", "greeted"),
    ] {
        let numbers = alerts.map(|(number, ..)| number);
        let summaries = send_alerts(&front, NAME, version, &numbers, moment);
        for ((number, name, meaning, more), summary) in alerts.iter().zip(summaries) {
            let what = format!("{number}, TLS {version}, {moment}: {summary:#}");
            assert_eq!(summary["alert"], format!("{name}({number})"), "{what}");
            let end = end(&summary);
            let phase = match moment {
                "during" => "handshake: ",
                "greeted" => "login: ",
                // It depends on whether it comes in one segment with the client's Finished.
                _ => "",
            };
            assert!(end.starts_with(phase), "{what}");
            assert!(end.contains(&format!(": {name}({number}): ")), "{what}");
            assert!(end.contains(meaning) && end.contains(more), "{what}");
            assert_eq!((&summary["certificate"], &summary["sni"]), (&NAME.into(), &NAME.into()));
        }
    }
    // One that says nothing is told by its number, and is no case for a line of its own.
    let mark = front.mark();
    let summary = send_alert(&front, NAME, "1.3", 109, "during");
    assert!(end(&summary).contains("missing_extension(109)"), "{summary:#}");
    let summary = send_alert(&front, NAME, "1.3", 99, "during");
    assert!(end(&summary).contains("alert(99)"), "{summary:#}");
    assert!(refusals(&front, mark).is_empty());
}

/// The words fit this certificate and this chain.
#[test]
fn for_this_certificate_and_this_chain() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let door = ("imap", "implicit", host.backend.address);
    let names = ["a.example.org", "*.b.example.org", "c", "d", "e", "f"];
    let lone = stage.ca.leaf(&names, Kind::Ecdsa);
    stage.folder.write("live/lone/lone.pem", format!("{}{}", lone.cert, lone.key));
    let old = Ca::new("Old").leaf_with(&["old.example.org"], Kind::Rsa, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 2, 29);
    });
    stage.folder.write("live/old/old.pem", format!("{}{}{}", old.cert, old.key, old.chain));
    let front = stage.front(&[door], "");
    let said = |name: &str, alert: u8| {
        let summary = send_alert(&front, name, "1.3", alert, "during");
        end(&summary).split_once(": ").expect("a phase").1.to_owned()
    };
    assert_eq!(
        said(NAME, 48),
        format!("unknown_ca(48): the client does not trust the issuer; {CHAIN}")
    );
    // The authority beside it is in another folder, and is found there: the chain is whole.
    assert!(said("a.example.org", 48).ends_with(CHAIN));
    assert!(said("old.example.org", 45).ends_with("; ours has, on 2020-02-29: renew it"));
    assert!(said("old.example.org", 43).contains("its key is RSA"));
    assert!(said("old.example.org", 48).contains("up to 'Old Root'"));
    assert!(
        said("x.b.example.org", 42)
            .contains("asked for x.b.example.org, which the certificate covers")
    );
    let names = format!("it asked for nobody.example.org, and the certificate is for {NAME}; ");
    assert!(said("nobody.example.org", 42).contains(&names));
    let names = format!("it asked for no name, and the certificate is for {NAME}; ");
    assert!(said("", 46).contains(&names));

    std::fs::remove_dir_all(stage.live(NAME)).unwrap();
    std::fs::remove_dir_all(stage.live("old")).unwrap();
    let front = stage.front(&[door], "");
    let summary = send_alert(&front, "a.example.org", "1.3", 48, "during");
    assert_eq!(
        end(&summary),
        "handshake: unknown_ca(48): the client does not find the issuer; we sent 1 certificate, up to 'Test CA 1'; the chain is not complete: put what is missing beside the certificate, or into `intermediates`"
    );
    let summary = send_alert(&front, "", "1.3", 42, "during");
    assert!(end(&summary).contains("is for a.example.org, *.b.example.org, c, d, e, …"));
}

/// Of two certificates for one name, the one that the client was shown.
#[test]
fn for_the_one_that_was_shown() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    stage.ca.leaf(&[NAME], Kind::Rsa).certbot(&stage.live("rsa"));
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    for (version, kind, words) in [
        ("1.2:-KX-ALL:+ECDHE-RSA", "RSA", "its key is RSA"),
        ("1.2:-KX-ALL:+ECDHE-ECDSA", "ECDSA", "its key is ECDSA"),
        ("1.3:-SIGN-ALL:+SIGN-RSA-PSS-RSAE-SHA256", "RSA", "its key is RSA"),
        ("1.3", "ECDSA", "its key is ECDSA"),
    ] {
        let summary = send_alert(&front, NAME, version, 43, "during");
        assert!(end(&summary).contains(words), "{version}, {kind}: {summary:#}");
    }
}

/// As openssl goes about it, which sees for itself.
#[test]
fn with_openssl_as_well() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let expired = stage.ca.leaf_with(&["old.example.org"], Kind::Ecdsa, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    expired.certbot(&stage.live("old"));
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let root = stage.ca.write_root(stage.folder.path()).display().to_string();
    let other = stage.folder.write("other.pem", Ca::new("Other").root_pem()).display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        for (arguments, alert) in [
            (["-CAfile", &other, "-servername", NAME, "-verify_hostname", NAME], 48),
            (["-CAfile", &root, "-servername", NAME, "-verify_hostname", "b.example.org"], 42),
            (["-CAfile", &root, "-servername", "old.example.org", "-purpose", "sslserver"], 45),
        ] {
            let mark = front.mark();
            s_client(
                front.address(0),
                &[&arguments[..], &[version, "-verify_return_error"]].concat(),
            );
            let summary = front.summary(mark);
            let is_alert =
                summary["alert"].as_str().is_some_and(|a| a.ends_with(&format!("({alert})")));
            assert!(is_alert, "{version}, {alert}: {summary:#}");
        }
        let mark = front.mark();
        let control = s_client(front.address(0), &["-CAfile", &root, version]);
        assert!(control.is_served(), "the control");
        front.summary(mark);
    }
}

/// The lines of their own since then.
fn refusals(front: &Front, mark: usize) -> Vec<Value> {
    let is_one =
        |line: &&Value| line["message"].as_str().is_some_and(|m| m.starts_with("clients refuse "));
    front.log()[mark..].iter().filter(is_one).cloned().collect()
}

/// Twenty clients are one line, and a number; after a reload it is news again.
#[test]
fn aloud_once_and_then_counted() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    stage.ca.leaf(&["other.example.org"], Kind::Ecdsa).certbot(&stage.live("other"));
    let mut front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let other = stage.folder.write("other.pem", Ca::new("Other").root_pem()).display().to_string();
    let refuse = |front: &Front, name: &str| {
        let arguments = ["-CAfile", &other, "-verify_return_error", "-servername", name];
        let mark = front.mark();
        s_client(front.address(0), &arguments);
        assert_eq!(front.summary(mark)["alert"], "unknown_ca(48)");
    };
    for _ in 0..20 {
        refuse(&front, NAME);
    }
    refuse(&front, "other.example.org");
    let mark = front.mark();
    assert_eq!(front.reload()["message"], "reloaded");
    let lines = refusals(&front, 0);
    let [line, another, rest] = &lines[..] else { panic!("{lines:#?}") };
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"INFO".into(), &"clients refuse the certificate".into())
    );
    assert_eq!(line["listener"], front.address(0).to_string());
    assert_eq!((&line["alert"], &line["certificate"]), (&"unknown_ca(48)".into(), &NAME.into()));
    assert_eq!((&line["sent"], &line["issuer"]), (&2.into(), &"Test Root".into()));
    assert_eq!((&line["complete"], &line["more"]), (&true.into(), &Value::Null));
    assert_eq!(line["meaning"], format!("the client does not trust the issuer; {CHAIN}"));
    assert_eq!(another["certificate"], "other.example.org");
    assert_eq!((&rest["certificate"], &rest["more"]), (&NAME.into(), &19.into()), "at the reload");
    for _ in 0..3 {
        refuse(&front, NAME);
    }
    front.signal(Signal::TERM);
    front.exit();
    let lines = refusals(&front, mark);
    let [_, again, rest] = &lines[..] else { panic!("{lines:#?}") };
    assert_eq!((&again["sent"], &again["more"]), (&2.into(), &Value::Null), "news again");
    assert_eq!(rest["more"], 2, "in the end");
}

/// What we end a handshake with ourselves is told with the alert that was sent.
#[test]
fn also_where_it_is_we_who_refuse() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let door = ("imap", "implicit", host.backend.address);
    let front = Front::start(&stage.config_with(&[(door, "unknown_name: reject")], ""));
    let after = |play: &dyn Fn()| {
        let mark = front.mark();
        play();
        end(&front.summary(mark)).to_owned()
    };
    let shake =
        |client: Client| after(&|| assert!(client.shake(connect(front.address(0))).is_err()));
    assert_eq!(
        shake(stage.client().alpn(&["h2"])),
        "handshake: the client wants by ALPN what is not spoken on this listener; it was sent no_application_protocol(120)"
    );
    let strict = shake(stage.client().asking("b.example.org"));
    assert_eq!(
        strict,
        "handshake: no certificate covers b.example.org, and this listener is strict; it was sent unrecognized_name(112)"
    );
    let hello = |hello: Hello, alert: u8| {
        after(&|| {
            let mut peer = connect(front.address(0));
            peer.send(hello.record());
            assert!(matches!(Answer::read(&mut peer), Answer::Alert(a) if a == alert));
        })
    };
    let old = hello(Hello::default().asking(NAME).version(0x0302), 70);
    assert_eq!(
        old,
        "handshake: the client speaks neither TLS 1.2 nor TLS 1.3; it was sent protocol_version(70)"
    );
    let strange = hello(Hello::default().asking(NAME).schemes(&[0x0203]), 40);
    assert!(strange.ends_with("it was sent handshake_failure(40)"), "{strange}");
}
