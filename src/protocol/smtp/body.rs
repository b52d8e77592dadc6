//! The octets between 354 and the end of data (RFC 5321 §4.1.1.4), of which exactly one thing is
//! of interest: where they end, for us and for everybody else.
//!
//! Servers differ in what they take for a line end, and a message that ends for one of two and not
//! for the other smuggles the next one in. So a dot that is alone on its line by any reading must
//! be so by the strict one.

use memchr::{memchr_iter, memmem};

use crate::values::BareNewline;

/// Looks for the end of a message. It keeps nothing but what stood before the next octet.
#[derive(Debug)]
pub struct Scanner {
    policy: BareNewline,
    before: Before,
}

/// What stands before the next octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// A strict line end. The message begins behind one.
    CrLf,
    /// A CR or an LF that some take for a line end.
    Bare,
    /// Anything else.
    Text,
}

/// What was found in some input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// So many octets of the message, and no end. What is left over is shown again, with more.
    More(usize),
    /// The message ends behind so many octets.
    End(usize),
    /// Behind so many octets stands what two servers could read in two ways. They are shown as
    /// [`Found::More`] first, so that here they are none.
    Bare(usize),
}

impl Scanner {
    /// A scanner for a message that begins now.
    #[must_use]
    pub fn new(policy: BareNewline) -> Self {
        Self { policy, before: Before::CrLf }
    }

    /// Looks at the next octets.
    pub fn scan(&mut self, input: &[u8]) -> Found {
        let found = match self.policy {
            BareNewline::Reject => self.first_bare(input).unwrap_or_else(|| self.lone_dot(input)),
            BareNewline::Pass | BareNewline::StrictEod => self.lone_dot(input),
        };
        match found {
            // What stands before it is nobody's fault.
            Found::More(taken) | Found::Bare(taken) if taken > 0 => {
                self.before = ending(&input[..taken], self.before);
                Found::More(taken)
            }
            found => found,
        }
    }

    /// The first dot that is alone on its line.
    fn lone_dot(&self, input: &[u8]) -> Found {
        let first = input.first().filter(|b| **b == b'.' && self.before != Before::Text);
        if let Some(found) = first.and_then(|_| self.at_dot(input, 0)) {
            return found;
        }
        // Of the dots, only those at the beginning of a line are looked at: a message may be made of dots.
        let behind_lf = memmem::find_iter(input, b"\n.").find_map(|at| self.at_dot(input, at + 1));
        let upto = behind_lf.map_or(input.len(), Found::taken);
        let behind_cr =
            memmem::find_iter(&input[..upto], b"\r.").find_map(|at| self.at_dot(input, at + 1));
        // A CR at the very end may be half of a line end.
        let all = Found::More(input.len() - usize::from(input.last() == Some(&b'\r')));
        behind_cr.or(behind_lf).unwrap_or(all)
    }

    /// What a dot at the beginning of a line means, if anything.
    fn at_dot(&self, input: &[u8], at: usize) -> Option<Found> {
        let before = if at == 0 { self.before } else { ending(&input[..at], self.before) };
        match (before, &input[at + 1..], self.policy) {
            // How the line ends is not known yet.
            (_, [] | [b'\r'], _) => Some(Found::More(at)),
            (Before::CrLf, [b'\r', b'\n', ..], _) => Some(Found::End(at + 3)),
            (_, [b'\r' | b'\n', ..], BareNewline::Reject | BareNewline::StrictEod) => {
                Some(Found::Bare(at))
            }
            _ => None,
        }
    }

    /// The first CR or LF that stands alone, if it comes before the end of the message.
    fn first_bare(&self, input: &[u8]) -> Option<Found> {
        let message = &input[..self.lone_dot(input).taken()];
        let is_bare_lf = |at: &usize| at.checked_sub(1).is_none_or(|before| input[before] != b'\r');
        let is_bare_cr = |at: &usize| input.get(at + 1).is_some_and(|after| *after != b'\n');
        let lf = memchr_iter(b'\n', message).find(is_bare_lf);
        let cr = memchr_iter(b'\r', message).find(is_bare_cr);
        lf.into_iter().chain(cr).min().map(Found::Bare)
    }
}

impl Found {
    /// The octets before it.
    fn taken(self) -> usize {
        match self {
            Self::More(taken) | Self::End(taken) | Self::Bare(taken) => taken,
        }
    }
}

fn ending(text: &[u8], before: Before) -> Before {
    match text {
        [] => before,
        [.., b'\r', b'\n'] => Before::CrLf,
        [.., b'\r' | b'\n'] => Before::Bare,
        _ => Before::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scans input that comes in these parts; the octets that were let through, and how it ended.
    fn run(policy: BareNewline, parts: &[&[u8]]) -> (Vec<u8>, Option<Found>) {
        let mut scanner = Scanner::new(policy);
        let (mut inbox, mut passed) = (Vec::new(), Vec::new());
        for part in parts {
            inbox.extend_from_slice(part);
            loop {
                let found = scanner.scan(&inbox);
                let (Found::More(taken) | Found::End(taken) | Found::Bare(taken)) = found;
                passed.extend(inbox.drain(..taken));
                match found {
                    Found::More(0) => break,
                    Found::More(_) => {}
                    end => return (passed, Some(end)),
                }
            }
        }
        (passed, None)
    }

    /// Each octet on its own, and all in one.
    #[track_caller]
    fn check(policy: BareNewline, message: &str, passed: &str, is_end: Option<bool>) {
        let octets: Vec<&[u8]> = message.as_bytes().chunks(1).collect();
        for parts in [vec![message.as_bytes()], octets] {
            let (through, end) = run(policy, &parts);
            assert_eq!(String::from_utf8_lossy(&through), passed, "{message:?}");
            assert_eq!(end.map(|e| matches!(e, Found::End(_))), is_end, "{message:?}");
        }
    }

    #[test]
    fn s18_s22_the_end_is_a_dot_alone_and_nothing_else() {
        for policy in [BareNewline::StrictEod, BareNewline::Reject, BareNewline::Pass] {
            check(policy, "a\r\n.\r\nQUIT\r\n", "a\r\n.\r\n", Some(true));
            check(policy, ".\r\nQUIT\r\n", ".\r\n", Some(true));
            check(policy, "..\r\n.a\r\n. \r\nSTARTTLS\r\n", "..\r\n.a\r\n. \r\nSTARTTLS\r\n", None);
        }
    }

    /// S21: the variants by which one server's message is another's two.
    const SMUGGLING: [&str; 8] = [
        "a\n.\nb",
        "a\n.\r\nb",
        "a\r\n.\nb",
        "a\r.\rb",
        "a\r.\r\nb",
        "a\r\n.\rb",
        "a\r.\nb",
        "a\n.\rb",
    ];

    #[test]
    fn s21_a_dot_that_is_alone_by_another_reading_is_never_let_through() {
        for message in SMUGGLING {
            let dot = &message[..message.find('.').unwrap()];
            check(BareNewline::StrictEod, message, dot, Some(false));
            let bare =
                message.find('\r').filter(|at| !message[*at..].starts_with("\r\n")).into_iter();
            let bare = bare
                .chain(message.find('\n').filter(|at| *at == 0 || !message[..*at].ends_with('\r')))
                .min();
            let upto = bare.unwrap_or(message.len()).min(dot.len());
            check(BareNewline::Reject, message, &message[..upto], Some(false));
            check(BareNewline::Pass, message, message, None);
        }
    }

    #[test]
    fn s21_other_bare_newlines_pass_byte_for_byte_unless_rejected() {
        for message in ["a\nb\r\n", "a\rb\r\n", "a\r\rb\n\nc", "\n"] {
            check(BareNewline::StrictEod, message, message, None);
            let (_, end) = run(BareNewline::Reject, &[message.as_bytes()]);
            assert!(matches!(end, Some(Found::Bare(_))), "{message:?}");
        }
    }

    fn cut_is_as_whole(message: &str, cuts: &[usize]) {
        for policy in [BareNewline::StrictEod, BareNewline::Reject, BareNewline::Pass] {
            let mut cuts: Vec<usize> = cuts.iter().map(|c| (*c).min(message.len())).collect();
            cuts.sort_unstable();
            let (mut parts, mut from) = (Vec::new(), 0);
            for cut in cuts {
                parts.push(&message.as_bytes()[from..cut]);
                from = cut;
            }
            parts.push(&message.as_bytes()[from..]);
            let (whole, whole_end) = run(policy, &[message.as_bytes()]);
            let (cut, cut_end) = run(policy, &parts);
            assert_eq!(whole, cut, "{message:?}");
            let is_end = |found: Option<Found>| found.map(|f| matches!(f, Found::End(_)));
            assert_eq!(is_end(whole_end), is_end(cut_end), "{message:?}");
        }
    }

    /// It once was not.
    #[test]
    fn a_cut_between_bare_line_ends_does_not_matter() {
        cut_is_as_whole("\r\r\r", &[2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// No cut changes what is let through.
        #[test]
        fn cuts_do_not_matter(message in "[a.\r\n]{0,24}", cuts in prop::collection::vec(0_usize..24, 0..4)) {
            cut_is_as_whole(&message, &cuts);
        }
    }
}
