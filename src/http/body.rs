//! The body of an answer.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::{
    Version,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
};

use super::{download::Download, fields};

/// What goes wrong in a body, of either direction.
pub(super) type Broken = Box<dyn Error + Send + Sync>;

/// Whether a body that says no more has come to its end. In HTTP/2, hyper takes a stream that was reset
/// with NO_ERROR for one that has: but only a server may leave so, and behind a whole answer (RFC 9113
/// §8.1). What was cut off must not pass for whole.
pub(super) fn is_whole(from: &Incoming, version: Version) -> bool {
    version != Version::HTTP_2 || from.is_end_stream()
}

/// A part of a body, of either direction, as it goes on.
pub(super) fn passed_on(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        fields::take_from_trailers(trailers);
    }
    frame
}

/// What a client gets behind the head of an answer.
pub(super) enum Answer {
    /// Our own words.
    Ours(Option<Bytes>),
    /// A backend's, as they come.
    Backends(Box<Download>),
}

impl Answer {
    pub(super) const EMPTY: Self = Self::Ours(None);
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Ours(words) => Poll::Ready(words.take().map(|words| Ok(Frame::data(words)))),
            Self::Backends(download) => Pin::new(&mut **download).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ours(words) => words.is_none(),
            Self::Backends(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ours(words) => {
                let octets = words.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(octets).unwrap_or(u64::MAX))
            }
            Self::Backends(download) => download.size_hint(),
        }
    }
}
