//! How a relay comes to its end: by time, by our own will, or because a side is gone.

use std::{
    io,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use super::{Machine, Outcome};
use crate::{
    error::is_disconnect,
    protocol::{Filter, Refusal, Side},
    wire::Inbox,
};

impl Machine<'_> {
    /// The deadline has passed: the first time the client is told, the second time we just go.
    pub(super) fn time_is_up(&mut self) -> Option<Outcome> {
        if let Some(outcome) = self.outcome.take() {
            return Some(outcome);
        }
        if self.down.shut {
            return Some(self.closed());
        }
        self.refuse(Refusal::Timeout);
        None
    }

    /// Ends the session in our own words, where the client would understand a word from us.
    pub(super) fn refuse(&mut self, why: Refusal) {
        self.speak(why);
        self.last = Instant::now();
        self.outcome = Some(Outcome::Refused(why));
    }

    fn speak(&mut self, why: Refusal) {
        if self.relay.filter.as_ref().is_some_and(|f| f.may_speak()) {
            let mut words = Vec::new();
            (self.relay.farewell)(why, &mut words);
            self.down.pending.push(&words);
        }
    }

    /// The backend is gone. A client that has not been told why hears from us that it is to come back.
    pub(super) fn lost(&mut self) {
        let is_expected = self.relay.filter.as_ref().is_none_or(|f| f.is_over() || !f.may_speak());
        if self.first_end.is_some() || is_expected {
            self.end_of(Side::Backend);
        } else {
            self.speak(Refusal::BackendUnavailable);
            self.outcome = Some(Outcome::Closed(Side::Backend));
        }
    }

    pub(super) fn closed(&self) -> Outcome {
        if self.truncated {
            Outcome::Truncated
        } else {
            Outcome::Closed(self.first_end.unwrap_or(Side::Client))
        }
    }

    /// The end is decided: the client still gets what is pending for it.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        while !self.down.pending.is_empty() {
            match ready!(self.relay.poll_write(Side::Client, cx, &self.down.pending)) {
                Ok(octets) => self.down.pending.consume(octets),
                Err(_) => break,
            }
        }
        // A last word to the backend is good manners, not worth waiting for; inside TLS, a close_notify
        // behind it is, too.
        if !self.up.pending.is_empty() {
            let _ = self.relay.poll_write(Side::Backend, cx, &self.up.pending);
            self.up.pending = Inbox::default();
        }
        let _ = self.relay.poll_shutdown(Side::Backend, cx);
        // Whether it arrives is of no interest any more, only whether it is on its way.
        let _ = ready!(self.relay.poll_flush(Side::Client, cx));
        let outcome = self.outcome.take().unwrap_or(Outcome::Closed(Side::Client));
        Poll::Ready(match outcome {
            Outcome::StartTls(_) => Outcome::StartTls(std::mem::take(&mut self.up.inbox)),
            outcome => outcome,
        })
    }

    pub(super) fn end_of(&mut self, from: Side) {
        self.first_end.get_or_insert(from);
        self.way(from).ended = true;
    }

    pub(super) fn cannot_read(&mut self, from: Side, error: io::Error) {
        match from {
            // RFC 8446 §6.1: the end of the stream without a close_notify.
            Side::Client if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.truncated = true;
                self.end_of(from);
            }
            // It is gone, and nobody is left to speak to.
            Side::Client if is_disconnect(&error) => self.outcome = Some(Outcome::Closed(from)),
            // What it said before it broke off is still the client's.
            Side::Backend if is_disconnect(&error) => self.lost(),
            Side::Backend => {
                self.lost();
                self.outcome = Some(Outcome::Failed(from, error));
            }
            Side::Client => self.outcome = Some(Outcome::Failed(from, error)),
        }
    }

    pub(super) fn cannot_write(&mut self, from: Side, error: io::Error) {
        match from {
            // The backend does not listen any more, but may have said why.
            Side::Client if is_disconnect(&error) => {
                let way = &mut self.up;
                way.pending = Inbox::default();
                way.inbox = Inbox::default();
                (way.unflushed, way.ended, way.shut) = (false, true, true);
            }
            Side::Backend if is_disconnect(&error) => {
                self.outcome = Some(Outcome::Closed(Side::Client));
            }
            _ => self.outcome = Some(Outcome::Failed(from.other(), error)),
        }
    }
}
