//! SMTP and submission: RFC 5321, RFC 6409, with STARTTLS (RFC 3207), AUTH (RFC 4954), PIPELINING
//! (RFC 2920) and CHUNKING (RFC 3030).

mod body;
mod caller;
mod capability;
mod command;
mod filter;
mod greeter;
mod introduction;
mod opening;
mod prober;
mod refused;
mod reply;
mod stranger;

pub use body::{Found, Scanner};
pub use caller::Caller;
pub use filter::Filter;
pub use greeter::Greeter;
pub use opening::Opening;
pub use prober::Prober;
pub use refused::Refused;
pub use stranger::{Relaying, Stranger};

use super::Refusal;

/// How we end a session: RFC 5321 §3.8 and §4.2.4, with the codes of RFC 3463.
pub(super) fn farewell(why: Refusal, host: &str, out: &mut Vec<u8>) {
    let code = match why {
        Refusal::BareNewline => "550 5.5.2",
        Refusal::LineTooLong => "500 5.5.2",
        Refusal::BackendGarbage | Refusal::BackendUnavailable | Refusal::Shutdown => "421 4.3.2",
        Refusal::Timeout => "421 4.4.2",
        Refusal::BytesAfterStartTls | Refusal::TooManyConnections | Refusal::TooManyErrors => {
            "421 4.7.0"
        }
        Refusal::Unframeable => "521 5.5.2",
    };
    let host = if code.starts_with("421") { format!("{host} ") } else { String::new() };
    out.extend_from_slice(format!("{code} {host}{}\r\n", why.text()).as_bytes());
}

/// RFC 3207 §4, in the words that RFC 3207 itself suggests.
const STARTTLS_FIRST: &[u8] = b"530 5.7.0 Must issue a STARTTLS command first\r\n";
const BEGIN_TLS: &[u8] = b"220 2.0.0 Ready to start TLS\r\n";
/// One word, and what follows it behind a space, without control characters.
const NO_COMMAND: &[u8] = b"500 5.5.2 This is no command\r\n";
const NO_PARAMETERS: &[u8] = b"501 5.5.4 STARTTLS has no parameters\r\n";
const NO_RECIPIENT: &[u8] = b"503 5.5.1 No recipient has been accepted\r\n";
const NOT_IMPLEMENTED: &[u8] = b"502 5.5.1 Command not implemented\r\n";
