//! What the front says of itself.

pub mod log;
