//! A client whose session the backend has refused: RFC 5321 §3.1 keeps the connection open, and
//! answers everything but QUIT with 503.

use super::command::parse;
use crate::protocol::{Dialogue, Next, line::line, seam::MOST_ERRORS};

/// Says the backend's refusal, and then no more than that it has been said.
#[derive(Debug)]
pub struct Refused {
    /// Not said yet.
    words: Vec<u8>,
    /// They answer a command; otherwise they are the greeting.
    greeted: bool,
    errors: u8,
}

impl Refused {
    /// `words`: the backend's own. They answer the client's command, or greet it, if it has not been
    /// `greeted`.
    #[must_use]
    pub fn new(words: Vec<u8>, greeted: bool) -> Self {
        Self { words, greeted, errors: 0 }
    }
}

impl Dialogue for Refused {
    type End = ();

    fn start(&mut self, out: &mut Vec<u8>) {
        // RFC 3207 §4.2: a client that was greeted hears the answer to its command, and nothing before.
        if !self.greeted {
            out.append(&mut self.words);
        }
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next<()>) {
        let Some(line) = line(input) else { return (0, Next::Read) };
        if parse(line.text).0 == b"QUIT" {
            out.extend_from_slice(b"221 2.0.0 Bye\r\n");
            return (line.taken, Next::End(()));
        }
        if !self.words.is_empty() {
            out.append(&mut self.words);
            return (line.taken, Next::Read);
        }
        out.extend_from_slice(b"503 5.5.1 The session was refused\r\n");
        self.errors += 1;
        (line.taken, if self.errors < MOST_ERRORS { Next::Read } else { Next::End(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::transcript::{Talk, dialogue};

    #[test]
    fn only_quit_is_left() {
        dialogue(
            || Refused::new(b"554 5.7.1 no\r\n".to_vec(), false),
            &[
                Talk::Front("554 5.7.1 no\r\n"),
                Talk::Peer("MAIL FROM:<a@b>\r\nquit\r\n"),
                Talk::Front("503 5.5.1 The session was refused\r\n221 2.0.0 Bye\r\n"),
            ],
            &(),
            b"",
        );
    }

    #[test]
    fn s10_s27_a_client_that_was_greeted_hears_them_as_the_answer_to_its_command() {
        dialogue(
            || Refused::new(b"554 5.7.1 no\r\n".to_vec(), true),
            &[
                Talk::Peer("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n"),
                Talk::Front(
                    "554 5.7.1 no\r\n503 5.5.1 The session was refused\r\n221 2.0.0 Bye\r\n",
                ),
            ],
            &(),
            b"",
        );
    }
}
