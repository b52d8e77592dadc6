//! A script goes in through 4190, is listed, made active, and comes back as it was.

use crate::{
    clients::{self, How, Protocol, Talk},
    dovecot::Ssl,
    stage::Stage,
};

/// M1–M5: Python checks the capabilities on both sides of the handshake on its way.
#[test]
fn through_starttls_and_implicit_tls() {
    for ssl in [Ssl::No, Ssl::Required] {
        let stage = Stage::set(ssl);
        for how in [How::Starttls, How::Implicit] {
            let kept = clients::python(&stage.door(Protocol::Sieve, how), "127.0.0.5");
            assert!(kept.starts_with(b"require"), "{kept:?}");
        }
    }
}

/// M8, M14: the words of the protocol inside a literal are a script, not commands.
#[test]
fn by_hand_with_openssl_and_gnutls() {
    let stage = Stage::set(Ssl::Yes);
    let door = stage.door(Protocol::Sieve, How::Starttls);
    for mut talk in [Talk::openssl(&door, "127.0.0.5"), Talk::gnutls(&door)] {
        // RFC 5804 §2.2: the capabilities come unasked.
        let unasked = talk.hear("OK");
        assert!(unasked.contains("\"SASL\" \"PLAIN") && !unasked.contains("STARTTLS"), "{unasked}");
        talk.say("AUTHENTICATE \"PLAIN\" \"AGFsaWNlAHNlY3JldA==\"", "OK");
        let script = "# STARTTLS\r\n# LOGOUT\r\nkeep;\r\n";
        talk.say(&format!("PUTSCRIPT \"other\" {{{}+}}\r\n{script}", script.len()), "OK");
        let listed = talk.say("LISTSCRIPTS", "OK");
        assert_eq!(listed.lines().next(), Some("\"other\""));
        let got = talk.say("GETSCRIPT \"other\"", "OK");
        assert!(got.contains(script), "{got}");
        talk.say("LOGOUT", "OK");
        talk.end();
    }
}
