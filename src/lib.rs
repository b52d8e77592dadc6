//! Vestibule: a TLS-terminating, multi-protocol front proxy for mail.

pub mod backend;
pub mod certs;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod error;
pub mod identity;
pub mod observe;
pub mod protocol;
pub mod session;
pub mod tls;
pub mod values;
pub mod wire;
