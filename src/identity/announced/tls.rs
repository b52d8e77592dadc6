//! What a front before us says of the TLS that ends there: sections 2.2.1, 2.2.2 and 2.2.6.
//!
//! It is told to the backend, which may go by it. So whatever is not as it should be counts as not
//! said; and that the client uses TLS at all has to be said in so many words.

use crate::identity::{
    ClientCertificate, TlsFacts,
    proxy::{
        CERT_CONN, CERT_SESS, CLIENT_SSL, LONGEST_CIPHER, LONGEST_COMMON_NAME, LONGEST_NAME,
        LONGEST_VERSION, SSL_CIPHER, SSL_CN, SSL_VERSION, VERIFIED,
    },
};

/// RFC 7301 §3.1.
const LONGEST_ALPN: usize = 255;

/// The values of TLVs that speak of TLS; empty, where there are none.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) alpn: &'a [u8],
    pub(super) authority: &'a [u8],
    pub(super) ssl: &'a [u8],
}

impl Told<'_> {
    /// What the client and the front agreed on; `None`: the client is in clear there, or what is said
    /// makes no sense.
    pub(super) fn facts(&self) -> Option<TlsFacts> {
        let (&[bits, a, b, c, d], parts) = self.ssl.split_first_chunk::<5>()?;
        if bits & CLIENT_SSL == 0 {
            return None;
        }
        let parts = Parts::read(parts)?;
        let is_verified = u32::from_be_bytes([a, b, c, d]) == VERIFIED;
        // Without a certificate, many say zero as well.
        let has_shown = bits & (CERT_CONN | CERT_SESS) != 0;
        let client = has_shown.then(|| certificate(is_verified, parts.common_name));
        let has_alpn = (1..=LONGEST_ALPN).contains(&self.alpn.len());
        let name = graphic(self.authority, LONGEST_NAME);
        Some(TlsFacts {
            version: graphic(parts.version, LONGEST_VERSION).unwrap_or_default().into(),
            cipher: graphic(parts.cipher, LONGEST_CIPHER).unwrap_or_default().into(),
            group: "",
            sni: name.map(|name| name.to_ascii_lowercase()),
            alpn: has_alpn.then(|| self.alpn.to_vec()),
            resumed: bits & (CERT_CONN | CERT_SESS) == CERT_SESS,
            client: client.map(Box::new),
        })
    }
}

/// What is within the SSL TLV.
#[derive(Default)]
struct Parts<'a> {
    version: &'a [u8],
    common_name: &'a [u8],
    cipher: &'a [u8],
}

impl<'a> Parts<'a> {
    /// `None`: the lengths do not add up.
    fn read(octets: &'a [u8]) -> Option<Self> {
        let (mut parts, mut rest) = (Self::default(), octets);
        while let [kind, after @ ..] = rest {
            let (length, after) = after.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (value, behind) = after.split_at_checked(length)?;
            match *kind {
                SSL_VERSION => parts.version = value,
                SSL_CN => parts.common_name = value,
                SSL_CIPHER => parts.cipher = value,
                _ => {}
            }
            rest = behind;
        }
        Some(parts)
    }
}

fn certificate(is_verified: bool, common_name: &[u8]) -> ClientCertificate {
    let is_fit = |octet: &u8| matches!(octet, b' '..=b'~');
    let name = text(common_name, LONGEST_COMMON_NAME, is_fit).filter(|_| is_verified);
    let why = "the front that it was shown to has not verified it";
    ClientCertificate {
        verified: if is_verified { Ok(()) } else { Err(why.to_owned()) },
        common_name: name,
        subject: String::new(),
        issuer: String::new(),
        fingerprint: String::new(),
    }
}

fn graphic(octets: &[u8], most: usize) -> Option<String> {
    text(octets, most, u8::is_ascii_graphic)
}

fn text(octets: &[u8], most: usize, is_fit: fn(&u8) -> bool) -> Option<String> {
    let is_text = (1..=most).contains(&octets.len()) && octets.iter().all(is_fit);
    is_text.then(|| octets.iter().copied().map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind], length.as_slice(), value].concat()
    }

    fn ssl(bits: u8, verify: u32, parts: &[(u8, &[u8])]) -> Vec<u8> {
        let parts = parts.iter().flat_map(|(kind, value)| tlv(*kind, value));
        [bits].into_iter().chain(verify.to_be_bytes()).chain(parts).collect()
    }

    fn facts(ssl: &[u8]) -> Option<TlsFacts> {
        Told { ssl, ..Told::default() }.facts()
    }

    const SUITE: (u8, &[u8]) = (SSL_CIPHER, b"ECDHE-RSA-AES256-GCM-SHA384");
    const VERSION: (u8, &[u8]) = (SSL_VERSION, b"TLSv1.2");
    const NAME: (u8, &[u8]) = (SSL_CN, b"A Client");

    #[test]
    fn what_was_agreed_on_with_the_front() {
        let ssl = ssl(CLIENT_SSL, 0, &[VERSION, SUITE]);
        let told = Told { alpn: b"imap", authority: b"Mail.Example.org", ssl: &ssl };
        let facts = told.facts().unwrap();
        assert_eq!((&*facts.version, &*facts.cipher), ("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384"));
        assert_eq!(facts.sni.as_deref(), Some("mail.example.org"));
        assert_eq!(facts.alpn.as_deref(), Some(&b"imap"[..]));
        assert_eq!(facts.client, None, "verified is nobody, without a certificate");
    }

    #[test]
    fn a_name_only_of_a_certificate_that_was_shown_and_verified() {
        let name = |bits, verify| {
            let client = facts(&ssl(bits, verify, &[VERSION, NAME])).unwrap().client;
            client.map(|client| (client.verified.is_ok(), client.common_name))
        };
        let verified = Some((true, Some("A Client".to_owned())));
        assert_eq!(name(CLIENT_SSL | CERT_CONN | CERT_SESS, 0), verified);
        assert_eq!(name(CLIENT_SSL | CERT_SESS, 0), verified);
        assert_eq!(name(CLIENT_SSL | CERT_CONN, 18), Some((false, None)));
        assert_eq!(name(CLIENT_SSL, 0), None);
    }

    #[test]
    fn nothing_is_believed_that_was_not_said() {
        assert_eq!(facts(b""), None);
        assert_eq!(facts(&[CLIENT_SSL, 0, 0, 0]), None, "too short");
        assert_eq!(facts(&ssl(0xFE, 0, &[VERSION, SUITE])), None, "every bit but the one");
        let mut cut = ssl(CLIENT_SSL, 0, &[VERSION, SUITE]);
        cut.pop();
        assert_eq!(facts(&cut), None, "a part goes beyond the end");
        cut.truncate(7);
        assert_eq!(facts(&cut), None, "a part has no length");
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let long = "a".repeat(256);
        for unfit in [b"".as_slice(), b"a\r\nb", b"\xFF", long.as_bytes()] {
            let parts = [(SSL_VERSION, unfit), (SSL_CIPHER, unfit), (SSL_CN, unfit)];
            let ssl = ssl(CLIENT_SSL | CERT_CONN, 0, &parts);
            let facts = Told { alpn: b"", authority: unfit, ssl: &ssl }.facts().unwrap();
            assert_eq!((&*facts.version, &*facts.cipher, facts.sni), ("", "", None));
            assert_eq!(facts.client.unwrap().common_name, None);
        }
    }
}
