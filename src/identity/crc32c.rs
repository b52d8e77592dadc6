//! CRC-32C (Castagnoli's polynomial), as RFC 9260 appendix A has it: what the PROXY protocol checks
//! its headers with. It finds octets that were damaged by accident, and no forgery.

/// The polynomial 0x1EDC6F41, its bits reversed.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// What each octet does to the sum.
const TABLE: [u32; 256] = table();

/// The checksum of all these octets, one piece after the other.
pub(super) fn crc32c<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let octets = pieces.into_iter().flatten();
    !octets.fold(!0, |sum: u32, octet| {
        let [low, ..] = sum.to_le_bytes();
        (sum >> 8) ^ TABLE[usize::from(low ^ octet)]
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < table.len() {
        let mut sum = n as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[n] = sum;
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(octets: &[u8]) -> u32 {
        crc32c([octets])
    }

    /// RFC 3720 appendix B.4, which writes them with their octets in the order of the wire; and the
    /// catalogues' check value.
    #[test]
    fn known_sums() {
        assert_eq!(of(b""), 0);
        assert_eq!(of(b"123456789"), 0xE306_9283);
        assert_eq!(of(&[0; 32]), 0x8A91_36AA);
        assert_eq!(of(&[0xFF; 32]), 0x62A8_AB43);
        let up: Vec<u8> = (0..32).collect();
        assert_eq!(of(&up), 0x46DD_794E);
        let down: Vec<u8> = (0..32).rev().collect();
        assert_eq!(of(&down), 0x113F_DB5C);
    }

    #[test]
    fn pieces_are_one_text() {
        assert_eq!(crc32c([b"1234".as_slice(), b"", b"56789"]), of(b"123456789"));
    }
}
