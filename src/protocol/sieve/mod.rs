//! ManageSieve: RFC 5804.

mod caller;
mod capability;
mod filter;
mod greeter;
mod opening;
mod prober;
mod syntax;

pub use caller::Caller;
pub use filter::Filter;
pub use greeter::Greeter;
pub use opening::Opening;
pub use prober::Prober;

use super::Refusal;

/// How we end a session: RFC 5804 §1.2 and, for the code, §1.3.
pub(super) fn farewell(why: Refusal, _host: &str, out: &mut Vec<u8>) {
    let code = if why.is_temporary() { "(TRYLATER) " } else { "" };
    out.extend_from_slice(format!("BYE {code}\"{}\"\r\n", why.text()).as_bytes());
}

const BEGIN_TLS: &[u8] = b"OK \"Begin TLS negotiation now\"\r\n";
const ENCRYPT_NEEDED: &[u8] = b"NO (ENCRYPT-NEEDED) \"Begin TLS with STARTTLS first\"\r\n";
const HAS_NO_ARGUMENTS: &[u8] = b"NO \"STARTTLS has no arguments\"\r\n";
const NOT_AVAILABLE: &[u8] = b"NO \"STARTTLS is not available here\"\r\n";
const SYNTAX: &[u8] = b"NO \"Syntax error\"\r\n";
const UNKNOWN: &[u8] = b"NO \"Unknown command\"\r\n";
