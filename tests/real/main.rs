//! The front between real components: Dovecot behind it, the clients that people use before it.
//!
//! Missing programs fail the test that needs them, and the failure says which Debian package to install.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests may panic, and explain themselves"
)]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod dovecot;
mod stage;
mod tap;

mod harness;
