//! Vestibule: a TLS-terminating, multi-protocol front proxy for mail.
//!
//! It stands in front of a mail server, takes the ports that mail uses, does the TLS, and hands
//! plaintext to the server behind it, together with what it knows of the client.
//!
//! ```text
//!            daemon/listen          session/serve, top to bottom                   backend/
//! client ──permit, accept──▶ greeter ──STARTTLS──▶ handshake ──▶ Facts ──▶ dial ──▶ opening
//!                          (protocol/*)          (tls/ ⇄ certs/)        (identity/*)  (protocol/*)
//!                 implicit TLS skips the greeter ──────▲                                │
//!                          Summary ◀── relay ◀── filter (protocol/*) ◀──────────────────┘
//!
//! YAML ──▶ config/ ──────────┐
//! certificates ──▶ certs/ ───┴─▶ daemon/snapshot ──▶ swapped as a whole, at start and on SIGHUP
//! authorities ◀─▶ acme/ ──▶ keys and certificates on disk ──▶ daemon/snapshot, by itself
//! backends ──▶ backend/probe (health, banner, capabilities) ──▶ kept with the backend
//! ```
//!
//! The rooms, in the order in which data flows through them; each uses only what stands below it
//! (`tests/house/arrows.rs` holds them to it):
//!
//! - [`cli`]: arguments → one command → exit code
//! - [`daemon`]: the process: sockets, limits, signals, reloads
//! - [`acme`]: certificates that come by themselves: orders, renewals, answers to challenges
//! - [`observe`]: the log, and what is said once for many sessions
//! - [`outside`]: what a client sees of any server, for `vestibule probe`
//! - [`session`]: one client's way through the house; [`session::serve()`] reads top to bottom
//! - [`http`]: ports 80 and 443: requests and answers, instead of bytes
//! - [`backend`]: the mail servers behind us: dial, probe, what was learned
//! - [`wire`]: where the protocols' machines meet tokio: streams, inboxes, the dialogue's driver
//! - [`tls`]: what TLS is offered and wanted: configurations, resolver, tickets, clients' certificates,
//!   alerts in words
//! - [`protocol`]: sans-IO: one folder a protocol, with greeter, prober, opening and filter
//! - [`identity`]: sans-IO: what is known of a client, and the dialects that tell a backend
//! - [`config`]: YAML → a configuration that makes sense, or all that is wrong with it
//! - [`certs`]: files → chains → the certificate that a client gets
//! - [`values`], [`error`]: what crosses rooms
//! - [`demo`]: a mail server in memory, behind `vestibule demo`
//!
//! Whoever adds a protocol begins in `protocol/table.rs` and is led on by the compiler.

pub mod acme;
pub mod backend;
pub mod certs;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod error;
pub mod http;
pub mod identity;
pub mod observe;
pub mod outside;
pub mod protocol;
pub mod session;
pub mod tls;
pub mod values;
pub mod wire;
