//! Clients that a front before us brings: it says who they are before anybody says anything else.

use std::{fmt::Display, sync::atomic::Ordering};

use tokio::time::timeout;

use super::listen::Manner;
use crate::{
    session::{Arrival, House, Via},
    values::Stop,
    wire::{Unannounced, announced},
};

/// Waits for the front's PROXY header, which makes its client the one who has arrived. `None`: there
/// was none, and whoever it is, nothing more is heard from here.
///
/// Until then nobody is counted but among all sessions: the address is the front's own.
pub(super) async fn introduce(
    mut arrival: Arrival,
    manner: &Manner,
    house: &House,
) -> Option<Arrival> {
    let patience = manner.policy.timeouts.proxy;
    let mut stop = house.stop.clone();
    let read = tokio::select! {
        biased;
        read = timeout(patience, announced(&mut arrival.tcp)) => read,
        _ = stop.wait_for(|s| *s == Stop::Now) => return None,
    };
    let announced = match read {
        Ok(Ok(announced)) => announced,
        // A balancer that only looks whether somebody listens.
        Ok(Err(Unannounced::Closed(0))) => {
            tracing::debug!(peer = %arrival.peer, listener = %arrival.local, "a front closed without a word");
            return None;
        }
        Ok(Err(why)) => return turn_down(&arrival, manner, &why),
        Err(_) => {
            let why =
                format!("it is not whole after {patience:?} (timeouts.proxy); was it sent at all?");
            return turn_down(&arrival, manner, &why);
        }
    };
    let front = arrival.peer;
    if let Some((peer, local)) = announced.addresses {
        (arrival.peer, arrival.local) = (peer, local);
    }
    let hops = announced.hops.saturating_add(1);
    arrival.via = Some(Box::new(Via { front, id: announced.id, hops, tls: announced.tls }));
    Some(arrival)
}

/// Fronts are no strangers: that one does not do what was agreed on is said aloud, though once for a
/// listener. Then the log would fill up.
fn turn_down(arrival: &Arrival, manner: &Manner, why: &dyn Display) -> Option<Arrival> {
    let (peer, listener) = (arrival.peer, arrival.local);
    if manner.told.swap(true, Ordering::Relaxed) {
        tracing::debug!(%peer, %listener, %why, "closed: no PROXY header from a front in proxy_from");
    } else {
        tracing::warn!(%peer, %listener, %why, "closed: no PROXY header from a front in proxy_from; said once for this listener, then in debug");
    }
    None
}
