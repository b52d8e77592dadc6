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

/// Why a backend with these capabilities cannot be told by XCLIENT who the client is, if so.
fn is_deaf(capabilities: &[String]) -> Option<String> {
    let has = |name: &str| capabilities.iter().any(|c| c == name);
    if has("UNAUTHENTICATE") {
        // RFC 5804 §2.14.1. After a login nobody reads along any more.
        return Some("it offers UNAUTHENTICATE, with which a client could get back to where XCLIENT is believed, and speak as this front: use identity: proxy-v2 there".to_owned());
    }
    (!has("XCLIENT")).then(|| "it does not offer XCLIENT to this front: Dovecot wants the front's address in login_trusted_networks; others know another identity".to_owned())
}

/// An answer to XCLIENT that is no yes, in words.
fn denied(answer: &[u8]) -> String {
    format!("it answers XCLIENT with {:?}", super::line::printable(answer.trim_ascii()))
}
