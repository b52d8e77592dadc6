//! What the tests share: a certificate authority, the real binary on port 0, peers that speak raw bytes.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "each test binary uses its own part of this, and tests may panic"
)]

pub mod announced;
pub mod ca;
pub mod commands;
pub mod folder;
pub mod front;
pub mod hello;
pub mod mailhost;
pub mod peer;
pub mod probe;
pub mod proxy;
pub mod s_client;
pub mod tls;
