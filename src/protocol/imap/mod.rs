//! IMAP: RFC 9051 and RFC 3501, with ID (RFC 2971) and non-synchronising literals (RFC 7888).

mod caller;
mod capability;
mod command;
mod filter;
mod greeter;
mod id;
mod introduction;
mod opening;
mod prober;

pub use caller::Caller;
pub use filter::Filter;
pub use greeter::Greeter;
pub use opening::Opening;
pub use prober::Prober;

use super::Refusal;

/// How we end a session: RFC 9051 §7.1.5, with the code of RFC 5530 §3 where it is temporary.
pub(super) fn farewell(why: Refusal, _host: &str, out: &mut Vec<u8>) {
    let code = if why.is_temporary() { "[UNAVAILABLE] " } else { "" };
    out.extend_from_slice(format!("* BYE {code}{}\r\n", why.text()).as_bytes());
}

/// A tagged answer of our own.
fn answer(tag: &[u8], text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(tag);
    out.push(b' ');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

const BEGIN_TLS: &str = "OK Begin TLS negotiation now";
const GO_AHEAD: &[u8] = b"+ OK\r\n";
const HAS_NO_ARGUMENTS: &str = "BAD STARTTLS has no arguments";
const NO_TAG: &[u8] = b"* BAD A command begins with a tag\r\n";
/// RFC 5530 §3. RFC 8314 §4.1: the same for good and bad passwords, because nobody looked.
const PRIVACY_REQUIRED: &str =
    "NO [PRIVACYREQUIRED] Begin TLS with STARTTLS first, credentials are not taken in clear";

/// The longest literal that is read for the sake of refusing it properly.
const MOST_SWALLOWED: u64 = 64 << 10;
