//! What the front knows of each protocol, without a socket, a clock or a die in sight.
//!
//! A protocol is a row in the [table](Protocol::row) and a folder with
//!
//! - a **greeter**, which speaks with a client before TLS,
//! - a **prober**, which asks a backend what it can do,
//! - an **opening**, which receives a backend's greeting for a session,
//! - a **filter**, which reads the session along until nothing in it can harm any more,
//! - a **caller**, which goes to any server as a client does, for `vestibule probe`.
//!
//! Their common shape is in `seam.rs`; `dispatch.rs` is where the compiler lists what a new
//! protocol has to bring.

mod common;
mod dispatch;
mod line;
mod seam;
mod table;
mod upgrade;

pub mod imap;
pub mod pop3;
pub mod sieve;
pub mod smtp;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod transcript;

pub use dispatch::{Caller, Greeter, Opening, Prober, Refused, SessionFilter};
pub use seam::{
    Called, Dialogue, Errand, Filter, Greeted, Learned, Next, Offer, Opened, Out, Refusal, Side,
    Start, Verdict,
};
pub use table::{Protocol, Row};
pub use upgrade::{Upgrade, Upgraded};
