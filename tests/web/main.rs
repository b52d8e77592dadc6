//! The front before web servers: nginx and a small one in Python, curl, h2load and a browser before it,
//! and peers that write each octet themselves.
//!
//! Missing programs fail the test that needs them, and the failure says which Debian package to install.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests may panic, and explain themselves"
)]

#[path = "../common/mod.rs"]
mod common;
mod curl;
mod raw;
mod recorder;
mod servers;
mod stage;

mod one_request_is_one_request_behind;
mod pages_pass_in_both_versions;
