//! The way of a client that speaks HTTP.

use std::sync::Arc;

use super::{
    End,
    open::Open,
    relay::Outcome,
    serve::{Parting, Session},
    summary::Tried,
};
use crate::{
    error::{Blame, Phase, is_disconnect},
    http::{self, Gone, Guest, Had, Switched, Tunnel},
    protocol::{Refusal, Side},
    wire::{Client, take_leave_of_a_sender},
};

impl<F: FnOnce()> Session<'_, F> {
    /// The client speaks HTTP: each of its requests finds its own way.
    pub(super) async fn browse(&mut self, client: Client) -> Result<End, Parting> {
        let Some(web) = self.policy.web.clone() else { return Ok(End::Closed(Side::Client)) };
        let guest = Arc::new(Guest {
            facts: self.summary.facts(),
            ends_tls: self.summary.tls.is_some(),
            der: client.certificate().map(<[u8]>::to_vec),
            shown: self.shown.clone(),
            web,
            tls: self.house.tls.clone(),
            challenges: self.house.challenges.clone(),
            shelf: self.house.shelf.clone(),
            had: Had::default(),
        });
        let mut logged_in = self.logged_in.take();
        let mut opened = || {
            if let Some(logged_in) = logged_in.take() {
                logged_in();
            }
        };
        let gone = http::serve(client, &guest, self.house.stop.clone(), &mut opened).await;
        let share = guest.share();
        self.summary.requests = Some(share.requests);
        self.summary.octets = share.octets;
        self.summary.tried = Tried { count: u32::from(share.last.is_some()), last: share.last };
        // Boxed: what a WebSocket needs is more than all that waits here for requests.
        Box::pin(self.leave(gone)).await
    }

    /// A web client has left, or speaks something else from now on.
    async fn leave(&mut self, gone: Gone) -> Result<End, Parting> {
        let closing = self.policy.timeouts.closing;
        let broken = |blame, why: String| {
            Parting::new(Refusal::BackendUnavailable, Phase::Relay, blame, why)
        };
        let (client, end) = match gone {
            Gone::Closed(client) => (client, Ok(End::Closed(Side::Client))),
            Gone::Idle(client) => (client, Err(Refusal::Timeout.into())),
            Gone::Refused(client, why) => (client, Err(broken(Blame::Client, why))),
            Gone::BrokenOff(why) => (None, Err(broken(Blame::Backend, why))),
            Gone::Stopped => (None, Err(Refusal::Shutdown.into())),
            Gone::Failed(error) if is_disconnect(&error) => (None, Ok(End::Truncated)),
            Gone::Failed(error) => return self.end(Outcome::Failed(Side::Client, error)),
            Gone::Upgraded(tunnel) => {
                let Tunnel { mut client, mut from_client, backend } = *tunnel;
                let Switched { link, inbox, visit } = backend;
                let mut open = Open::plain(visit, link, inbox);
                let outcome = self.relay(&mut client, &mut open, &mut from_client).await;
                let end = self.end(outcome);
                (Some(client), end)
            }
        };
        if let Some(mut client) = client {
            take_leave_of_a_sender(&mut client, closing).await;
        }
        end
    }
}
