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
mod h2;
mod raw;
mod recorder;
mod servers;
mod stage;

mod floods_cost_nobody_else;
mod http2_comes_down_as_one_request;
mod one_request_is_one_request_behind;
mod pages_pass_in_both_versions;
mod the_backend_knows_the_client_by_fields;
