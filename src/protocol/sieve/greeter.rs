//! Speaks with a client before TLS.

use super::{
    BEGIN_TLS, ENCRYPT_NEEDED, HAS_NO_ARGUMENTS, NOT_AVAILABLE, SYNTAX, UNKNOWN, capability,
    syntax::{Frame, Token, frame, push_string},
};
use crate::protocol::{
    Dialogue, Greeted, Learned, Next, Offer, Refusal, line::is_foreign, seam::Errors,
};

/// The non-authenticated state of RFC 5804 §2 as far as it can go without a backend.
#[derive(Debug)]
pub struct Greeter<'a> {
    learned: &'a Learned,
    offer: Offer,
    errors: Errors,
}

impl<'a> Greeter<'a> {
    /// A greeter that shows what was learned of the backend.
    #[must_use]
    pub fn new(learned: &'a Learned, offer: Offer) -> Self {
        Self { learned, offer, errors: Errors::default() }
    }

    /// `None`: the command is not for us to answer.
    fn command(
        &mut self,
        verb: &[u8],
        arguments: &[Token<'_>],
        out: &mut Vec<u8>,
    ) -> Option<Next<Greeted>> {
        Some(match (verb, arguments) {
            (b"STARTTLS", _) if !self.offer.starttls => self.errors.answer(NOT_AVAILABLE, out),
            (b"STARTTLS", []) => {
                out.extend_from_slice(BEGIN_TLS);
                Next::End(Greeted::StartTls)
            }
            (b"STARTTLS", _) => self.errors.answer(HAS_NO_ARGUMENTS, out),
            (b"CAPABILITY", []) => {
                capability::list(self.learned, self.offer, out);
                Next::Read
            }
            (b"NOOP", []) => {
                out.extend_from_slice(b"OK \"Done\"\r\n");
                Next::Read
            }
            (b"NOOP", [tag]) if tag.string().is_some() => {
                // RFC 5804 §2.13: the string comes back in a TAG code.
                out.extend_from_slice(b"OK (TAG ");
                push_string(tag.string().unwrap_or_default(), out);
                out.extend_from_slice(b") \"Done\"\r\n");
                Next::Read
            }
            (b"LOGOUT", []) => {
                out.extend_from_slice(b"OK \"Logout completed\"\r\n");
                Next::End(Greeted::Closed)
            }
            _ if self.offer.proceed => return None,
            (b"AUTHENTICATE", _) => self.errors.answer(ENCRYPT_NEEDED, out),
            _ => self.errors.answer(UNKNOWN, out),
        })
    }
}

impl Dialogue for Greeter<'_> {
    type End = Greeted;

    fn start(&mut self, out: &mut Vec<u8>) {
        capability::list(self.learned, self.offer, out);
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Greeted>) {
        if is_foreign(input) {
            return (0, Next::End(Greeted::Refused(Refusal::Unframeable)));
        }
        match frame(input) {
            Frame::Incomplete => (0, Next::Read),
            Frame::Ambiguous => (0, Next::End(Greeted::Refused(Refusal::Unframeable))),
            Frame::Malformed { taken } => (taken, self.errors.answer(SYNTAX, out)),
            Frame::Whole { taken, tokens } => {
                match tokens.split_first().and_then(|(t, rest)| Some((t.word()?, rest))) {
                    None => (taken, self.errors.answer(SYNTAX, out)),
                    Some((verb, arguments)) => match self.command(&verb, arguments, out) {
                        Some(next) => (taken, next),
                        None => (0, Next::End(Greeted::Clear(Vec::new()))),
                    },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    const REQUIRED: Offer = Offer { starttls: true, proceed: false, login: false };
    const LIST: &str = "\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n\"SIEVE\" \"fileinto reject\"\r\n\"SASL\" \"\"\r\n\"VERSION\" \"1.0\"\r\n\"STARTTLS\"\r\nOK \"Dovecot ready.\"\r\n";

    fn learned() -> &'static Learned {
        let capabilities = [
            "IMPLEMENTATION Dovecot Pigeonhole",
            "SIEVE fileinto reject",
            "SASL PLAIN",
            "VERSION 1.0",
        ];
        Box::leak(Box::new(Learned {
            banner: "Dovecot ready.".into(),
            capabilities: capabilities.map(str::to_owned).into(),
        }))
    }

    #[test]
    fn m1_m2_m5_m6_m12_capabilities_then_starttls_and_nothing_behind_it() {
        dialogue(
            || Greeter::new(learned(), REQUIRED),
            &[
                Talk::Front(LIST),
                Talk::Peer("NOOP \"a\"\r\nnoop\r\nSTARTTLS 1\r\nstarttls\r\nNOOP\r\n"),
                Talk::Front(
                    "OK (TAG \"a\") \"Done\"\r\nOK \"Done\"\r\nNO \"STARTTLS has no arguments\"\r\nOK \"Begin TLS negotiation now\"\r\n",
                ),
            ],
            &Greeted::StartTls,
            b"NOOP\r\n",
        );
    }

    #[test]
    fn m8_m9_literals_are_data_and_login_wants_tls() {
        dialogue(
            || Greeter::new(learned(), REQUIRED),
            &[
                Talk::Front(LIST),
                Talk::Peer(
                    "AUTHENTICATE \"PLAIN\" {10+}\r\nSTARTTLS\r\n\r\nPUTSCRIPT \"a\" {10+}\r\nSTARTTLS\r\n\r\nLOGOUT\r\n",
                ),
                Talk::Front(
                    "NO (ENCRYPT-NEEDED) \"Begin TLS with STARTTLS first\"\r\nNO \"Unknown command\"\r\nOK \"Logout completed\"\r\n",
                ),
            ],
            &Greeted::Closed,
            b"",
        );
    }
}
