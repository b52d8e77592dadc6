//! Tests of protocol rooms read as transcripts. Each is run with its input whole, octet by octet,
//! and cut in two at every place: the same octets must come out.

use super::{Dialogue, Filter, Next, Offer, Out, Side, Start, Verdict};
use crate::values::BareNewline;

/// One turn of a dialogue with a peer.
pub(crate) enum Talk {
    /// What we say.
    Front(&'static str),
    /// What the peer says.
    Peer(&'static str),
}

/// Capabilities.
pub(crate) fn listed(words: &[&str]) -> Vec<String> {
    words.iter().map(|&w| w.to_owned()).collect()
}

/// What is known when a session is opened whose client is in TLS; `greet`: it was not greeted yet.
pub(crate) fn start(greet: bool) -> Start {
    Start {
        greeted: !greet,
        offer: Offer::TLS,
        hello: Vec::new(),
        bare_newline: BareNewline::default(),
        host: "front.example".into(),
        introduce: None,
    }
}

/// Runs a dialogue. After the last turn it must have ended so, with these octets not taken.
#[track_caller]
pub(crate) fn dialogue<D: Dialogue>(new: impl Fn() -> D, talk: &[Talk], end: &D::End, left: &[u8])
where
    D::End: std::fmt::Debug + PartialEq,
{
    for cut in cuts(
        talk.iter()
            .map(|t| if let Talk::Peer(text) = t { text.len() } else { 0 })
            .max()
            .unwrap_or(0),
    ) {
        let (mut machine, mut out, mut inbox) = (new(), Vec::new(), Vec::new());
        let mut ended = None;
        machine.start(&mut out);
        for turn in talk {
            match turn {
                Talk::Front(text) => assert_eq!(
                    String::from_utf8_lossy(&std::mem::take(&mut out)),
                    *text,
                    "cut: {cut:?}"
                ),
                Talk::Peer(text) => {
                    for part in cut.parts(text.as_bytes()) {
                        inbox.extend_from_slice(part);
                        while ended.is_none() && !inbox.is_empty() {
                            let (taken, next) = machine.step(&inbox, &mut out);
                            inbox.drain(..taken);
                            match next {
                                Next::Read if taken == 0 => break,
                                Next::Read => {}
                                Next::End(end) => ended = Some(end),
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(
            String::from_utf8_lossy(&out),
            "",
            "said and not in the transcript; cut: {cut:?}"
        );
        assert_eq!(ended.as_ref(), Some(end), "cut: {cut:?}");
        assert_eq!(String::from_utf8_lossy(&inbox), String::from_utf8_lossy(left), "cut: {cut:?}");
    }
}

/// One turn of a session that a filter reads along. Two turns with the same octets on both sides
/// are what passes unchanged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// The client sends.
    Client(&'static str),
    /// The client receives.
    ToClient(&'static str),
    /// The backend sends.
    Backend(&'static str),
    /// The backend receives.
    ToBackend(&'static str),
}

/// How a transcript leaves a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The filter reads on.
    Filtered,
    /// Bytes both ways, unread.
    Opaque,
    /// Over, for a reason.
    Ended(super::Refusal),
    /// The handshake begins.
    StartTls,
}

/// Runs a session through a filter.
#[track_caller]
pub(crate) fn session<F: Filter>(new: impl Fn() -> F, turns: &[Turn], after: After) {
    let longest = turns
        .iter()
        .map(|t| if let Turn::Client(s) | Turn::Backend(s) = t { s.len() } else { 0 })
        .max();
    for cut in cuts(longest.unwrap_or(0)) {
        let mut wire = Wire::new(new());
        for (n, turn) in turns.iter().enumerate() {
            match turn {
                Turn::Client(text) => {
                    cut.parts(text.as_bytes()).for_each(|part| wire.arrives(Side::Client, part));
                }
                Turn::Backend(text) => {
                    cut.parts(text.as_bytes()).for_each(|part| wire.arrives(Side::Backend, part));
                }
                Turn::ToClient(text) => wire.left(Side::Client, text, n, cut),
                Turn::ToBackend(text) => wire.left(Side::Backend, text, n, cut),
            }
        }
        wire.left(Side::Client, "", turns.len(), cut);
        wire.left(Side::Backend, "", turns.len(), cut);
        assert_eq!(wire.after, after, "cut: {cut:?}");
    }
}

/// A session without sockets: what the relay does, in its simplest form.
pub(crate) struct Wire<F> {
    filter: F,
    client: Vec<u8>,
    backend: Vec<u8>,
    /// What has left for each side and nobody has taken.
    pub(crate) out: Out,
    pub(crate) after: After,
}

impl<F: Filter> Wire<F> {
    pub(crate) fn new(filter: F) -> Self {
        let (client, backend) = (Vec::new(), Vec::new());
        Self { filter, client, backend, out: Out::default(), after: After::Filtered }
    }

    pub(crate) fn arrives(&mut self, from: Side, bytes: &[u8]) {
        self.inbox(from).extend_from_slice(bytes);
        // Each side may have waited for the other.
        let mut idle = 0;
        let mut side = from;
        while idle < 2 {
            if self.push(side) {
                idle = 0;
            } else {
                idle += 1;
            }
            side = side.other();
        }
    }

    fn inbox(&mut self, side: Side) -> &mut Vec<u8> {
        match side {
            Side::Backend => &mut self.backend,
            Side::Client => &mut self.client,
        }
    }

    fn push(&mut self, from: Side) -> bool {
        let input = std::mem::take(self.inbox(from));
        if input.is_empty() || !matches!(self.after, After::Filtered | After::Opaque) {
            *self.inbox(from) = input;
            return false;
        }
        if self.after == After::Opaque {
            self.out.to(from.other()).extend_from_slice(&input);
            return true;
        }
        let (taken, verdict) = self.filter.push(from, &input, &mut self.out);
        assert!(taken <= input.len(), "octets that are not there");
        match verdict {
            Verdict::Pass => self.out.to(from.other()).extend_from_slice(&input[..taken]),
            Verdict::Replace => {}
            Verdict::Read | Verdict::Hold => assert_eq!(taken, 0, "{verdict:?} takes nothing"),
            Verdict::Opaque => {
                self.out.to(from.other()).extend_from_slice(&input[..taken]);
                self.after = After::Opaque;
            }
            Verdict::LastWords => self.after = After::Opaque,
            Verdict::StartTls => self.after = After::StartTls,
            Verdict::End(why) => self.after = After::Ended(why),
        }
        *self.inbox(from) = input[taken..].to_vec();
        taken > 0
    }

    fn left(&mut self, to: Side, text: &str, turn: usize, cut: Cut) {
        let sent = std::mem::take(self.out.to(to));
        assert_eq!(
            String::from_utf8_lossy(&sent),
            text,
            "to the {to:?} at turn {turn}, cut: {cut:?}"
        );
    }
}

/// A way to cut input.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Octets,
    At(usize),
}

impl Cut {
    fn parts(self, text: &[u8]) -> impl Iterator<Item = &[u8]> {
        let size = match self {
            Self::Whole => text.len(),
            Self::Octets => 1,
            Self::At(at) => at.min(text.len()),
        };
        let (first, rest) = text.split_at(size.min(text.len()));
        let rest_size = if matches!(self, Self::Octets) { 1 } else { text.len() };
        std::iter::once(first).chain(rest.chunks(rest_size.max(1))).filter(|part| !part.is_empty())
    }
}

fn cuts(longest: usize) -> impl Iterator<Item = Cut> {
    [Cut::Whole, Cut::Octets].into_iter().chain((1..longest).map(Cut::At))
}
