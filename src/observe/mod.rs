//! What the front says of itself.

mod alerts;
pub mod log;

pub use alerts::Alerts;
