//! A certificate that a client has shown: all that it says may be a lie.

use rustls::{pki_types::CertificateDer, server::ParsedCertificate};

use super::{
    digest,
    x509::{self, Parsed},
};

/// What a client's certificate says of itself. Bounded, and without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The subject, as RFC 4514 writes names; empty if the certificate cannot be read. An ellipsis at
    /// its end, which is in no name, says that it was longer.
    pub subject: String,
    /// The issuer likewise.
    pub issuer: String,
    /// SHA-256 over the whole of it, in hexadecimal.
    pub fingerprint: String,
}

/// The longest common name that is kept, in octets. RFC 5280 has 64 letters for one.
const LONGEST: usize = 512;

/// RSA keys that signatures can be verified with here, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

impl Client {
    /// Looks at a certificate, whatever it is.
    #[must_use]
    pub fn new(der: &CertificateDer<'_>) -> Self {
        let fingerprint = fingerprint(der);
        let Some((subject, issuer)) = x509::subject_and_issuer(der) else {
            return Self { fingerprint, ..Self::default() };
        };
        let common_name = x509::common_names(der).0.map(|name| tame(&name));
        Self { common_name, subject, issuer, fingerprint }
    }

    /// Whether a signature with a certificate's key could be verified at all. That depends on the
    /// certificate alone, never on the time.
    #[must_use]
    pub fn has_usable_key(der: &CertificateDer<'_>) -> bool {
        ParsedCertificate::try_from(der).is_ok()
            && Parsed::new(&der.clone().into_owned())
                .is_ok_and(|c| c.key.rsa_bits().is_none_or(|bits| RSA_BITS.contains(&bits)))
    }
}

/// SHA-256, in hexadecimal.
#[must_use]
pub fn fingerprint(octets: &[u8]) -> String {
    digest::hex(&digest::sha256(octets))
}

fn tame(name: &str) -> String {
    let mut tamed = String::new();
    for c in name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }) {
        if tamed.len() + c.len_utf8() > LONGEST {
            tamed.push('…');
            break;
        }
        tamed.push(c);
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_as_everybody_writes_it() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(fingerprint(b"abc"), expected);
    }

    #[test]
    fn noise_has_a_fingerprint_and_nothing_else() {
        let noise = CertificateDer::from(vec![0x30, 3, 1, 2, 3]);
        let client = Client::new(&noise);
        assert_eq!((client.subject.as_str(), client.fingerprint.len()), ("", 64));
        assert!(!Client::has_usable_key(&noise));
    }

    #[test]
    fn names_are_tamed() {
        assert_eq!(tame("CN=a\r\nb"), "CN=a\u{fffd}\u{fffd}b");
        assert_eq!(tame(&"ä".repeat(LONGEST)).len(), LONGEST + '…'.len_utf8());
    }
}
