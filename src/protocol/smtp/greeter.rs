//! Speaks with a client before TLS.

use super::{
    BEGIN_TLS, NO_COMMAND, NO_PARAMETERS, NOT_IMPLEMENTED, STARTTLS_FIRST, capability,
    command::{is_plain, is_trust, name, parse},
    reply,
};
use crate::protocol::{
    Dialogue, Greeted, Learned, Next, Offer, Refusal,
    line::{is_foreign, line, timeless},
    seam::Errors,
};

/// The session's beginning (RFC 5321 §3.1, §3.2) as far as it can go without a backend.
#[derive(Debug)]
pub struct Greeter<'a> {
    learned: &'a Learned,
    offer: Offer,
    errors: Errors,
    /// The client's EHLO or HELO: it is said again to the backend, if the client goes on in clear.
    hello: Vec<u8>,
}

impl<'a> Greeter<'a> {
    /// A greeter that shows what was learned of the backend.
    #[must_use]
    pub fn new(learned: &'a Learned, offer: Offer) -> Self {
        Self { learned, offer, errors: Errors::default(), hello: Vec::new() }
    }

    /// RFC 5321 §4.2: the first word of a greeting is the server's name.
    fn host(&self) -> &str {
        self.learned.banner.split_ascii_whitespace().next().unwrap_or("localhost")
    }

    fn say(text: &str, out: &mut Vec<u8>) -> Next<Greeted> {
        out.extend_from_slice(text.as_bytes());
        Next::Read
    }

    fn hello(&mut self, verb: &[u8], parameters: &[u8], out: &mut Vec<u8>) -> Next<Greeted> {
        let Some(name) = name(parameters) else {
            return self.errors.answer(b"501 5.5.4 A name is wanted\r\n", out);
        };
        self.hello = [verb, b" ", name, b"\r\n"].concat();
        let mut lines = vec![self.host().to_owned()];
        // RFC 5321 §4.1.1.1: HELO has no keywords.
        if verb == b"EHLO" {
            lines.extend(capability::edit(&self.learned.capabilities, self.offer));
        }
        reply::push(250, &lines, out);
        Next::Read
    }
}

impl Dialogue for Greeter<'_> {
    type End = Greeted;

    fn start(&mut self, out: &mut Vec<u8>) {
        reply::push(220, &[timeless(&self.learned.banner)], out);
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<Greeted>) {
        if is_foreign(input) {
            return (0, Next::End(Greeted::Refused(Refusal::Unframeable)));
        }
        let Some(line) = line(input) else { return (0, Next::Read) };
        let (verb, parameters) = parse(line.text);
        let next = match verb.as_slice() {
            _ if !is_plain(line.text) => self.errors.answer(NO_COMMAND, out),
            b"EHLO" | b"HELO" => self.hello(&verb, parameters, out),
            b"NOOP" => Self::say("250 2.0.0 Ok\r\n", out),
            b"RSET" => Self::say("250 2.0.0 Ok\r\n", out),
            b"HELP" => Self::say("214 2.0.0 EHLO HELO HELP NOOP QUIT RSET STARTTLS\r\n", out),
            b"QUIT" => {
                out.extend_from_slice(b"221 2.0.0 Bye\r\n");
                Next::End(Greeted::Closed)
            }
            b"STARTTLS" if !self.offer.starttls => self.errors.answer(NOT_IMPLEMENTED, out),
            b"STARTTLS" if !parameters.is_empty() => self.errors.answer(NO_PARAMETERS, out),
            b"STARTTLS" => {
                out.extend_from_slice(BEGIN_TLS);
                Next::End(Greeted::StartTls)
            }
            b"AUTH" if !self.offer.login => self.errors.answer(STARTTLS_FIRST, out),
            verb if is_trust(verb) => self.errors.answer(NOT_IMPLEMENTED, out),
            _ if self.offer.proceed => {
                return (0, Next::End(Greeted::Clear(std::mem::take(&mut self.hello))));
            }
            _ => self.errors.answer(STARTTLS_FIRST, out),
        };
        (line.taken, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    const REQUIRED: Offer = Offer { starttls: true, proceed: false, login: false };
    const OPTIONAL: Offer = Offer { starttls: true, proceed: true, login: false };
    const HELLO: Talk = Talk::Front("220 mx.example ESMTP\r\n");

    fn learned() -> &'static Learned {
        let capabilities =
            ["PIPELINING", "SIZE 100", "AUTH PLAIN", "XCLIENT ADDR"].map(str::to_owned).into();
        Box::leak(Box::new(Learned { banner: "mx.example ESMTP".into(), capabilities }))
    }

    #[test]
    fn s1_s2_s5_s11_s12_submission_wants_tls() {
        dialogue(
            || Greeter::new(learned(), REQUIRED),
            &[
                HELLO,
                Talk::Peer(
                    "EHLO me\r\nHELO me\r\nMAIL FROM:<a@b>\r\nAUTH PLAIN AGEAYg==\r\nNOOP x\r\nVRFY a\r\nSTARTTLS foo\r\nstarttls\r\n",
                ),
                Talk::Front(
                    "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 100\r\n250 STARTTLS\r\n\
                     250 mx.example\r\n\
                     530 5.7.0 Must issue a STARTTLS command first\r\n\
                     530 5.7.0 Must issue a STARTTLS command first\r\n\
                     250 2.0.0 Ok\r\n\
                     530 5.7.0 Must issue a STARTTLS command first\r\n\
                     501 5.5.4 STARTTLS has no parameters\r\n\
                     220 2.0.0 Ready to start TLS\r\n",
                ),
            ],
            &Greeted::StartTls,
            b"",
        );
    }

    #[test]
    fn s4_s15_mail_in_clear_goes_on_and_credentials_do_not() {
        dialogue(
            || Greeter::new(learned(), OPTIONAL),
            &[
                HELLO,
                Talk::Peer(
                    "EHLO me again\r\nAUTH PLAIN AGEAYg==\r\nXCLIENT ADDR=1\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
                ),
                Talk::Front(
                    "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 100\r\n250 STARTTLS\r\n\
                     530 5.7.0 Must issue a STARTTLS command first\r\n\
                     502 5.5.1 Command not implemented\r\n",
                ),
            ],
            &Greeted::Clear(b"EHLO me\r\n".to_vec()),
            b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
        );
    }

    #[test]
    fn s25_starttls_last_in_a_group_and_nothing_behind_it() {
        dialogue(
            || Greeter::new(learned(), OPTIONAL),
            &[
                HELLO,
                Talk::Peer("HELO a\r\nSTARTTLS\r\nMAIL FROM:<a@b>\r\n"),
                Talk::Front("250 mx.example\r\n220 2.0.0 Ready to start TLS\r\n"),
            ],
            &Greeted::StartTls,
            b"MAIL FROM:<a@b>\r\n",
        );
    }
}
