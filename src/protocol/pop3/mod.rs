//! POP3: RFC 1939, with CAPA (RFC 2449), STLS (RFC 2595 §4) and AUTH (RFC 5034).

mod caller;
mod capability;
mod filter;
mod greeter;
mod opening;
mod prober;

pub use caller::Caller;
pub use filter::Filter;
pub use greeter::Greeter;
pub use opening::Opening;
pub use prober::Prober;

use super::{Refusal, line};

/// How we end a session: RFC 3206 §4 has the code that tells a client to come back later.
pub(super) fn farewell(why: Refusal, _host: &str, out: &mut Vec<u8>) {
    let code = if why.is_temporary() { "[SYS/TEMP] " } else { "" };
    out.extend_from_slice(format!("-ERR {code}{}\r\n", why.text()).as_bytes());
}

/// A command's keyword in upper case, and its arguments.
fn command(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let (verb, arguments) = line::word(text);
    (verb.to_ascii_uppercase(), arguments)
}

/// Dovecot's offer to believe whom it trusts, in its greeting.
const XCLIENT: &str = "[XCLIENT] ";

/// Why a backend cannot be told who the client is, if its greeting says so.
fn is_deaf(greeting: &[u8]) -> Option<String> {
    let offers = line::printable(greeting).contains(XCLIENT.trim_end());
    (!offers).then(|| "it does not offer XCLIENT to this front: Dovecot wants the front's address in login_trusted_networks; others know another identity".to_owned())
}

/// An answer to XCLIENT that is no yes, in words.
fn denied(answer: &[u8]) -> String {
    format!("it answers XCLIENT with {:?}", line::printable(answer))
}

const NO_CREDENTIALS: &[u8] =
    b"-ERR Begin TLS with STLS first, credentials are not taken in clear\r\n";
const ONLY_WITHOUT_TLS: &[u8] = b"-ERR Command not permitted when TLS active\r\n";
const BEGIN_TLS: &[u8] = b"+OK Begin TLS negotiation now\r\n";
const UNKNOWN: &[u8] = b"-ERR Unknown command\r\n";
