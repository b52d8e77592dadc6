//! What the filter is shown, and what becomes of it.

use std::task::Context;

use super::{Machine, Outcome};
use crate::{
    protocol::{Filter, Out, Side, Verdict},
    wire::Inbox,
};

impl Machine<'_> {
    pub(super) fn arrived(&mut self, cx: &mut Context<'_>, from: Side, bytes: &[u8]) {
        let (way, relay) = self.split(from);
        way.octets += bytes.len() as u64;
        if relay.filter.is_none() {
            self.forward(cx, from, bytes);
        } else if way.inbox.is_empty() && !way.held {
            let taken = self.judge(cx, from, bytes);
            self.keep(cx, from, &bytes[taken..]);
        } else {
            way.inbox.push(bytes);
            self.judge_inbox(cx, from);
        }
    }

    /// What the filter did not take: to the inbox, or, if it is gone, on its way.
    fn keep(&mut self, cx: &mut Context<'_>, from: Side, rest: &[u8]) {
        if rest.is_empty() {
        } else if self.relay.filter.is_some() || self.outcome.is_some() {
            self.way(from).inbox.push(rest);
        } else {
            self.forward(cx, from, rest);
        }
    }

    pub(super) fn judge_inbox(&mut self, cx: &mut Context<'_>, from: Side) -> bool {
        let way = self.way(from);
        if way.inbox.is_empty() {
            return false;
        }
        let inbox = std::mem::take(&mut way.inbox);
        let taken = if self.relay.filter.is_some() { self.judge(cx, from, &inbox) } else { 0 };
        if taken == 0 && self.relay.filter.is_some() {
            self.way(from).inbox = inbox;
            return false;
        }
        self.keep(cx, from, &inbox[taken..]);
        true
    }

    /// Shows the filter what has arrived, frame by frame, and says how much of it is dealt with.
    fn judge(&mut self, cx: &mut Context<'_>, from: Side, input: &[u8]) -> usize {
        let mut done = 0;
        // A client that is answered has to listen before it is heard again.
        let is_heard = |machine: &Self| {
            from == Side::Backend || machine.down.pending.len() < machine.relay.line
        };
        while done < input.len() && self.outcome.is_none() && is_heard(self) {
            let Some(filter) = self.relay.filter.as_mut() else { break };
            let mut out = Out::default();
            let (taken, verdict) = filter.push(from, &input[done..], &mut out);
            let frame = &input[done..done + taken];
            done += taken;
            self.up.pending.push(&out.to_backend);
            self.down.pending.push(&out.to_client);
            self.way(from).held = verdict == Verdict::Hold;
            match verdict {
                Verdict::Pass => self.forward(cx, from, frame),
                Verdict::Opaque => {
                    self.relay.filter = None;
                    self.forward(cx, from, frame);
                }
                Verdict::LastWords => self.relay.filter = None,
                Verdict::Replace => {}
                Verdict::Read | Verdict::Hold => break,
                Verdict::StartTls => self.outcome = Some(Outcome::StartTls(Inbox::default())),
                Verdict::End(why) => self.refuse(why),
            }
            // Each frame may have been the other side's cue.
            self.way(from.other()).held = false;
        }
        done
    }
}
