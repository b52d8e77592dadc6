//! Session tickets. The keys live as long as the process: a reload must not turn every returning
//! client's resumption into a full handshake.

use std::sync::Arc;

use rustls::{crypto::aws_lc_rs::Ticketer, server::ProducesTickets};

/// The keys that tickets are sealed with. They change every six hours and are forgotten after
/// twelve: RFC 9325 §3.4.
#[derive(Clone, Debug)]
pub struct Tickets(pub(super) Arc<dyn ProducesTickets>);

impl Tickets {
    /// Fresh keys. An error means that there is no randomness to be had.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self(Ticketer::new()?))
    }
}
