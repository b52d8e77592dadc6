//! What a client sees of a server from outside: behind `vestibule probe`. Any server, not only ours.
//!
//! One visit: connect, speak in clear up to STARTTLS, shake hands, look round inside; then a second
//! one, which tries whether something can be smuggled in behind STARTTLS. Blocking, with one
//! deadline for each phase, and everything bounded.

mod injection;
mod lines;
mod report;
mod socket;
mod talk;
mod target;
mod visit;

pub use injection::Verdict;
pub use report::{Finding, Line, Phase, Report, Tls};
pub use target::{Starttls, Target};
pub use visit::{Trust, probe};
