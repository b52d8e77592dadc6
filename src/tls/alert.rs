//! Alerts, in words that help.

use rustls::AlertDescription;

/// A fatal `unrecognized_name` in a record of its own: RFC 6066 §3 and RFC 8446 §6.2. rustls has no
/// way to send it once the ClientHello has been read.
pub const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// What it means that a client sent this alert; `None` where its name says it all.
#[must_use]
pub fn explain(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::BadCertificate => {
            "the client finds the certificate damaged or badly signed"
        }
        AlertDescription::UnsupportedCertificate => {
            "the client cannot use this kind of certificate"
        }
        AlertDescription::CertificateRevoked => "the client says that the certificate is revoked",
        AlertDescription::CertificateExpired => {
            "the client says that the certificate has expired, or its clock is wrong"
        }
        AlertDescription::CertificateUnknown => {
            "the client does not accept the certificate, often because its name is another"
        }
        AlertDescription::UnknownCA => {
            "the client does not trust the issuer, or the chain lacks a certificate for it"
        }
        AlertDescription::ProtocolVersion => "the client speaks no version of TLS that is safe",
        AlertDescription::InsufficientSecurity => "the client wants stronger ciphers",
        AlertDescription::HandshakeFailure => {
            "client and server have no cipher, group or signature in common"
        }
        _ => return None,
    })
}
