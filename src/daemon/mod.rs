//! The process: sockets, signals, and what is swapped at a reload.

mod admission;
mod backends;
mod background;
mod certificates;
mod changes;
mod examine;
mod first_start;
mod ids;
mod introduce;
mod listen;
mod meanwhile;
mod resources;
mod run;
mod service;
mod snapshot;
mod sockets;
mod stand_in;
mod web;

use std::fmt;

pub use examine::{Examination, RelayTest, Verdict, examine};
pub use run::{Hangups, run};
pub use snapshot::{Loaded, Purpose, load};
pub use stand_in::StandIn;

/// Why the front does not start, or does not take a new configuration. It is made of lines, each
/// of which says what to do.
#[derive(Debug)]
pub struct Unfit(pub Vec<String>);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Unfit {}

impl From<String> for Unfit {
    fn from(line: String) -> Self {
        Self(vec![line])
    }
}
