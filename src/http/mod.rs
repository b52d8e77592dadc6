//! Ports 80 and 443: HTTP/1.1 and HTTP/2 with clients, HTTP/1.1 or HTTP/2 in clear with backends.
//!
//! ```text
//! session ──Guest──▶ connection ──request──▶ exchange ─┬─ judge: what no backend must see
//!    ▲                  (io)                           ├─ clear, wellknown: what we answer ourselves
//!    └──── Gone ─────────┘                             └─ forward ──▶ courier ──▶ leg ──▶ backend
//!                                                           (fields, told,  (upload, download)
//!                                                            framing)
//! ```
//!
//! The only user of hyper, which takes each message apart and puts it together anew: what a client
//! meant to be one request is one request for the backend.

mod answer;
mod body;
mod clear;
mod connection;
mod courier;
mod deaf;
mod download;
mod exchange;
mod fields;
mod forward;
mod framing;
mod guest;
mod io;
mod judge;
mod leg;
mod shelf;
mod stall;
mod streams;
mod told;
mod trunk;
mod upload;
mod web;
mod wellknown;

use std::{io::Error, sync::Arc};

use tokio::sync::watch;

use crate::{
    values::Stop,
    wire::{Client, Inbox, Link},
};

pub use guest::{Guest, Had, Share};
pub use shelf::Shelf;
pub use web::{Clear, Web};
pub use wellknown::Offer;

/// How a client left.
#[derive(Debug)]
pub enum Gone {
    /// All that was asked was answered.
    Closed(Option<Client>),
    /// It speaks something else with the backend from now on.
    Upgraded(Box<Tunnel>),
    /// It said nothing for too long.
    Idle(Option<Client>),
    /// What it sent was no HTTP, and it was told so.
    Refused(Option<Client>, String),
    /// Its connection failed.
    Failed(Error),
    /// A backend's answer broke off: the client must not take it for whole, so that its connection
    /// was broken off as well.
    BrokenOff(String),
    /// We stop.
    Stopped,
}

/// Two connections that have left HTTP (RFC 9110 §7.8), with what was read of either side already.
#[derive(Debug)]
pub struct Tunnel {
    /// The way to the client.
    pub client: Client,
    /// What the client said behind its request.
    pub from_client: Inbox,
    /// The way to the backend, which counts it for as long as this is there.
    pub backend: Switched,
}

/// A backend that has switched protocols.
#[derive(Debug)]
pub struct Switched {
    /// The way there.
    pub link: Link,
    /// What it said behind its answer.
    pub inbox: Inbox,
    /// Counts this session among the backend's.
    pub visit: crate::backend::Visit,
}

/// Serves a client all that it asks for, until it leaves. `opened` is called once it has asked for
/// anything.
pub async fn serve(
    client: Client,
    guest: &Arc<Guest>,
    stop: watch::Receiver<Stop>,
    opened: &mut impl FnMut(),
) -> Gone {
    // A balancer that has agreed on HTTP/2 with the client may well speak HTTP/1.1 with us.
    let alpn = guest.facts.tls.as_ref().and_then(|t| t.alpn.as_deref());
    if guest.ends_tls && alpn == Some(b"h2") {
        // Boxed: a client that rests between two requests of HTTP/1.1 should not carry its weight.
        return Box::pin(connection::http2(client, guest, stop, opened)).await;
    }
    connection::http1(client, guest, stop, opened).await
}
