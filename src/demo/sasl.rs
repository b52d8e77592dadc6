//! Who may come in: one user, by password or SASL PLAIN (RFC 4616).

/// Whether this is the demo user. The whole address is taken too, which some clients fill in.
pub(super) fn welcome(user: &[u8], password: &[u8]) -> bool {
    matches!(user, b"demo" | b"demo@localhost") && password == b"demo"
}

/// Whether this base64 text is a PLAIN response of the demo user.
pub(super) fn plain(response: &[u8]) -> bool {
    let Some(message) = decode(response) else { return false };
    let mut parts = message.split(|b| *b == 0);
    let (Some(acting_for), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (acting_for.is_empty() || acting_for == user) && welcome(user, password)
}

/// Strict base64 (RFC 4648 §4).
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] => digits,
        digits => digits,
    };
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.chunks(4) {
        let mut bits = 0;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(bits.to_be_bytes().get(1..group.len())?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_demo_user_is_let_in() {
        assert!(plain(b"AGRlbW8AZGVtbw=="));
        assert!(plain(b"ZGVtbwBkZW1vAGRlbW8="));
        assert!(!plain(b"cm9vdABkZW1vAGRlbW8="));
        assert!(!plain(b"AGRlbW8AZGVtbw"));
        assert!(!plain(b"AGRlbW8AZGVtbwA="));
        assert!(!plain(b"*"));
        assert!(!plain(b""));
    }
}
