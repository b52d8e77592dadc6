//! Speaks with a client before TLS.

use super::{BEGIN_TLS, NO_CREDENTIALS, UNKNOWN, capability, command};
use crate::protocol::{
    Dialogue, Greeted, Learned, Next, Offer, Refusal,
    line::{is_foreign, line, timeless},
    seam::Errors,
};

/// The AUTHORIZATION state of RFC 1939 §4 as far as it can go without a backend.
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

    fn capabilities(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"+OK Capability list follows\r\n");
        let theirs =
            self.learned.capabilities.iter().filter_map(|c| capability::edit(c, self.offer));
        for line in theirs.chain(capability::own(self.offer).map(str::to_owned)) {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

impl Dialogue for Greeter<'_> {
    type End = Greeted;

    fn start(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("+OK {}\r\n", timeless(&self.learned.banner)).as_bytes());
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Greeted>) {
        if is_foreign(input) {
            return (0, Next::End(Greeted::Refused(Refusal::Unframeable)));
        }
        let Some(line) = line(input) else { return (0, Next::Read) };
        let (verb, arguments) = command(line.text);
        let next = match verb.as_slice() {
            b"STLS" if !self.offer.starttls => self.errors.answer(UNKNOWN, out),
            b"STLS" if !arguments.is_empty() => {
                self.errors.answer(b"-ERR STLS has no arguments\r\n", out)
            }
            b"STLS" => {
                out.extend_from_slice(BEGIN_TLS);
                Next::End(Greeted::StartTls)
            }
            b"CAPA" => {
                self.capabilities(out);
                Next::Read
            }
            b"NOOP" => {
                out.extend_from_slice(b"+OK\r\n");
                Next::Read
            }
            b"QUIT" => {
                out.extend_from_slice(b"+OK Logging out\r\n");
                Next::End(Greeted::Closed)
            }
            _ if self.offer.proceed => return (0, Next::End(Greeted::Clear(Vec::new()))),
            b"APOP" | b"AUTH" | b"PASS" | b"USER" => self.errors.answer(NO_CREDENTIALS, out),
            _ => self.errors.answer(UNKNOWN, out),
        };
        (line.taken, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::seam::MOST_ERRORS;
    use crate::protocol::transcript::{Talk, dialogue};

    const REQUIRED: Offer = Offer { starttls: true, proceed: false, login: false };

    fn learned() -> Learned {
        Learned {
            banner: "Dovecot ready. <1f7a.1.5e@host>".into(),
            capabilities: ["CAPA", "TOP", "UIDL", "USER", "SASL PLAIN LOGIN"]
                .map(str::to_owned)
                .into(),
        }
    }

    #[test]
    fn p1_p4_p7_p8_tls_is_offered_and_no_login() {
        dialogue(
            || Greeter::new(Box::leak(Box::new(learned())), REQUIRED),
            &[
                Talk::Front("+OK Dovecot ready.\r\n"),
                Talk::Peer("capa\r\n"),
                Talk::Front("+OK Capability list follows\r\nCAPA\r\nTOP\r\nUIDL\r\nSTLS\r\n.\r\n"),
                Talk::Peer("USER demo\r\n"),
                Talk::Front(
                    "-ERR Begin TLS with STLS first, credentials are not taken in clear\r\n",
                ),
                Talk::Peer("STLS now\r\n"),
                Talk::Front("-ERR STLS has no arguments\r\n"),
                Talk::Peer("STLS\r\n"),
                Talk::Front("+OK Begin TLS negotiation now\r\n"),
            ],
            &Greeted::StartTls,
            b"",
        );
    }

    #[test]
    fn p6_what_follows_stls_is_left_alone() {
        dialogue(
            || Greeter::new(Box::leak(Box::new(learned())), REQUIRED),
            &[
                Talk::Front("+OK Dovecot ready.\r\n"),
                Talk::Peer("STLS\r\nCAPA\r\n"),
                Talk::Front("+OK Begin TLS negotiation now\r\n"),
            ],
            &Greeted::StartTls,
            b"CAPA\r\n",
        );
    }

    #[test]
    fn a_client_that_may_goes_on_in_clear_with_its_command_untouched() {
        let offer = Offer { starttls: true, proceed: true, login: true };
        dialogue(
            || Greeter::new(Box::leak(Box::new(learned())), offer),
            &[Talk::Front("+OK Dovecot ready.\r\n"), Talk::Peer("USER demo\r\n")],
            &Greeted::Clear(Vec::new()),
            b"USER demo\r\n",
        );
    }

    #[test]
    fn p11_errors_do_not_close_but_twenty_do() {
        let (learned, mut out) = (learned(), Vec::new());
        let mut greeter = Greeter::new(&learned, REQUIRED);
        for _ in 1..MOST_ERRORS {
            assert_eq!(greeter.step(b"XYZZY\r\n", &mut out), (7, Next::Read));
        }
        assert_eq!(
            greeter.step(b"XYZZY\r\n", &mut out),
            (7, Next::End(Greeted::Refused(Refusal::TooManyErrors)))
        );
    }
}
