//! What the benches share: the tests' certificate authority and folders, the release binary on a
//! port that the kernel picks, a backend and clients that only know enough IMAP to log in.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    clippy::print_stderr,
    reason = "each bench uses its own part of this, and may panic when its surroundings fail"
)]

pub mod backend;
#[path = "../../tests/common/ca.rs"]
pub mod ca;
pub mod client;
pub mod cores;
#[path = "../../tests/common/folder.rs"]
pub mod folder;
pub mod front;
pub mod nginx;

/// The name that all clients ask for.
pub const NAME: &str = "mail.example.org";
