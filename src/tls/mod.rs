//! What TLS is offered, and with which certificate. `session/handshake.rs` does the shaking.

mod alert;
mod client;
mod resolver;
mod server;
mod tickets;

pub use alert::{UNRECOGNIZED_NAME, explain};
pub use client::{Seen, Witness, explain_failure, witness};
pub use server::{Server, provider};
pub use tickets::Tickets;
