//! What TLS is offered, and with which certificate. `session/handshake.rs` does the shaking.

mod alert;
mod backend;
mod backend_trouble;
mod challenge;
mod client;
mod client_certificates;
mod resolver;
mod server;
mod tickets;

pub use alert::{ClientAlert, INTERNAL_ERROR, NO_APPLICATION_PROTOCOL, UNRECOGNIZED_NAME, refusal};
pub use backend::{Observer, Upstream, Upstreams};
pub use backend_trouble::explain_backend;
pub use challenge::{challenge, is_challenge};
pub use client::{Seen, Witness, explain_failure, witness};
pub use client_certificates::{Clients, Judge, Verdict};
pub use resolver::schemes;
pub use server::{Server, Terms, provider};
pub use tickets::Tickets;
