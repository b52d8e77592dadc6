//! The MTA-STS policy: RFC 8461 §3.2.

use crate::values::MtaSts;

/// RFC 8461 §3.3: at `mta-sts.` and the domain.
pub(super) const PATH: &str = "/.well-known/mta-sts.txt";

pub(super) fn text(policy: &MtaSts) -> String {
    let mut text = format!("version: STSv1\r\nmode: {}\r\n", policy.mode);
    for name in &policy.mx {
        text.push_str(&format!("mx: {name}\r\n"));
    }
    text.push_str(&format!("max_age: {}\r\n", policy.max_age.as_secs()));
    text
}
