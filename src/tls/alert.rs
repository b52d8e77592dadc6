//! Alerts, in words that help.

use std::{error, fmt};

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use super::client_certificates::why;
use crate::certs::{Certificate, Description, KeyKind, date, now};

/// A fatal `unrecognized_name` in a record of its own: RFC 6066 §3 and RFC 8446 §6.2. rustls has no
/// way to send it once the ClientHello has been read.
pub const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The same for `no_application_protocol` (RFC 7301 §3.2).
pub const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// The same for `internal_error`.
pub const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// An alert that a client has ended its session with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAlert {
    /// Its number: RFC 8446 §6.2.
    pub number: u8,
    /// What it means; `None` where nothing is to be said that would help.
    pub meaning: Option<String>,
    /// What the client had been sent, if anything.
    pub chain: Option<Description>,
}

impl ClientAlert {
    /// What it means that a client that asked for this name, and was shown this certificate, has
    /// sent this alert.
    #[must_use]
    pub fn new(alert: AlertDescription, shown: Option<&Certificate>, asked: Option<&str>) -> Self {
        let chain = shown.map(Certificate::described);
        let meaning = meaning(alert, shown.zip(chain.as_ref()), asked);
        Self { number: u8::from(alert), meaning, chain }
    }

    /// Its name and number: `unknown_ca(48)`.
    #[must_use]
    pub fn name(&self) -> String {
        match name(AlertDescription::from(self.number)) {
            Some(name) => format!("{name}({})", self.number),
            None => format!("alert({})", self.number),
        }
    }

    /// Whether it is the certificate that the client does not like.
    #[must_use]
    pub fn is_about_certificate(&self) -> bool {
        matches!(self.number, 42..=46 | 48 | 49)
    }
}

impl fmt::Display for ClientAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.meaning {
            Some(meaning) => write!(f, "{}: {meaning}", self.name()),
            None => write!(f, "the client ends it with {}", self.name()),
        }
    }
}

impl error::Error for ClientAlert {}

/// What a handshake that we ended ourselves ended for, with the alert that the client got; `None`
/// where the error's own words are the best.
#[must_use]
pub fn refusal(error: &Error) -> Option<String> {
    use PeerIncompatible as P;
    let (text, alert) = match error {
        Error::NoCertificatesPresented => (
            "the client has shown no certificate, and must here (client_certificates: require)"
                .to_owned(),
            AlertDescription::CertificateRequired,
        ),
        Error::InvalidCertificate(invalid) => (
            format!("the client's certificate is not accepted: {}", why(error)),
            alert_for(invalid),
        ),
        Error::InvalidCertRevocationList(_) => (
            format!("the client's certificate is not accepted: {}", why(error)),
            AlertDescription::HandshakeFailure,
        ),
        Error::NoApplicationProtocol => (
            "the client wants by ALPN what is not spoken on this listener".to_owned(),
            AlertDescription::NoApplicationProtocol,
        ),
        Error::PeerIncompatible(
            P::Tls12NotOffered
            | P::Tls12NotOfferedOrEnabled
            | P::SupportedVersionsExtensionRequired
            | P::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            "the client speaks neither TLS 1.2 nor TLS 1.3".to_owned(),
            AlertDescription::ProtocolVersion,
        ),
        Error::PeerIncompatible(
            why @ (P::NoCipherSuitesInCommon
            | P::NoKxGroupsInCommon
            | P::NoSignatureSchemesInCommon
            | P::NoEcPointFormatsInCommon
            | P::SignatureAlgorithmsExtensionRequired
            | P::NamedGroupsExtensionRequired),
        ) => (
            format!(
                "the client and we have no way in common ({why:?}): it is very old, or very strict"
            ),
            AlertDescription::HandshakeFailure,
        ),
        _ => return None,
    };
    let name = name(alert).unwrap_or("alert");
    Some(format!("{text}; it was sent {name}({})", u8::from(alert)))
}

fn alert_for(invalid: &CertificateError) -> AlertDescription {
    invalid.clone().into()
}

/// As RFC 8446 §6 and the older RFCs write them.
fn name(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as A;
    Some(match alert {
        A::UnexpectedMessage => "unexpected_message",
        A::BadRecordMac => "bad_record_mac",
        A::RecordOverflow => "record_overflow",
        A::HandshakeFailure => "handshake_failure",
        A::NoCertificate => "no_certificate",
        A::BadCertificate => "bad_certificate",
        A::UnsupportedCertificate => "unsupported_certificate",
        A::CertificateRevoked => "certificate_revoked",
        A::CertificateExpired => "certificate_expired",
        A::CertificateUnknown => "certificate_unknown",
        A::IllegalParameter => "illegal_parameter",
        A::UnknownCA => "unknown_ca",
        A::AccessDenied => "access_denied",
        A::DecodeError => "decode_error",
        A::DecryptError => "decrypt_error",
        A::ProtocolVersion => "protocol_version",
        A::InsufficientSecurity => "insufficient_security",
        A::InternalError => "internal_error",
        A::InappropriateFallback => "inappropriate_fallback",
        A::UserCanceled => "user_canceled",
        A::MissingExtension => "missing_extension",
        A::UnsupportedExtension => "unsupported_extension",
        A::UnrecognisedName => "unrecognized_name",
        A::BadCertificateStatusResponse => "bad_certificate_status_response",
        A::CertificateRequired => "certificate_required",
        A::NoApplicationProtocol => "no_application_protocol",
        _ => return None,
    })
}

type Shown<'a> = Option<(&'a Certificate, &'a Description)>;

fn meaning(alert: AlertDescription, shown: Shown<'_>, asked: Option<&str>) -> Option<String> {
    use AlertDescription as A;
    let with = |text: &str, more: &[Option<String>]| {
        let more = more.iter().flatten().map(|more| format!("; {more}"));
        std::iter::once(text.to_owned()).chain(more).collect::<String>()
    };
    let (chain, name) = (shown.map(chain), shown.map(|(c, _)| about_name(c, asked)));
    Some(match alert {
        A::HandshakeFailure => {
            with("the client finds no cipher, group or signature that it could use", &[])
        }
        A::BadCertificate => with(
            "the client finds the certificate damaged, badly signed, or for another name",
            &[name, chain],
        ),
        A::UnsupportedCertificate => with(
            "the client cannot use this kind of certificate",
            &[shown.map(|(c, _)| match c.kind() {
                KeyKind::Ecdsa => "its key is ECDSA or EdDSA: old clients want RSA".to_owned(),
                KeyKind::Rsa => {
                    "its key is RSA: is it long enough, and is the certificate for servers (serverAuth)?".to_owned()
                }
            })],
        ),
        A::CertificateRevoked => with(
            "the client says that the certificate, or one above it, is revoked: ask the issuer, and replace it",
            &[chain],
        ),
        A::CertificateExpired => with(
            "the client says that a certificate has expired",
            &[shown.map(|(c, _)| about_time(c))],
        ),
        A::CertificateUnknown => with(
            "the client does not accept the certificate, often because its name is another or its issuer is not known",
            &[name, chain],
        ),
        A::IllegalParameter => with(
            "the client finds a contradiction in the handshake: a fault of its program or of ours, not of the certificate",
            &[],
        ),
        A::UnknownCA if shown.is_some_and(|(_, chain)| !chain.complete) => {
            with("the client does not find the issuer", &[chain])
        }
        A::UnknownCA => with("the client does not trust the issuer", &[chain]),
        A::AccessDenied => with(
            "the client takes the certificate for valid, and has a rule of its own against it (pinning, DANE, a list)",
            &[name],
        ),
        A::DecryptError => with(
            "the client could not verify our signature: something between us changes octets, or its program is at fault",
            &[],
        ),
        A::ProtocolVersion => {
            with("the client does not speak the version of TLS that was agreed on", &[])
        }
        A::InsufficientSecurity => {
            with("the client wants stronger ciphers or keys than there are", &[chain])
        }
        A::InternalError => with(
            "the client has a trouble of its own, such as no memory: the certificate is not at fault",
            &[],
        ),
        A::InappropriateFallback => with(
            "the client was made to try an older version of TLS, and noticed",
            &[],
        ),
        A::UnrecognisedName => with("the client does not take this answer for its name", &[name]),
        A::CertificateRequired => with(
            "the client asks for a certificate as if it were the server: is it one that connects in the wrong direction?",
            &[],
        ),
        A::NoApplicationProtocol => {
            with("the client wants a protocol by ALPN that is not spoken on this listener", &[])
        }
        _ => return None,
    })
}

fn chain((_, chain): (&Certificate, &Description)) -> String {
    let certificates = if chain.sent == 1 { "certificate" } else { "certificates" };
    let is = if chain.complete {
        "is complete"
    } else {
        "is not complete: put what is missing beside the certificate, or into `intermediates`"
    };
    format!("we sent {} {certificates}, up to '{}'; the chain {is}", chain.sent, chain.last_issuer)
}

/// Names are as many as a certificate has, and a log line should not be.
const TOLD: usize = 5;

fn about_name(certificate: &Certificate, asked: Option<&str>) -> String {
    let mut names =
        certificate.names().iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    if certificate.names().len() > TOLD {
        names.push_str(", …");
    }
    match asked {
        Some(name) if certificate.covers(name) => {
            format!("it asked for {name}, which the certificate covers")
        }
        Some(name) => format!("it asked for {name}, and the certificate is for {names}"),
        None => format!("it asked for no name, and the certificate is for {names}"),
    }
}

fn about_time(certificate: &Certificate) -> String {
    let (from, to) = certificate.valid();
    match now() {
        now if now > to => format!("ours has, on {}: renew it", date(to)),
        now if now < from => format!("ours is not valid before {}", date(from)),
        _ => format!(
            "ours is valid from {} to {}: the client's clock is wrong, or an authority above it has expired",
            date(from),
            date(to)
        ),
    }
}
