//! Bytes both ways: two half-closes, one filter as long as there is one, one clock.
//!
//! While nothing is to be done a session holds no buffer: reads go into the thread's scratch, and
//! what cannot be written at once is kept in a pending buffer, which stops that side's reads.

mod ending;
mod judging;
mod sides;

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::ReadBuf,
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    protocol::{Filter, Refusal, SessionFilter, Side},
    values::Stop,
    wire::{Client, Inbox, Link, scratch},
};

/// What a relay needs to know.
pub(super) struct Relay<'a> {
    pub client: &'a mut Client,
    pub backend: &'a mut Link,
    /// Reads the session along. Without one, bytes pass unread.
    pub filter: Option<Box<SessionFilter>>,
    /// What has been read of each side already.
    pub from_client: Inbox,
    pub from_backend: Inbox,
    /// How we take leave in the client's protocol.
    pub farewell: &'a (dyn Fn(Refusal, &mut Vec<u8>) + Sync),
    pub clock: Clock,
    /// The most octets of a frame that are kept.
    pub line: usize,
}

/// How long a session may go on without an octet.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// While there is a filter. `renewed`: each octet grants it anew.
    pub filtered: Duration,
    pub renewed: bool,
    /// After that.
    pub idle: Duration,
    /// Once the backend has closed.
    pub closing: Duration,
}

/// How a relay ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This side closed first; then everything was said.
    Closed(Side),
    /// The client's stream broke off without a close_notify.
    Truncated,
    /// The client begins TLS: these octets came behind its command.
    StartTls(Inbox),
    /// We ended it.
    Refused(Refusal),
    /// A side's connection failed.
    Failed(Side, io::Error),
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Read, and not judged yet.
    inbox: Inbox,
    /// Judged, and not written yet.
    pending: Inbox,
    /// Written, and perhaps not on the wire yet.
    unflushed: bool,
    /// The filter lets this side wait for the other.
    held: bool,
    /// Nothing more comes in.
    ended: bool,
    /// Nothing more goes out.
    shut: bool,
    octets: u64,
}

/// After so many reads without a pause a session lets others have their turn.
const FAIR: u32 = 16;

struct Machine<'a> {
    relay: Relay<'a>,
    up: Way,
    down: Way,
    /// Set once the end is decided: what is pending for the client is still written.
    outcome: Option<Outcome>,
    first_end: Option<Side>,
    truncated: bool,
    begin: Instant,
    last: Instant,
}

/// Relays until both sides have closed, or something else ends it. `logged_in` is called when the
/// filter has nothing left to do. Returns the octets of each direction, too.
pub(super) fn relay<F: FnOnce()>(
    relay: Relay<'_>,
    stop: watch::Receiver<Stop>,
    logged_in: F,
) -> impl Future<Output = (Outcome, [u64; 2])> {
    let mut logged_in = Some(logged_in).filter(|_| relay.filter.is_some());
    let mut machine = Machine::new(relay);
    let mut stop = stop;
    // An `async fn` would keep what it is given beside what that is moved into, for as long as a
    // session idles.
    async move {
        let mut alarm = pin!(sleep_until(machine.deadline()));
        let mut stopped = pin!(async {
            // An error means that nobody is left to stop us.
            if stop.wait_for(|s| *s == Stop::Now).await.is_err() {
                std::future::pending::<()>().await;
            }
        });
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(outcome) = machine.poll(cx) {
                return Poll::Ready(outcome);
            }
            if machine.relay.filter.is_none()
                && let Some(logged_in) = logged_in.take()
            {
                logged_in();
            }
            if machine.outcome.is_none() && stopped.as_mut().poll(cx).is_ready() {
                machine.refuse(Refusal::Shutdown);
                cx.waker().wake_by_ref();
            }
            // The deadline moves with every octet, the alarm only when it rings or rings too late.
            let deadline = machine.deadline();
            if deadline < alarm.deadline() {
                alarm.as_mut().reset(deadline);
            }
            while alarm.as_mut().poll(cx).is_ready() {
                let deadline = machine.deadline();
                if deadline <= Instant::now() {
                    if let Some(outcome) = machine.time_is_up() {
                        return Poll::Ready(outcome);
                    }
                    cx.waker().wake_by_ref();
                }
                alarm.as_mut().reset(machine.deadline());
            }
            Poll::Pending
        })
        .await;
        (outcome, [machine.up.octets, machine.down.octets])
    }
}

impl<'a> Machine<'a> {
    fn new(mut relay: Relay<'a>) -> Self {
        let up = Way { inbox: std::mem::take(&mut relay.from_client), ..Way::default() };
        let down = Way { inbox: std::mem::take(&mut relay.from_backend), ..Way::default() };
        let now = Instant::now();
        Self {
            relay,
            up,
            down,
            outcome: None,
            first_end: None,
            truncated: false,
            begin: now,
            last: now,
        }
    }

    fn deadline(&self) -> Instant {
        let clock = &self.relay.clock;
        // Not before the client has all that the backend said, however slowly it reads.
        if self.outcome.is_some() || self.down.shut {
            self.last + clock.closing
        } else if self.relay.filter.is_none() {
            self.last + clock.idle
        } else if clock.renewed {
            // RFC 5321 §4.5.3.2.6: ten minutes behind the end of a message, five elsewhere.
            let is_slow = self.relay.filter.as_ref().is_some_and(|f| f.is_slow());
            self.last + clock.filtered * if is_slow { 2 } else { 1 }
        } else {
            self.begin + clock.filtered
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        // What one side says may let the other speak: until neither has moved.
        for _ in 0..FAIR {
            if self.outcome.is_some() {
                return self.finish(cx);
            }
            let moved = self.pump(cx, Side::Client) | self.pump(cx, Side::Backend);
            if self.outcome.is_none() && self.up.shut && self.down.shut {
                return Poll::Ready(self.closed());
            }
            if !moved {
                return if self.outcome.is_some() { self.finish(cx) } else { Poll::Pending };
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Moves what can be moved from this side to the other. Whether anything did.
    fn pump(&mut self, cx: &mut Context<'_>, from: Side) -> bool {
        let mut moved = false;
        for _ in 0..FAIR {
            match self.write(cx, from) {
                Step::Moved => moved = true,
                Step::Blocked => return moved,
                Step::Nothing => {}
            }
            match self.read(cx, from) {
                Step::Moved => moved = true,
                Step::Blocked | Step::Nothing => break,
            }
            if self.outcome.is_some() {
                return true;
            }
        }
        self.flush(cx, from);
        moved
    }

    /// Writes what is pending for the other side.
    fn write(&mut self, cx: &mut Context<'_>, from: Side) -> Step {
        let (way, relay) = self.split(from);
        let mut step = Step::Nothing;
        while !way.pending.is_empty() {
            match relay.poll_write(from.other(), cx, &way.pending) {
                Poll::Pending => return Step::Blocked,
                Poll::Ready(Ok(octets)) => {
                    way.pending.consume(octets);
                    way.unflushed = true;
                    step = Step::Moved;
                }
                Poll::Ready(Err(error)) => {
                    self.cannot_write(from, error);
                    return Step::Moved;
                }
            }
        }
        if matches!(step, Step::Moved) {
            self.last = Instant::now();
        }
        step
    }

    /// Reads, judges, and writes what goes on unchanged.
    fn read(&mut self, cx: &mut Context<'_>, from: Side) -> Step {
        if self.judge_inbox(cx, from) {
            return Step::Moved;
        }
        let filtered = self.relay.filter.is_some();
        let most = self.relay.line;
        if filtered && from == Side::Client && self.down.pending.len() >= most {
            return Step::Nothing;
        }
        let (way, relay) = self.split(from);
        if way.ended {
            if way.shut || (filtered && way.held && !way.inbox.is_empty()) {
                return Step::Nothing;
            }
            // Half of the session is over; the other half goes on.
            let done = match relay.poll_shutdown(from.other(), cx) {
                Poll::Pending => return Step::Blocked,
                Poll::Ready(_) => Step::Moved,
            };
            way.shut = true;
            return done;
        }
        if filtered && way.inbox.len() >= most {
            // A side that has to wait may fill its inbox, and no more; one that is heard may not.
            if !way.held {
                self.refuse(if from == Side::Client {
                    Refusal::LineTooLong
                } else {
                    Refusal::BackendGarbage
                });
                return Step::Moved;
            }
            return Step::Nothing;
        }
        // What the filter takes at once need not fit into the inbox.
        let queues = filtered && (way.held || !way.inbox.is_empty());
        let room = if queues { most - way.inbox.len() } else { usize::MAX };
        scratch(|buffer| {
            let room = room.min(buffer.len());
            let mut read = ReadBuf::new(&mut buffer[..room]);
            match self.relay.poll_read(from, cx, &mut read) {
                Poll::Pending => return Step::Nothing,
                Poll::Ready(Err(error)) => self.cannot_read(from, error),
                Poll::Ready(Ok(())) => match read.filled() {
                    [] if from == Side::Backend => self.lost(),
                    [] => self.end_of(from),
                    bytes => self.arrived(cx, from, bytes),
                },
            }
            self.last = Instant::now();
            Step::Moved
        })
    }

    /// Sends octets on: at once as far as they go, the rest when the other side reads.
    fn forward(&mut self, cx: &mut Context<'_>, from: Side, mut bytes: &[u8]) {
        let (way, relay) = self.split(from);
        if way.shut {
            return;
        }
        while way.pending.is_empty() && !bytes.is_empty() {
            match relay.poll_write(from.other(), cx, bytes) {
                Poll::Pending => break,
                Poll::Ready(Ok(octets)) => {
                    bytes = &bytes[octets..];
                    way.unflushed = true;
                }
                Poll::Ready(Err(error)) => return self.cannot_write(from, error),
            }
        }
        way.pending.push(bytes);
    }

    fn flush(&mut self, cx: &mut Context<'_>, from: Side) {
        let (way, relay) = self.split(from);
        if !way.unflushed {
            return;
        }
        match relay.poll_flush(from.other(), cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => way.unflushed = false,
            Poll::Ready(Err(error)) => self.cannot_write(from, error),
        }
    }

    fn way(&mut self, from: Side) -> &mut Way {
        match from {
            Side::Backend => &mut self.down,
            Side::Client => &mut self.up,
        }
    }

    /// A direction, apart from the streams.
    fn split(&mut self, from: Side) -> (&mut Way, &mut Relay<'a>) {
        match from {
            Side::Backend => (&mut self.down, &mut self.relay),
            Side::Client => (&mut self.up, &mut self.relay),
        }
    }
}

/// What came of one attempt.
enum Step {
    Moved,
    Nothing,
    Blocked,
}
