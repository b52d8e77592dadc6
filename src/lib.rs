//! Vestibule: a TLS-terminating, multi-protocol front proxy for mail.

pub mod error;
pub mod protocol;
pub mod values;
